"""What the API answers where it refuses: a problem in the sense of RFC 9457, one shape for every error."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from rota.errors import (
    EnqueueIncomplete,
    FetchRefused,
    IdempotencyMismatch,
    InvalidFilter,
    InvalidPayload,
    JobExists,
    JobNotFound,
    MoreThanExpected,
    NoDeadLetter,
    NotReplayed,
    NotRunning,
    PayloadTooLarge,
    RefusedPayload,
    RotaError,
    TooManyOperations,
    Uncounted,
    UnknownJob,
    UnknownOperation,
    UnknownQueue,
    UnknownSchedule,
    UnknownWebhook,
    WebhookRefused,
    WorkerSilent,
)
from rota.model.access.keys import AccessKey
from rota.server.faults import ServerError
from rota.store.faults import StoreError

MEDIA_TYPE = "application/problem+json"
#: Seconds after which a caller may ask again while Redis is away.
RETRY_AFTER = 2

Error = Mapping[str, str]


class Problem(Exception):
    """Raised by a route that refuses a request.

    :param kind: a short name of the problem, the same for ever: `invalid-payload`.
    :param errors: what is wrong at which place: `{"pointer": "/payload/to", "detail": "is required"}`.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[Error] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def response(self, instance: str) -> Response:
        """Return the answer to the request of the path `instance`."""
        body = to_json(self.body(instance=instance))
        return Response(body, self.status, self.headers, media_type=MEDIA_TYPE)

    def body(self, **more: str) -> dict[str, Any]:
        """Return the problem as the object that is sent."""
        return {
            "type": f"urn:rota:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **more,
            **({"errors": self.errors} if self.errors else {}),
        }


def wrong_parameter(detail: str, errors: Sequence[Error] = ()) -> Problem:
    """Return the problem that a parameter of a path or a query is."""
    return Problem(422, "invalid-query", "A parameter cannot be used", detail, errors=errors)


def check_names(key: AccessKey, tenant: str) -> None:
    """Raise Problem for a request whose key is of another tenant than the one that it names."""
    if not key.sees(tenant):
        detail = f"the key {key.id} is of the tenant {key.tenant}, and names no other"
        raise Problem(403, "of-another-tenant", "The key is of another tenant", detail)


def away(what: str, detail: str) -> Problem:
    """Return the problem of a server that cannot be used at the moment; who asks may ask again."""
    return Problem(503, "unavailable", f"{what} is away", detail, headers={"Retry-After": f"{RETRY_AFTER}"})


class _Row(NamedTuple):
    status: int
    kind: str
    title: str


#: How each error of the engine is answered; the first row that fits counts.
_ANSWERS: tuple[tuple[type[RotaError], _Row], ...] = (
    (InvalidPayload, _Row(422, "invalid-payload", "The payload does not fit the job")),
    (PayloadTooLarge, _Row(413, "too-large", "The payload is too large")),
    (RefusedPayload, _Row(409, "not-signed", "What is kept in Redis is not signed as it must be")),
    (JobExists, _Row(409, "job-exists", "A live job has this id or unique key")),
    (IdempotencyMismatch, _Row(422, "idempotency-mismatch", "The key was used for something else")),
    (NoDeadLetter, _Row(409, "wrong-state", "The state of the job does not allow this")),
    (NotReplayed, _Row(409, "wrong-state", "The state of the job does not allow this")),
    (NotRunning, _Row(409, "wrong-state", "The state of the job does not allow this")),
    (WorkerSilent, _Row(504, "worker-silent", "The worker that runs the job does not answer")),
    (JobNotFound, _Row(404, "no-such-job", "There is no such job")),
    (UnknownJob, _Row(404, "no-such-name", "No job has this name")),
    (UnknownQueue, _Row(404, "no-such-queue", "There is no such queue")),
    (InvalidFilter, _Row(422, "invalid-filter", "The filter cannot be used")),
    (MoreThanExpected, _Row(409, "more-than-expected", "There are more jobs than expected")),
    (Uncounted, _Row(422, "uncounted", "The jobs could not be counted in time")),
    (TooManyOperations, _Row(429, "too-many-operations", "Too many operations wait")),
    (UnknownOperation, _Row(404, "no-such-operation", "There is no such operation")),
    (UnknownSchedule, _Row(404, "no-such-schedule", "There is no such schedule")),
    (UnknownWebhook, _Row(404, "no-such-webhook", "There is no such webhook, or no such message")),
    (WebhookRefused, _Row(409, "webhook-refused", "The webhook cannot be so")),
    (FetchRefused, _Row(422, "url-refused", "Nothing may be sent to this URL")),
)
#: Titles of the problems that the framework finds by itself.
_FRAMEWORK = {
    404: ("not-found", "There is nothing at this path"),
    405: ("not-allowed", "This path does not take the method"),
}


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that an error of the engine is to a caller; None for an error that is a bug."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ServerError):
        # What the sentence names, an address or a user, is for the log.
        return away("Redis", "Redis cannot be used at the moment; nothing is known to have changed")
    if isinstance(error, StoreError):
        return away("The database", "the audit table cannot be asked at the moment")
    if isinstance(error, EnqueueIncomplete):
        done = f"{len(error.enqueued)} of {error.total} jobs were enqueued when Redis could be used no more"
        return away("Redis", f'{done}; with an "id" each, and "on_taken": "existing", all can be sent again')
    for kind, row in _ANSWERS:
        if isinstance(error, kind):
            return Problem(*row, str(error), errors=_errors_of(error))
    return None


def _errors_of(error: RotaError) -> list[Error]:
    if isinstance(error, InvalidFilter):
        return [{"pointer": pointer("filter", name), "detail": why} for name, why in error.problems.items()]
    if not isinstance(error, InvalidPayload):
        return []
    return [{"pointer": pointer("payload", name), "detail": why} for name, why in error.problems.items()]


def pointer(*parts: str | int) -> str:
    """Return the place of a value within JSON, as RFC 6901 writes it; a part may be a path such as `to[0].name`."""
    names = [name for part in parts for name in re.split(r"[.\[\]]+", str(part)) if name]
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def answer_errors(app: FastAPI) -> None:
    """Let the application answer every error that a caller can meet with a problem."""
    for kind in (Problem, RotaError):
        app.add_exception_handler(kind, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameters)
    app.add_exception_handler(HTTPException, _refuse_by_framework)


async def _refuse(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem.response(request.url.path)


async def _refuse_parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - for the type checker
    found = [(str(one["loc"][-1])[:60], str(one["msg"])) for one in error.errors()]
    errors = [{"parameter": name, "detail": why} for name, why in found]
    return wrong_parameter(f"{found[0][0]}: {found[0][1]}", errors).response(request.url.path)


async def _refuse_by_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - for the type checker: it is registered for these alone
    kind, title = _FRAMEWORK.get(error.status_code, ("refused", "The request is refused"))
    detail = f"{request.method} is not allowed here" if error.status_code == 405 else title  # noqa: PLR2004
    problem = Problem(error.status_code, kind, title, detail, headers=error.headers)
    return problem.response(request.url.path)
