"""Records what a visitor of the dashboard did."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from rota.api.desk import desk_of
from rota.client.bulk.actions import Actions
from rota.model.access.keys import AccessKey
from rota.model.bulk.actions import Action, Actor


async def acted(
    request: Request, action: str, target: Mapping[str, Any], *, count: int = 1, reason: str = ""
) -> None:
    """Add to the list of actions what the visitor of a request did, and why. Raises ServerError."""
    desk, key = desk_of(request), request.state.key
    assert isinstance(key, AccessKey)  # noqa: S101 - for the type checker
    detail = {"reason": reason.strip()[:200]} if reason.strip() else {}
    entry = Action(
        actor=Actor("api", key.id, key.name), action=action, target=target, count=count, detail=detail
    )
    await Actions(desk.client.redis, desk.settings.namespace).record(entry)
