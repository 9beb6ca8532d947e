"""A job, and a bug in one of the services of the process that imports it.

BUG_IN names the service. It fails once, works, and fails for good as soon as there is a file at BUG_STAYS. With
BUG_IN=deaf, the heartbeat ignores every cancellation.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

from rota.app import recycling
from rota.app.probes import Probes
from rota.app.supervisor import Supervisor
from rota.engine.leases import Leases
from rota.fleet import heartbeat, watch
from rota.fleet.autoscaler import Autoscaler
from rota.model.policies.backoff import fixed
from rota.process import loop_watch, services
from rota.services import housekeeper
from rota.wire.leader import Place
from tests.faults.jobs_for_faults.on_loop import work

__all__ = ["work"]

#: What each service calls again and again.
CALLS: dict[str, tuple[Any, str]] = {
    "leases": (Leases, "keep"),
    "loop-beat": (loop_watch.LoopBeat, "_beat"),
    "heartbeat": (heartbeat.Heartbeat, "beat"),
    "recycling": (recycling, "resident"),
    "tidy": (Probes, "tidy"),
    "housekeeper": (housekeeper.Housekeeper, "sweep"),
    "leader": (Place, "renew"),
    "parent": (Supervisor, "_look_for_parent"),
    "watch": (watch.Watch, "look"),
    "autoscaler": (Autoscaler, "turn"),
}


def _break(owner: Any, name: str, stays: Path) -> None:
    whole, failures = getattr(owner, name), iter((True,))

    def broken(*args: Any) -> Any:
        if next(failures, False) or stays.exists():
            raise TypeError("a bug of ours")
        return whole(*args)

    setattr(owner, name, broken)


async def _deaf(_: object) -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


services.PAUSES = fixed(0.05)
housekeeper.EVERY = heartbeat.EVERY = watch.EVERY = recycling.LOOK_EVERY = 0.05
if os.environ["BUG_IN"] == "deaf":
    services.ENDING = (0.1, 0.1)
    heartbeat.Heartbeat.run = _deaf  # type: ignore[method-assign, assignment]
else:
    _break(*CALLS[os.environ["BUG_IN"]], Path(os.environ["BUG_STAYS"]))
