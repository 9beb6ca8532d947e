"""From the body of a request to a call of a job: the payload checked by the job's own type, and the options."""

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from rota.api.bodies import refuse_others
from rota.api.desk import caller_of, desk_of
from rota.api.problems import Error, Problem, check_names, pointer
from rota.errors import InvalidPayload, PayloadTooLarge, UnknownJob, UnknownWebhook
from rota.model.access.keys import AccessKey
from rota.model.job import Call, Job
from rota.model.registry import Registry
from rota.names import check_id, check_tenant, check_webhook, full_name, id_of_tenant
from rota.units import LONGEST
from rota.wire.keys import check_queue

_FIELDS = ("payload", "options")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
Seconds = Annotated[float, Field(ge=0, le=LONGEST, allow_inf_nan=False)]


class Options(BaseModel):
    """The options of one enqueue, as a request gives them."""

    model_config = ConfigDict(extra="forbid", strict=False, hide_input_in_errors=True)

    delay: Seconds | None = None
    """Seconds until the job is due."""
    run_at: AwareDatetime | None = None
    """The moment at which the job is due, with a time zone; in place of `delay`."""
    id: Annotated[str, AfterValidator(check_id)] | None = None
    """The job's id, unique on its queue."""
    queue: Annotated[str, AfterValidator(check_queue)] | None = None
    """The queue that the job waits and runs on, in place of its own."""
    priority: Annotated[int, Field(ge=0, le=9)] | None = None
    """From 0 to 9; higher ones start first."""
    timeout: Annotated[float, Field(gt=0, le=LONGEST, allow_inf_nan=False)] | None = None
    """Seconds that an attempt may take."""
    max_attempts: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Attempts, the first included."""
    keep_result: Seconds | None = None
    """Seconds that the result is kept."""
    on_taken: Literal["refuse", "existing", "replace", "debounce"] | None = None
    """What happens when the id, or the unique key, is in use."""
    tenant: Annotated[str, AfterValidator(check_tenant)] | None = None
    """Whose job it is; with a key of a tenant that one's."""
    webhook: Annotated[str, AfterValidator(check_webhook)] | None = None
    """The id of a webhook that is told of the job's end."""

    def chosen(self) -> dict[str, Any]:
        """Return the options that were given, by the names that `Job.options` has for them.

        An id is given within a tenant, so that those of two are apart.
        """
        given = {
            name: getattr(self, name) for name in self.model_fields_set if getattr(self, name) is not None
        }
        if self.id is not None and self.tenant is not None:
            given["id"] = id_of_tenant(self.tenant, self.id)
        at: datetime | None = given.pop("run_at", None)
        return given if at is None else {**given, "at": at}


def call_of(
    registry: Registry, key: AccessKey, name: str, body: Mapping[str, Any], *place: str | int
) -> Call[Any]:
    """Return the call that a request asks for, of the tenant of its `key`.

    `place` is where in the request's body it stands. Raises UnknownJob, and Problem for what cannot be enqueued.
    """
    refuse_others(body, _FIELDS, *place)
    job = registry.find(name)
    payload = body.get("payload") or {}
    if not isinstance(payload, Mapping):
        raise _invalid([{"pointer": pointer(*place, "payload"), "detail": "is to be an object of arguments"}])
    try:
        # Parsed as JSON first, because a strict type takes a string for a date from JSON only.
        arguments = job.payload.bind((), job.payload.parse((), payload))
    except InvalidPayload as error:
        raise _invalid(
            [{"pointer": pointer(*place, "payload", at), "detail": why} for at, why in error.problems.items()]
        ) from None
    return Call(_with_options(job, key, body.get("options"), place), arguments)


async def check_webhooks(request: Request, calls: Iterable[Call[Any]]) -> None:
    """Raise Problem for a job that names a webhook which the caller has not. Asks nothing where no job names one."""
    named = {call.job.enqueue_options.webhook for call in calls} - {None}
    for webhook in named:
        try:
            await desk_of(request).client.webhooks.get(str(webhook), tenant=caller_of(request).tenant)
        except UnknownWebhook as error:
            raise _invalid([{"pointer": pointer("options", "webhook"), "detail": str(error)}]) from None


def fix_of(registry: Registry, key: AccessKey, queue: str, task: str, body: Mapping[str, Any]) -> Call[Any]:
    """Return the call that a dead letter of the job `task` is to come back as. Raises Problem."""
    refuse_others(body, _FIELDS[:1])
    for name in (full_name(queue, task), task):
        with contextlib.suppress(UnknownJob):
            job = registry.find(name)
            return call_of(registry, key, registry.full_name(job), body)
    detail = (
        f"this deployment does not know the job {full_name(queue, task)}, so its payload cannot be checked"
    )
    raise Problem(409, "unknown-here", "The job is not known here", detail)


def idempotency_key_of(request: Request) -> str | None:
    """Return the key by which a request may be sent twice; None where it has none. Raises Problem for a bad one."""
    given: str | None = request.headers.get("idempotency-key")
    if given is not None and not _KEY.fullmatch(given):
        detail = "Idempotency-Key is to be 1 to 255 visible characters of ASCII, such as a UUID"
        raise Problem(422, "invalid-header", "A header cannot be used", detail)
    return given


def fingerprint_of(name: str, body: Mapping[str, Any]) -> str:
    """Return a digest of what a request asks for, the same in whatever order its fields stand."""
    text = json.dumps([name, body], sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def calls_of(registry: Registry, key: AccessKey, listed: list[Any]) -> list[Call[Any]]:
    """Return the calls of a list. Raises Problem, with the place of each mistake, where one of them is wrong."""
    calls, errors = [], list[Error]()
    for number, one in enumerate(listed):
        try:
            calls.append(_listed(registry, key, one, number))
        except Problem as problem:
            errors += problem.errors or [{"pointer": pointer("jobs", number), "detail": problem.detail}]
        except (UnknownJob, PayloadTooLarge) as error:
            errors.append({"pointer": pointer("jobs", number), "detail": str(error)})
        if len(errors) >= _MOST_ERRORS:
            break
    if errors:
        raise _invalid(errors)
    return calls


#: The most mistakes that an answer lists.
_MOST_ERRORS = 100


def _listed(registry: Registry, key: AccessKey, one: Any, number: int) -> Call[Any]:
    if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
        raise _invalid([{"pointer": pointer("jobs", number), "detail": 'is to be an object with a "name"'}])
    rest = {name: value for name, value in one.items() if name != "name"}
    return call_of(registry, key, one["name"], rest, "jobs", number)


def _with_options(
    job: Job[Any, Any], key: AccessKey, given: Any, place: tuple[str | int, ...]
) -> Job[Any, Any]:
    if given is None and key.tenant is None:
        return job
    try:
        options = Options.model_validate({} if given is None else given)
        if options.tenant is not None:
            check_names(key, options.tenant)
        return job.options(**options.model_copy(update={"tenant": options.tenant or key.tenant}).chosen())
    except ValidationError as error:
        errors = [
            {"pointer": pointer(*place, "options", *one["loc"]), "detail": one["msg"]}
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise _invalid(errors) from None
    except ValueError as error:
        raise _invalid([{"pointer": pointer(*place, "options"), "detail": str(error)}]) from None


def _invalid(errors: Sequence[Error]) -> Problem:
    detail = f"{errors[0]['pointer'] or 'the body'} {errors[0]['detail']}"
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return Problem(422, "invalid-payload", "The request does not fit the job", detail + more, errors=errors)
