"""The screens of webhooks: who is told of the ends of jobs, and what was sent to whom."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic_core import from_json, to_json

from rota.api.desk import caller_of, desk_of, record
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.once import is_first, new_mark
from rota.api.pages.visitors import OWN_ACTS, OWN_SEES
from rota.api.problems import Problem, problem_of
from rota.client.webhooks.deliveries import MOST, Counts, Delivery
from rota.errors import RotaError, UnknownWebhook
from rota.model.webhooks.job import delivery_on
from rota.model.webhooks.signing import PLAIN_HEADERS
from rota.model.webhooks.subscription import KINDS
from rota.server.faults import explained

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How many messages the page of a webhook shows at once.
_SHOWN = 50
#: The most characters of a body that a page shows.
_LONGEST = 65_536
STATES = ("pending", "retrying", "failed", "delivered")
_AGAIN = "That form was sent before, so nothing was done again. A secret is shown once; Another secret makes a new one."


@router.get("/webhooks", dependencies=[OWN_SEES])
async def webhooks(request: Request) -> Response:
    """Show every webhook with what became of its messages, and a form for another one."""
    return await _list(request)


@router.post("/webhooks", dependencies=[OWN_ACTS])
async def make(request: Request) -> Response:
    """Make a webhook, and show its secret once."""
    form = await form_of(request)
    url, about = (form.get(name, [""])[0].strip() for name in ("url", "description"))
    chosen = tuple(kind for kind in form.get("events", []) if kind in KINDS)
    if not await is_first(request, form):
        return go_to(request, f"{base_of(request)}/webhooks", _AGAIN)
    try:
        made = await desk_of(request).client.webhooks.make(
            url, tenant=caller_of(request).tenant, description=about, events=chosen or KINDS
        )
    except (RotaError, ValueError) as error:
        problem = problem_of(error)
        if problem is None or problem.status >= 500:  # noqa: PLR2004
            raise
        return await _list(request, 422, wrong=problem.detail, typed={"url": url, "description": about})
    await record(request, "make_webhook", webhook=made.id, url=url)
    return await _one(request, made.id, secret=made.secret)


@router.get("/webhooks/{webhook}", dependencies=[OWN_SEES])
async def webhook(
    request: Request, webhook: str, state: str = "", skip: Annotated[int, Query(ge=0, le=MOST)] = 0
) -> Response:
    """Show one webhook, and what was sent to it lately, all or in one state."""
    return await _one(request, webhook, state=state if state in STATES else "", skip=skip)


@router.get("/webhooks/{webhook}/messages/{message}", dependencies=[OWN_SEES])
async def message(request: Request, webhook: str, message: str) -> Response:
    """Show one message as it is sent, but for its signature, and how that went."""
    hooks = desk_of(request).client.webhooks
    async with explained(desk_of(request).client.redis):
        hook, one = await asyncio.gather(
            hooks.get(webhook, tenant=caller_of(request).tenant), hooks.of(webhook).one(message)
        )
    if one is None:
        raise UnknownWebhook(webhook, message)
    return render(
        request,
        "message.html",
        page="webhooks",
        hook=hook,
        one=one,
        job_id=delivery_on(one.queue, webhook, message).enqueue_options.id if one.queue else "",
        headers=_headers(one),
        body=_written(one.body),
    )


@router.post("/webhooks/{webhook}/{action}", dependencies=[OWN_ACTS])
async def act(request: Request, webhook: str, action: str) -> Response:
    """Switch a webhook on or off, give it another secret, delete it, or send a message again."""
    hooks, base, tenant = desk_of(request).client.webhooks, base_of(request), caller_of(request).tenant
    form = await form_of(request)
    sent, reason = (form.get(name, [""])[0] for name in ("message", "reason"))
    path = f"{base}/webhooks/{webhook}"
    if action in ("on", "off"):
        await hooks.change(webhook, tenant=tenant, on=action == "on")
        said = f"It is switched {action}."
    elif action == "send":
        await hooks.send_again(webhook, sent, tenant=tenant)
        said, path = "The message is sent again.", f"{path}/messages/{sent}"
    elif action == "delete":
        await hooks.remove(webhook, tenant=tenant)
        said, path = "The webhook is deleted.", f"{base}/webhooks"
    elif action == "rotate":
        if not await is_first(request, form):
            return go_to(request, path, _AGAIN)
        found = await hooks.rotate(webhook, tenant=tenant)
        await record(request, "rotate_webhook", webhook=webhook, reason=reason)
        return await _one(request, webhook, secret=found.secret)
    else:
        detail = f"no action is called {action[:40]!r}"
        raise Problem(404, "not-found", "There is nothing at this path", detail)
    told = {"message": sent} if action == "send" else {}
    await record(request, f"{action}_webhook", webhook=webhook, reason=reason, **told)
    return go_to(request, path, said)


async def _list(
    request: Request, status: int = 200, *, wrong: str = "", typed: dict[str, str] | None = None
) -> Response:
    hooks = desk_of(request).client.webhooks
    found = await hooks.all(tenant=caller_of(request).tenant)
    return render(
        request,
        "webhooks.html",
        status,
        page="webhooks",
        hooks=found,
        counts=await hooks.counts_of(one.id for one in found),
        kinds=KINDS,
        wrong=wrong,
        typed=typed or {},
        once=new_mark(),
    )


async def _one(
    request: Request, webhook: str, *, secret: str = "", state: str = "", skip: int = 0
) -> Response:
    hooks = desk_of(request).client.webhooks
    # The records are not shown unless the webhook is there, and the visitor's to see.
    found, counts, sent = await asyncio.gather(
        hooks.get(webhook, tenant=caller_of(request).tenant),
        hooks.counts(webhook),
        _heads(request, webhook, state, skip),
    )
    values: dict[str, Any] = {
        "one": found,
        "counts": counts,
        "sent": sent[:_SHOWN],
        "following": skip + _SHOWN if len(sent) > _SHOWN else None,
        "states": ("", *STATES),
        "state": state,
        "off_at": datetime.fromtimestamp(found.off_ms / 1000, UTC) if found.off else None,
        "secret": secret,
        "once": new_mark(),
        "rate": _rate(counts),
    }
    return render(request, "webhook.html", page="webhooks", **values)


async def _heads(request: Request, webhook: str, state: str, skip: int) -> list[Delivery]:
    desk = desk_of(request)
    async with explained(desk.client.redis):
        return await desk.client.webhooks.of(webhook).heads(state, skip=skip, limit=_SHOWN + 1)


def _rate(counts: Counts) -> float | None:
    """Return how many of a hundred messages that are over have arrived; None where none is."""
    ended = counts.delivered + counts.failed
    return 100 * counts.delivered / ended if ended else None


def _headers(one: Delivery) -> dict[str, str]:
    """Return the headers that a receiver gets, without what only holders of the secret can make."""
    at = f"{one.last.timestamp():.0f}" if one.last else "when it is sent"
    return PLAIN_HEADERS | {
        "webhook-id": one.id,
        "webhook-timestamp": at,
        "webhook-signature": "v1,***",
    }


def _written(body: bytes) -> str:
    """Return a body as people read it, with its lines indented where it is JSON, and cut where it is long."""
    with contextlib.suppress(ValueError):
        body = to_json(from_json(body), indent=2)
    text = body.decode("utf-8", "replace")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\N{HORIZONTAL ELLIPSIS}"
