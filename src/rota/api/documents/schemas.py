"""The schemas of what is answered, and which operation answers which of them."""

from typing import Any, get_args

from rota.api import shapes
from rota.model.bulk.filters import BulkAction
from rota.model.bulk.operation import OperationState
from rota.model.state import State

Schema = dict[str, Any]

REF = "#/components/schemas/"
_STATES = [state.value for state in State]
_STATUSES = list(shapes.STATE)


def ref(name: str) -> Schema:
    """Return a reference to the schema of this name."""
    return {"$ref": REF + name}


def _object(required: Schema, optional: Schema | None = None, description: str = "") -> Schema:
    """Return the schema of an object which always has the fields `required`."""
    found: Schema = {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }
    return {**found, "description": description} if description else found


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_SELF = _object({"self": _TEXT})
_ANY_OBJECT: Schema = {"type": "object"}
#: What a job is about, and when it was what; a value that means nothing in its state is null.
_JOB = {
    "id": _TEXT,
    "queue": _TEXT,
    "name": _or_null(_TEXT),
    "tenant": _or_null(_TEXT),
    "state": ref("State"),
    "status": ref("Status"),
    "attempt": _COUNT,
    "progress": _or_null(ref("Progress")),
    **{name: _or_null(_TIME) for name in ("enqueued_at", "due_at", "started_at", "finished_at")},
    "worker": _or_null(_TEXT),
    "reason": _or_null(_TEXT),
    "error": _or_null(ref("Error")),
    "result": {"description": "What the handler has returned, as JSON."},
}
_ATTEMPT = _object({"attempt": _COUNT, "at": _or_null(_TIME), "error": _or_null(ref("Error"))})
_REFUSED = {"refused": {"type": "string", "description": "Why the payload or the result is not shown."}}
_ASKED_FOR = {
    **_REFUSED,
    "payload": {"description": "The arguments by name."},
    "checkpoint": {"description": "What the handler has saved."},
    "attempts": _list(_ATTEMPT),
}
_BY = _object({"via": {"enum": ["api", "cli", "code"]}, "id": _TEXT, "name": _TEXT})
_ACTIONS: Schema = {"type": "string", "enum": [action.value for action in BulkAction]}
_OPERATION = {
    "id": _TEXT,
    "action": _TEXT,
    "filter": _ANY_OBJECT,
    "state": {"enum": list(get_args(OperationState))},
    "count": {
        "anyOf": [_COUNT, {"type": "null"}],
        "description": "How many jobs were chosen at the beginning; null where counting them took too long.",
    },
    **dict.fromkeys(("done", "skipped", "failed"), _COUNT),
    "refused": _list(_object(dict.fromkeys(("queue", "id", "why"), _TEXT))),
    "is_aborting": _FLAG,
    "error": _or_null(_TEXT),
    "reason": _or_null(_TEXT),
    "by": _BY,
    "tenant": _or_null(_TEXT),
    **{name: _or_null(_TIME) for name in ("created_at", "started_at", "finished_at")},
}
_ACTION = {
    "id": _TEXT,
    "by": _BY,
    "at": _or_null(_TIME),
    "action": _TEXT,
    "target": _ANY_OBJECT,
    "count": _COUNT,
    "outcome": _TEXT,
    "detail": _ANY_OBJECT,
    "tenant": _or_null(_TEXT),
}
#: What is asked for of many jobs.
BULK_BODY: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["action"],
    "properties": {
        "action": _ACTIONS,
        "filter": ref("Filter"),
        "expect": _COUNT,
        "dry_run": _FLAG,
        "reason": {"type": "string", "maxLength": 200, "description": "Why; it is recorded."},
    },
}
_COUNTS = _object(dict.fromkeys(("waiting", "delayed", "active", "dead"), _COUNT))
_WEBHOOK = {
    **dict.fromkeys(("id", "url", "description"), _TEXT),
    "tenant": _or_null(_TEXT),
    **dict.fromkeys(("events", "queues", "jobs"), _list(_TEXT)),
    **dict.fromkeys(("chosen_only", "enabled"), _FLAG),
    "off": _or_null(_object({"reason": _TEXT, "at": _TIME})),
    "created_at": _TIME,
}
_DELIVERY = {
    "id": _TEXT,
    "state": {"enum": ["pending", "retrying", "delivered", "failed"]},
    "attempts": _COUNT,
    "created_at": _TIME,
    "last_at": _or_null(_TIME),
    "status": _or_null({"type": "integer"}),
    "error": _or_null(_TEXT),
    "body": _ANY_OBJECT,
}
_ENDED = ("state", "status", "result", "error", "reason", "finished_at")

