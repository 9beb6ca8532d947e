"""The routes of webhooks: who is told of the ends of jobs, by which secret, and what was sent to whom."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from rota.api.answers import answer
from rota.api.bodies import read_object
from rota.api.cursors import cursor_of, not_of_this_list, place_in
from rota.api.desk import OWN_OPERATES, OWN_READS, caller_of, desk_of
from rota.api.problems import Problem, pointer
from rota.client.webhooks.deliveries import MOST, Delivery
from rota.client.webhooks.webhooks import Webhooks
from rota.model.webhooks.subscription import LONGEST_DESCRIPTION, MOST_CHOSEN, Subscription
from rota.names import check_tenant
from rota.wire.keys import check_queue

router = APIRouter(tags=["webhooks"], default_response_class=Response)

#: The largest body, in bytes.
_MOST_BYTES = 65_536

Kind = Literal["job.completed", "job.dead", "job.cancelled"]
Queue = Annotated[str, AfterValidator(check_queue)]
JobName = Annotated[str, Field(min_length=1, max_length=210)]


class Fields(BaseModel):
    """The fields of a webhook, as a request that changes one gives them."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    url: Annotated[str, Field(max_length=2048)] | None = None
    """Where messages are sent: https, to a public address, unless the API's settings allow others."""
    description: Annotated[str, Field(max_length=LONGEST_DESCRIPTION)] | None = None
    """Of what it is for, for people."""
    events: Annotated[list[Kind], Field(min_length=1, max_length=10)] | None = None
    """The kinds of messages that it gets; all, unless said."""
    queues: Annotated[list[Queue], Field(max_length=MOST_CHOSEN)] | None = None
    """The queues of the jobs that it is told of; all, unless said."""
    jobs: Annotated[list[JobName], Field(max_length=MOST_CHOSEN)] | None = None
    """The full names of the jobs that it is told of; all, unless said."""
    chosen_only: bool | None = None
    """Whether it is told only of jobs that are enqueued with its id."""

    def chosen(self, *others: str) -> dict[str, Any]:
        """Return the fields that were given, without `others`."""
        given = {name: getattr(self, name) for name in self.model_fields_set if name not in others}
        return {name: value for name, value in given.items() if value is not None}


class NewWebhook(Fields):
    """A webhook that is to be made."""

    url: Annotated[str, Field(max_length=2048)]
    tenant: Annotated[str, AfterValidator(check_tenant)] | None = None
    """Of whose jobs alone it is told. With the key of a tenant it is that tenant."""


class Changes(Fields):
    """The changes of a webhook."""

    enabled: bool | None = None
    """Whether messages are sent to it."""


@router.get("/webhooks", summary="All webhooks", dependencies=[OWN_READS])
async def webhooks(request: Request) -> Response:
    """Return the webhooks, in the order in which they were made."""
    found = await _webhooks(request).all(tenant=caller_of(request).tenant)
    return answer({"items": [_shown(one) for one in found]})


@router.post("/webhooks", summary="Make a webhook", status_code=201, dependencies=[OWN_OPERATES])
async def make(request: Request) -> Response:
    """Make a webhook; its secret is shown in this answer alone."""
    body = _read(NewWebhook, await read_object(request, _MOST_BYTES))
    assert isinstance(body, NewWebhook)  # noqa: S101 - for the type checker
    own = caller_of(request).tenant
    if own is not None and body.tenant not in (None, own):
        detail = f"the key is of the tenant {own}, and so are its webhooks"
        raise Problem(
            422, "invalid-body", "The body cannot be read", detail, errors=[_at("tenant", detail=detail)]
        )
    made = await _webhooks(request).make(body.url, tenant=own or body.tenant, **body.chosen("url", "tenant"))
    return answer({**_shown(made), "secret": made.secret}, 201)


@router.get("/webhooks/{webhook}", summary="One webhook", dependencies=[OWN_READS])
async def webhook(request: Request, webhook: str) -> Response:
    """Return a webhook, and how many messages to it arrived, failed and were dropped."""
    found = await _webhooks(request).get(webhook, tenant=caller_of(request).tenant)
    counts = await _webhooks(request).counts(webhook)
    return answer({**_shown(found), "counts": {name: getattr(counts, name) for name in _COUNTS}})


