"""The screen of the system itself: Redis, the leader, the recorder, the settings."""

from fastapi import APIRouter, Request, Response

from rota.api.desk import Desk, desk_of
from rota.api.pages import words
from rota.api.pages.frame import ROOT, Page, render
from rota.api.pages.visitors import SEES
from rota.fleet.roster import roster
from rota.server.check import Facts
from rota.server.faults import explained
from rota.units import format_size
from rota.wire.lag import read_lag

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: What each check of the server's set-up says where it is not met.
_CHECKS = {
    "version": "is older than 6.2",
    "maxmemory_policy": "may evict jobs: set maxmemory-policy noeviction",
    "persistence": "keeps no append-only file: a restart loses jobs (appendonly yes)",
    "maxmemory": "has no limit of memory: the kernel would end it (maxmemory)",
}


@router.get("/system", dependencies=[SEES])
async def system(request: Request) -> Response:
    """Show what all of it stands on: Redis, the leader, the audit table, settings."""
    desk = desk_of(request)
    redis, namespace = desk.client.redis, desk.settings.namespace
    async with explained(redis):
        info = await redis.info()
        seconds, micros = await redis.time()
        found = await roster(redis, desk.queues, namespace)
        lag = None if desk.archive is None else await read_lag(redis, namespace, seconds + micros / 1e6)
    facts = Facts.of(info)
    return render(
        request,
        "system.html",
        page="system",
        info=info,
        facts=facts,
        complaints=[says for name, says in _CHECKS.items() if facts.checks.get(name) is False],
        leader=found.leader,
        lag=lag,
        settings=_settings(desk),
    )


def _settings(desk: Desk) -> dict[str, str]:
    """Return the settings that say how long and how large things may be, in words."""
    own = desk.settings
    return {
        "NAMESPACE": own.namespace,
        "KEEP_RESULT": words.duration(own.keep_result),
        "DEAD_RETENTION": words.duration(own.dead_retention),
        "EVENTS_MAXLEN": f"{own.events_maxlen:,}",
        "PAYLOAD_LIMIT": format_size(own.payload_limit),
        "RESULT_LIMIT": format_size(own.result_limit),
    }