SCHEMAS: dict[str, Schema] = {
    "State": {"type": "string", "enum": _STATES},
    "Status": {"type": "string", "enum": _STATUSES},
    "Progress": _object({"percent": {"type": "number"}, "message": _TEXT}),
    "Error": _object({"type": _TEXT, "message": _TEXT}),
    "Job": _object(_JOB, _ASKED_FOR, "A job as it is now."),
    "Jobs": _object(
        {"items": _list(ref("Job")), "next": _or_null(_TEXT)},
        description="A page of jobs; `next` is the cursor of the next one.",
    ),
    "Result": _object({name: _JOB[name] for name in _ENDED}, _REFUSED),
    "Unfinished": _object({"state": ref("State"), "status": ref("Status")}),
    "Enqueued": _object(
        {
            **dict.fromkeys(("id", "queue", "name"), _TEXT),
            "created": {"type": "boolean", "description": "Whether this request made the job."},
            "links": _SELF,
        }
    ),
    "EnqueuedOne": _object({"id": _TEXT, "queue": _TEXT, "created": _FLAG}),
    "EnqueuedMany": _object({"jobs": _list(ref("EnqueuedOne"))}),
    "Stack": _object(
        {
            **dict.fromkeys(("id", "queue", "name", "worker", "state", "note", "text"), _TEXT),
            "where": {"enum": ["task", "thread", "process"]},
            "blocks": {
                "type": "boolean",
                "description": "Whether it keeps the event loop of its worker busy.",
            },
            "frames": _list(_object({"file": _TEXT, "line": _COUNT, "function": _TEXT, "code": _TEXT})),
            "left_out": _COUNT,
            "started_at": _or_null(_TIME),
            "seconds": {"type": "number", "description": "For how long the attempt has run."},
        },
        description="Where the handler of a running job is, the outermost call first.",
    ),
    "Done": _object({"answer": _TEXT}),
    "Queue": _object(
        {
            "name": _TEXT,
            "counts": _COUNTS,
            "latency": {"type": "number", "description": "Seconds for which the oldest ready job waits."},
            **dict.fromkeys(("workers", "slots", "slots_busy"), _COUNT),
            "paused_since": _or_null(_TIME),
        }
    ),
    "Queues": _object({"items": _list(ref("Queue"))}),
    "History": _object(
        {
            "queue": _TEXT,
            "step": {"type": "number"},
            "points": _list(_ANY_OBJECT),
            "total": _ANY_OBJECT,
            "marks": _list(_ANY_OBJECT),
        }
    ),
    "Operation": _object(_OPERATION, {"links": _SELF}, "An action on many jobs, and how far it has come."),
    "Operations": _object({"items": _list(ref("Operation")), "next": _or_null(_TEXT)}),
    "BulkPreview": _object(
        {
            "action": _TEXT,
            "filter": _ANY_OBJECT,
            "count": _COUNT,
            "is_whole": {
                "type": "boolean",
                "description": "Whether all were counted: it ends after 20 seconds.",
            },
            "sample": _list(ref("Job")),
        }
    ),
    "Activity": _object({"items": _list(_object(_ACTION)), "next": _or_null(_TEXT)}),
    "Schedule": _object({"name": _TEXT, "job": _TEXT}),
    "Kind": _object({"name": _TEXT, "queue": _TEXT, "description": _TEXT}),
    "Ticket": _object({"ticket": _TEXT, "expires_in": {"type": "number"}}),
    "Key": _object(
        {
            "id": _or_null(_TEXT),
            "name": _TEXT,
            "scopes": _list(_TEXT),
            "tenant": _or_null(_TEXT),
            "expires": _or_null(_TIME),
        }
    ),
    "Webhook": _object(
        _WEBHOOK, {"counts": _object(dict.fromkeys(("delivered", "failed", "dropped"), _COUNT))}
    ),
    "WebhookWithSecret": _object(
        {**_WEBHOOK, "secret": {"type": "string", "description": "Shown in this answer alone."}},
        {"old_secret_until": _TIME},
    ),
    "Delivery": _object(_DELIVERY, description="One message to one webhook."),
    "Webhooks": _object({"items": _list(ref("Webhook"))}),
    "Deliveries": _object({"items": _list(ref("Delivery")), "next": _or_null(_TEXT)}),
    "Health": _object({"status": {"const": "ok"}}),
    "Items": _object({"items": _list(_ANY_OBJECT)}),
    "Problem": _object(
        {
            "type": {"type": "string", "examples": ["urn:rota:problem:invalid-payload"]},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "instance": _TEXT,
        },
        {"errors": _list(_object({"detail": _TEXT}, {"pointer": _TEXT, "parameter": _TEXT}))},
        "What is wrong, as RFC 9457 writes it.",
    ),
}
#: The media type of live updates, which have no schema.
EVENTS = "text/event-stream"