@router.patch("/webhooks/{webhook}", summary="Change a webhook", dependencies=[OWN_OPERATES])
async def change(request: Request, webhook: str) -> Response:
    """Change the fields that are given, and leave the others; `enabled` switches it on and off."""
    body = _read(Changes, await read_object(request, _MOST_BYTES))
    assert isinstance(body, Changes)  # noqa: S101 - for the type checker
    found = await _webhooks(request).change(
        webhook, tenant=caller_of(request).tenant, on=body.enabled, **body.chosen("enabled")
    )
    return answer(_shown(found))


@router.delete(
    "/webhooks/{webhook}", summary="Delete a webhook", status_code=204, dependencies=[OWN_OPERATES]
)
async def delete(request: Request, webhook: str) -> Response:
    """Delete a webhook; what waits for it is not sent."""
    await _webhooks(request).remove(webhook, tenant=caller_of(request).tenant)
    return Response(status_code=204)


@router.post(
    "/webhooks/{webhook}/rotate", summary="Give a webhook another secret", dependencies=[OWN_OPERATES]
)
async def rotate(request: Request, webhook: str) -> Response:
    """Give a webhook another secret, shown in this answer alone; for a day the one before signs beside it."""
    found = await _webhooks(request).rotate(webhook, tenant=caller_of(request).tenant)
    until = datetime.fromtimestamp(found.old_until_ms / 1000, UTC)
    return answer({**_shown(found), "secret": found.secret, "old_secret_until": until})


@router.get("/webhooks/{webhook}/deliveries", summary="What was sent to a webhook", dependencies=[OWN_READS])
async def deliveries(
    request: Request,
    webhook: str,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Return the messages of the last week, the newest first: state, attempts, and what the receiver answered."""
    filters = {"webhook": webhook}
    skip = 0 if cursor is None else place_in(cursor, filters)
    if type(skip) is not int or not 0 <= skip <= MOST:
        raise not_of_this_list()
    found = await _webhooks(request).deliveries(
        webhook, tenant=caller_of(request).tenant, skip=skip, limit=limit
    )
    following = cursor_of(filters, skip + limit) if len(found) == limit else None
    return answer({"items": [_delivery(one) for one in found], "next": following})


@router.post(
    "/webhooks/{webhook}/deliveries/{message}/retry",
    summary="Send a message again",
    status_code=202,
    dependencies=[OWN_OPERATES],
)
async def retry(request: Request, webhook: str, message: str) -> Response:
    """Send a message at once, whether or not it has arrived."""
    found = await _webhooks(request).send_again(webhook, message, tenant=caller_of(request).tenant)
    return answer(_delivery(found), 202)


_COUNTS = ("delivered", "failed", "dropped")


def _webhooks(request: Request) -> Webhooks:
    return desk_of(request).client.webhooks


def _read(model: type[Fields], body: dict[str, Any]) -> Fields:
    """Return the body as a model has it. Raises Problem, with the place of each mistake."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        errors = [_at(*one["loc"], detail=one["msg"]) for one in found[:20]]
        detail = f"{errors[0]['pointer'] or 'the body'}: {errors[0]['detail']}"
        raise Problem(422, "invalid-body", "The body cannot be read", detail, errors=errors) from None


def _at(*place: str | int, detail: str) -> dict[str, str]:
    return {"pointer": pointer(*place), "detail": detail}


def _shown(one: Subscription) -> dict[str, Any]:
    """Return a webhook as answers show it: without its secrets."""
    plain = ("id", "url", "tenant", "description", "events", "queues", "jobs", "chosen_only")
    off = {"reason": one.off, "at": datetime.fromtimestamp(one.off_ms / 1000, UTC)} if one.off else None
    created = datetime.fromtimestamp(one.created_ms / 1000, UTC)
    return {
        **{name: getattr(one, name) for name in plain},
        "enabled": not one.off,
        "off": off,
        "created_at": created,
    }


def _delivery(one: Delivery) -> dict[str, Any]:
    return {
        "id": one.id,
        "state": one.state,
        "attempts": one.attempts,
        "created_at": one.created,
        "last_at": one.last,
        "status": one.status,
        "error": one.error or None,
        "body": _json(one.body),
    }


def _json(body: bytes) -> Any:
    try:
        return from_json(body)
    except ValueError:
        return {}  # another hand has overwritten it
