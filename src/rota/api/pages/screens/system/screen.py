"""The screen of the system itself: Redis, the leader, streams, the database, settings, and what is wrong with them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from rota.api.desk import Desk, desk_of
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.screens.system.variables import variables_of
from rota.api.pages.visitors import SEES
from rota.app.doctor.findings import (
    Finding,
    Level,
    of_fleet,
    of_jobs,
    of_outbox,
    of_records,
    of_secrets,
    of_settings,
    of_webhooks,
)
from rota.fleet.reading import Reading, read
from rota.model.webhooks.subscription import Subscription
from rota.server.check import usable
from rota.server.clones import target_of
from rota.server.faults import explained
from rota.store.faults import StoreError
from rota.wire.keys import actions_key, events_key, leader_key, recording_key, records_key
from rota.wire.lag import Lag, read_lag
from rota.wire.leader import Leader

if TYPE_CHECKING:
    from rota.store.figures import StoreFigures

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _Looked:
    """The answers of Redis: INFO, how long a trip took, the leader, the lengths of streams, the lag of the recorder."""

    info: Mapping[str, Any]
    trip: float
    leader: Leader | None
    events: int
    actions: int
    records: int
    records_are_read: bool
    lag: Lag


@router.get("/system", dependencies=[SEES])
async def system(request: Request) -> Response:
    """Show what all of it stands on, and what is to be changed there."""
    desk = desk_of(request)
    looked, fleet, hooks, (figures, fault) = await asyncio.gather(
        _look(desk), _fleet(desk), desk.client.webhooks.all(), _database(desk)
    )
    findings = _findings(desk, looked, fleet, hooks, figures)
    return render(
        request,
        "system.html",
        page="system",
        wrong=[one for one in findings if one.level is not Level.OK],
        looked=looked,
        info=looked.info,
        facts=fleet.server,
        address=target_of(desk.client.redis.connection_pool).safe_url,
        namespace=desk.settings.namespace,
        most_events=desk.settings.events_maxlen,
        database=desk.settings.database,
        figures=figures,
        fault=fault,
        variables=variables_of(desk.settings),
    )


async def _look(desk: Desk) -> _Looked:
    redis, namespace = desk.client.redis, desk.settings.namespace
    async with explained(redis):
        began = perf_counter()
        seconds, micros = await redis.time()
        trip = perf_counter() - began
        pipe = redis.pipeline(transaction=False)
        pipe.info()
        pipe.get(leader_key(namespace))
        for key in (events_key, actions_key, records_key):
            pipe.xlen(key(namespace))
        pipe.exists(recording_key(namespace))
        (info, leader, events, actions, records, is_read), lag = await asyncio.gather(
            pipe.execute(), read_lag(redis, namespace, seconds + micros / 1e6)
        )
    return _Looked(info, trip, Leader.read(leader), events, actions, records, bool(is_read), lag)


async def _fleet(desk: Desk) -> Reading:
    async with explained(desk.client.redis):
        return await read(desk.client.redis, desk.queues)


async def _database(desk: Desk) -> tuple["StoreFigures | None", str]:
    """Return the figures of the database, and why there are none where it cannot be used."""
    try:
        return (None if desk.archive is None else await desk.archive.figures()), ""
    except StoreError as error:
        return None, str(error)


def _findings(
    desk: Desk,
    looked: _Looked,
    fleet: Reading,
    hooks: list[Subscription],
    figures: "StoreFigures | None",
) -> list[Finding]:
    """Return what `rota doctor` says of what a page may ask for: nothing here looks at every key."""
    namespace = desk.settings.namespace
    return [
        *of_jobs(desk.registry, ()),
        *of_settings(desk.settings, desk.registry),
        *of_secrets(desk.settings),
        *(Finding("redis", Level.WARNING, line) for line in usable(looked.info).warnings),
        *of_fleet(fleet),
        *of_webhooks(hooks),
        *of_records(namespace, looked.records, are_read=looked.records_are_read),
        *(of_outbox(namespace, figures.waiting, figures.refused) if figures else ()),
    ]
