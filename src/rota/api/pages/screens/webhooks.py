"""The pages of webhooks: who is told of the ends of jobs, and what was sent to whom."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import caller_of, desk_of, record
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, render
from rota.api.pages.visitors import OWN_ACTS, OWN_SEES
from rota.api.problems import Problem, problem_of
from rota.errors import RotaError
from rota.model.webhooks.subscription import KINDS

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: How many messages the page of a webhook shows.
_SHOWN = 50


@router.get("/webhooks", dependencies=[OWN_SEES])
async def webhooks(request: Request) -> Response:
    """Show every webhook, and a form for another one."""
    return await _list(request)


@router.post("/webhooks", dependencies=[OWN_ACTS])
async def make(request: Request) -> Response:
    """Make a webhook, and show its secret once."""
    form = await form_of(request)
    url, about = (form.get(name, [""])[0].strip() for name in ("url", "description"))
    chosen = tuple(kind for kind in form.get("events", []) if kind in KINDS)
    try:
        made = await desk_of(request).client.webhooks.make(
            url, tenant=caller_of(request).tenant, description=about, events=chosen or KINDS
        )
    except (RotaError, ValueError) as error:
        problem = problem_of(error)
        if problem is None or problem.status >= 500:  # noqa: PLR2004
            raise
        return await _list(request, 422, wrong=problem.detail)
    await record(request, "make_webhook", webhook=made.id, url=url)
    return await _one(request, made.id, secret=made.secret)


@router.get("/webhooks/{webhook}", dependencies=[OWN_SEES])
async def webhook(request: Request, webhook: str) -> Response:
    """Show one webhook, and what was sent to it lately."""
    return await _one(request, webhook)


@router.post("/webhooks/{webhook}/{action}", dependencies=[OWN_ACTS])
async def act(request: Request, webhook: str, action: str) -> Response:
    """Switch a webhook on or off, give it another secret, delete it, or send a message again."""
    hooks, base, tenant = desk_of(request).client.webhooks, base_of(request), caller_of(request).tenant
    form = await form_of(request)
    if action in ("on", "off"):
        await hooks.change(webhook, tenant=tenant, on=action == "on")
        said = f"It is switched {action}."
    elif action == "send":
        await hooks.send_again(webhook, form.get("message", [""])[0], tenant=tenant)
        said = "The message is sent again."
    elif action == "delete":
        await hooks.remove(webhook, tenant=tenant)
        said = "The webhook is deleted."
    elif action == "rotate":
        found = await hooks.rotate(webhook, tenant=tenant)
        await record(request, "rotate_webhook", webhook=webhook)
        return await _one(request, webhook, secret=found.secret)
    else:
        raise Problem(
            404, "not-found", "There is nothing at this path", f"no action is called {action[:40]!r}"
        )
    await record(request, f"{action}_webhook", webhook=webhook)
    return go_to(request, f"{base}/webhooks" if action == "delete" else f"{base}/webhooks/{webhook}", said)


async def _list(request: Request, status: int = 200, wrong: str = "") -> Response:
    found = await desk_of(request).client.webhooks.all(tenant=caller_of(request).tenant)
    return render(request, "webhooks.html", status, page="webhooks", hooks=found, kinds=KINDS, wrong=wrong)


async def _one(request: Request, webhook: str, secret: str = "") -> Response:
    hooks = desk_of(request).client.webhooks
    found = await hooks.get(webhook, tenant=caller_of(request).tenant)
    counts = await hooks.counts(webhook)
    values: dict[str, Any] = {
        "one": found,
        "counts": counts,
        "sent": await hooks.deliveries(webhook, limit=_SHOWN),
        "off_at": datetime.fromtimestamp(found.off_ms / 1000, UTC) if found.off else None,
        "secret": secret,
    }
    return render(request, "webhook.html", page="webhooks", **values)