#: What each operation answers where it does not refuse: the status, with the name of a schema, EVENTS, or "" (nothing).
ANSWERS: dict[str, dict[int, str]] = {
    "GET /jobs": {200: "JobsOrJob"},
    "POST /jobs": {202: "EnqueuedMany"},
    "GET /jobs/{queue}/{id}": {200: "Job"},
    "GET /jobs/{queue}/{id}/result": {200: "Result", 202: "Unfinished"},
    "GET /jobs/{queue}/{id}/log": {200: "Items"},
    "GET /jobs/{queue}/{id}/stack": {200: "Stack"},
    "POST /jobs/{queue}/{id}/cancel": {200: "Done", 202: "Done"},
    "POST /jobs/{queue}/{id}/retry": {202: "EnqueuedOne"},
    "POST /jobs/{queue}/{id}/run-now": {200: "Done"},
    "DELETE /jobs/{queue}/{id}": {204: ""},
    "GET /jobs/{queue}/{id}/events": {200: EVENTS, 204: ""},
    "GET /queues": {200: "Queues"},
    "GET /queues/{queue}": {200: "Queue"},
    "POST /queues/{queue}/pause": {200: "Queue"},
    "POST /queues/{queue}/resume": {200: "Queue"},
    "GET /queues/{queue}/history": {200: "History"},
    "GET /queues/{queue}/events": {200: EVENTS},
    "GET /events": {200: EVENTS},
    "POST /tickets": {201: "Ticket"},
    "GET /schedules": {200: "Items"},
    "GET /schedules/{name}": {200: "Schedule"},
    "POST /schedules/{name}/run": {202: "Enqueued"},
    "POST /schedules/{name}/pause": {200: "Schedule"},
    "POST /schedules/{name}/resume": {200: "Schedule"},
    "GET /failures": {200: "Items"},
    "GET /failures/{cause}": {200: "Items"},
    "POST /bulk": {200: "BulkPreview", 202: "Operation"},
    "GET /bulk": {200: "Operations"},
    "GET /bulk/{id}": {200: "Operation"},
    "POST /bulk/{id}/abort": {202: "Operation"},
    "GET /activity": {200: "Activity"},
    "GET /workers": {200: "Items"},
    "GET /kinds": {200: "Items"},
    "GET /kinds/{name}": {200: "Kind"},
    "GET /webhooks": {200: "Webhooks"},
    "POST /webhooks": {201: "WebhookWithSecret"},
    "GET /webhooks/{webhook}": {200: "Webhook"},
    "PATCH /webhooks/{webhook}": {200: "Webhook"},
    "DELETE /webhooks/{webhook}": {204: ""},
    "POST /webhooks/{webhook}/rotate": {200: "WebhookWithSecret"},
    "GET /webhooks/{webhook}/deliveries": {200: "Deliveries"},
    "POST /webhooks/{webhook}/deliveries/{message}/retry": {202: "Delivery"},
    "GET /me": {200: "Key"},
    "GET /healthz": {200: "Health"},
    "GET /readyz": {200: "Health"},
}
SCHEMAS["JobsOrJob"] = {"anyOf": [ref("Jobs"), ref("Job")]}

_DESCRIPTIONS = {200: "Done", 201: "Made", 202: "Taken", 204: "Nothing more to say"}


def responses(operation: str) -> dict[str, Schema]:
    """Return the responses of an operation, such as `GET /jobs`; the problem that each may answer is the last."""
    found = {str(status): _response(status, name) for status, name in ANSWERS[operation].items()}
    return {**found, **refusal()}


def refusal() -> dict[str, Schema]:
    """Return the response of every operation that refuses."""
    content = {"application/problem+json": {"schema": ref("Problem")}}
    return {"default": {"description": "A problem", "content": content}}


def response(description: str, name: str) -> Schema:
    """Return a response in JSON, with the schema of this name."""
    return {"description": description, "content": {"application/json": {"schema": ref(name)}}}


def _response(status: int, name: str) -> Schema:
    if name in ("", EVENTS):
        content = {"content": {EVENTS: {"schema": _TEXT}}} if name else {}
        return {"description": _DESCRIPTIONS[status], **content}
    return response(_DESCRIPTIONS[status], name)
