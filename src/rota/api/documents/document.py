"""The OpenAPI document: the routes, and for each job an operation of its own with the schema of its payload."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from rota.api.documents.examples import example_of
from rota.api.documents.schemas import BULK_BODY, REF, SCHEMAS, ref, refusal, response, responses
from rota.api.enqueueing import Options
from rota.api.routes.webhooks import Changes, NewWebhook
from rota.errors import InvalidPayload
from rota.model.bulk.filters import Filter
from rota.model.job import Job
from rota.model.registry import Registry

_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A text that is made up for this request, by which it may be sent again for a day.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_PREFER: dict[str, Any] = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=10` waits so many seconds for the job to end.",
    "schema": {"type": "string", "examples": ["wait=10"]},
}
_MANY: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["jobs"],
    "properties": {
        "jobs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1000,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "payload": {"type": "object"},
                    "options": ref("Options"),
                },
            },
        }
    },
}
_TICKET: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "job": {
            "type": "object",
            "additionalProperties": False,
            "required": ["queue", "id"],
            "properties": {"queue": {"type": "string"}, "id": {"type": "string"}},
        }
    },
}

#: The body that brings a dead letter back with other arguments.
_FIX = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"payload": {"type": "object", "description": "The arguments by name, all of them."}},
}


def document(app: FastAPI, registry: Registry) -> dict[str, Any]:
    """Return the document of an application with these jobs."""
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    # What the framework says of its own errors, which are never answered.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= SCHEMAS
    found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"key": []}]
    schemas["Filter"] = Filter.model_json_schema(ref_template=REF + "{model}")
    schemas["Filter"].pop("$defs", None)
    schemas["Options"] = Options.model_json_schema(ref_template=REF + "{model}")
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            operation["responses"] = responses(f"{method.upper()} {path}")
    found["paths"]["/jobs"]["post"]["requestBody"] = _body(_MANY, required=True)
    found["paths"]["/bulk"]["post"]["requestBody"] = _body(BULK_BODY, required=True)
    found["paths"]["/tickets"]["post"]["requestBody"] = _body(_TICKET, required=False)
    found["paths"]["/jobs/{queue}/{id}/retry"]["post"]["requestBody"] = _body(_FIX, required=False)
    for method, path, model in (("post", "/webhooks", NewWebhook), ("patch", "/webhooks/{webhook}", Changes)):
        schemas[model.__name__] = model.model_json_schema(ref_template=REF + "{model}")
        found["paths"][path][method]["requestBody"] = _body(ref(model.__name__), required=True)
    for job in sorted(registry.jobs, key=registry.full_name):
        name = registry.full_name(job)
        found["paths"][f"/jobs/{name}"] = {"post": _operation(job, name, schemas)}
    return found


def _operation(job: Job[Any, Any], name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the operation that enqueues one job, and add the schemas that it refers to."""
    payload = _payload(job, name, schemas)
    body = {
        "type": "object",
        "additionalProperties": False,
        "required": ["payload"] if job.payload.required else [],
        "properties": {
            "payload": payload,
            "options": ref("Options"),
        },
    }
    request = _body(body, required=bool(job.payload.required))
    example = example_of(payload, schemas)
    if example is not None and _is_taken(job, example):
        request["content"]["application/json"]["example"] = {"payload": example}
    return {
        "tags": ["jobs"],
        "summary": f"Enqueue {name}",
        "description": (job.handler.__doc__ or "").strip(),
        "operationId": f"enqueue_{name.replace(':', '_')}",
        "parameters": [_KEY, _PREFER],
        "requestBody": request,
        "responses": {
            "200": response("The job is over", "Job"),
            "202": response("The job is enqueued", "Enqueued"),
            **refusal(),
        },
    }


def _payload(job: Job[Any, Any], name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a job's arguments, its parts under names that only this job has."""
    prefix = name.replace(":", ".")
    schema = job.payload.json_schema(f"{REF}{prefix}.{{model}}")
    for part, described in schema.pop("$defs", {}).items():
        schemas[f"{prefix}.{part}"] = described
    schema.pop("title", None)
    return schema


def payload_schema(job: Job[Any, Any]) -> dict[str, Any]:
    """Return the JSON schema of a job's arguments, by itself."""
    return job.payload.json_schema("#/$defs/{model}")


def example_payload(job: Job[Any, Any]) -> Any:
    """Return a payload that a job takes, as far as one can be made of its schema."""
    schema = job.payload.json_schema("#/$defs/{model}")
    example = example_of(schema, schema.get("$defs", {}))
    return example if example is not None and _is_taken(job, example) else {}


def _is_taken(job: Job[Any, Any], example: Any) -> bool:
    try:
        job.payload.parse((), example)
    except InvalidPayload:
        return False
    return True


def _body(schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {"required": required, "content": {"application/json": {"schema": schema}}}
