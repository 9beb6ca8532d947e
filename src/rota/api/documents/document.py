"""The OpenAPI document: the routes, and for each job an operation of its own with the schema of its payload."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from rota.api.documents.examples import example_of
from rota.api.enqueueing import Options
from rota.errors import InvalidPayload
from rota.model.job import Job
from rota.model.registry import Registry

_REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "description": "What is wrong, as RFC 9457 writes it.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:rota:problem:invalid-payload"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_ENQUEUED = {
    "type": "object",
    "required": ["id", "queue", "name", "created", "links"],
    "properties": {
        "id": {"type": "string"},
        "queue": {"type": "string"},
        "name": {"type": "string"},
        "created": {"type": "boolean", "description": "Whether this request made the job."},
        "links": {"type": "object", "properties": {"self": {"type": "string"}}},
    },
}


def document(app: FastAPI, registry: Registry) -> dict[str, Any]:
    """Return the document of an application with these jobs."""
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    # What the framework says of its own errors, which are never answered.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= {"Problem": _PROBLEM, "Enqueued": _ENQUEUED}
    found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"key": []}]
    schemas["Options"] = Options.model_json_schema(ref_template=_REF)
    for operations in found["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _answer("A problem", "Problem", "application/problem+json")
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
            "options": {"$ref": _REF.format(model="Options")},
        },
    }
    content: dict[str, Any] = {"schema": body}
    example = example_of(payload, schemas)
    if example is not None and _is_taken(job, example):
        content["example"] = {"payload": example}
    return {
        "tags": ["jobs"],
        "summary": f"Enqueue {name}",
        "description": (job.handler.__doc__ or "").strip(),
        "operationId": f"enqueue_{name.replace(':', '_')}",
        "requestBody": {"required": bool(job.payload.required), "content": {"application/json": content}},
        "responses": {
            "202": _answer("The job is enqueued", "Enqueued", "application/json"),
            "default": _answer("A problem", "Problem", "application/problem+json"),
        },
    }


def _payload(job: Job[Any, Any], name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a job's arguments, its parts under names that only this job has."""
    prefix = name.replace(":", ".")
    schema = job.payload.json_schema(f"#/components/schemas/{prefix}.{{model}}")
    for part, described in schema.pop("$defs", {}).items():
        schemas[f"{prefix}.{part}"] = described
    schema.pop("title", None)
    return schema


def payload_schema(job: Job[Any, Any]) -> dict[str, Any]:
    """Return the JSON schema of a job's arguments, by itself."""
    return job.payload.json_schema("#/$defs/{model}")


def _is_taken(job: Job[Any, Any], example: Any) -> bool:
    try:
        job.payload.parse((), example)
    except InvalidPayload:
        return False
    return True


def _answer(description: str, model: str, media_type: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {media_type: {"schema": {"$ref": _REF.format(model=model)}}},
    }
