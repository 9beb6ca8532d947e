"""Answers as JSON, and the paths that they name."""

from typing import Any
from urllib.parse import quote

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from rota.model.handle import Handle
from rota.names import full_name


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer with this body. Bytes that JSON cannot carry are written as base64."""
    raw = to_json(body, bytes_mode="base64", inf_nan_mode="strings")
    return Response(raw, status, headers, media_type="application/json")


def job_path(request: Request, queue: str, job_id: str) -> str:
    """Return the path of a job, below the one that the application is mounted at."""
    root: str = request.scope.get("root_path", "").rstrip("/")
    if "/" in job_id:
        # A path is decoded before it is routed, so such an id would read as two parts of it.
        return f"{root}/jobs?queue={quote(queue)}&id={quote(job_id, safe='')}"
    return f"{root}/jobs/{quote(queue)}/{quote(job_id, safe='')}"


def entry_of(handle: Handle[Any]) -> dict[str, Any]:
    """Return a job that was put on a queue as a list shows it."""
    return {"id": handle.id, "queue": handle.queue, "created": handle.created}


def accepted(request: Request, handle: Handle[Any], task: str) -> Response:
    """Return the answer to an enqueue whose job goes on by itself."""
    path = job_path(request, handle.queue, handle.id)
    body = {**entry_of(handle), "name": full_name(handle.queue, task), "links": {"self": path}}
    return answer(body, 202, {"Location": path})
