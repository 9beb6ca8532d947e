"""The table of actions: who did what to which jobs, written from the stream of them, and read page by page."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Delete, Select, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from rota.model.bulk.actions import Action, Actor
from rota.store.schema import Row, actions
from rota.store.values import moment_of, stored


def place_of(position: str) -> str:
    """Return the position of an entry of a stream as it stands in the table, where it sorts as the stream does."""
    ms, _, number = position.partition("-")
    return f"{ms:0>15}-{number or '0':0>10}"


async def insert(connection: AsyncConnection, stream: str, found: Sequence[Action]) -> None:
    """Write actions, within the transaction of `connection`. One that is there already stays as it is."""
    if not found:
        return
    kind = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    await connection.execute(kind(actions).on_conflict_do_nothing(), [_row(stream, one) for one in found])


async def page(
    connection: AsyncConnection, stream: str, *, before: str | None, tenant: str | None, limit: int
) -> list[Action]:
    """Return the newest actions, or those before the one at a position; with a tenant, those on its jobs."""
    rows = (await connection.execute(newest(stream, before=before, tenant=tenant, limit=limit))).mappings()
    return [_action(row) for row in rows]


def newest(stream: str, *, before: str | None, tenant: str | None, limit: int) -> Select[Any]:
    """Return the statement that asks for a page of actions."""
    question = select(actions).where(actions.c.stream == stream)
    if tenant is not None:
        question = question.where(actions.c.tenant == stored("tenant", tenant))
    if before is not None:
        question = question.where(actions.c.position < place_of(before))
    return question.order_by(actions.c.position.desc()).limit(limit)


def deletion(before: datetime) -> Delete:
    """Return the statement that deletes the actions of before a time."""
    return delete(actions).where(actions.c.at < before)


def _row(stream: str, one: Action) -> Row:
    known = {
        "action": one.action,
        "via": one.actor.via,
        "by_id": one.actor.id,
        "by_name": one.actor.name,
        "tenant": one.tenant,
        "target": json.dumps(dict(one.target), default=str),
        "count": one.count,
        "outcome": one.outcome,
        "detail": json.dumps(dict(one.detail), default=str),
    }
    row = {column: stored(column, value) for column, value in known.items()}
    return {
        "stream": stream,
        "position": place_of(one.position),
        "at": one.at or moment_of(one.position),
        **row,
    }


def _action(row: Mapping[str, Any]) -> Action:
    ms, _, number = row["position"].partition("-")
    return Action(
        actor=Actor(row["via"], row["by_id"], row["by_name"]),
        action=row["action"],
        target=json.loads(row["target"]),
        count=row["count"],
        outcome=row["outcome"],
        tenant=row["tenant"],
        detail=json.loads(row["detail"]),
        at=row["at"],
        position=f"{int(ms)}-{int(number)}",
    )
