"""The jobs of fault tests, and a service of the leader that writes into the ledger while its term lasts.

The entries have the epoch of the term in place of a job's id, and are of the event `leads`.
"""

import asyncio
import os
import time
from typing import Any

from rota.app import beside
from rota.services.election import LeadersService
from rota.services.leadership import Leadership
from tests.faults.jobs_for_faults.ledger import VARIABLE
from tests.faults.jobs_for_faults.on_loop import block, work

__all__ = ["block", "work"]

#: From one entry to the next, in seconds.
EVERY = 0.05


class Scribe:
    """A service that notes again and again that its process leads."""

    name, may_end = "scribe", False

    def __init__(self, term: Leadership) -> None:
        self._term = term

    async def run(self) -> None:
        with open(os.environ[VARIABLE], "ab", buffering=0) as ledger:
            while True:
                self._term.check()
                line = f"{self._term.epoch} 0 {os.getpid()} leads {time.monotonic():.6f}\n"
                ledger.write(line.encode())
                await asyncio.sleep(EVERY)


def _services(settings: Any, queues: Any, server: Any, figures: Any) -> tuple[LeadersService, ...]:
    return (Scribe,)


beside.leaders_services = _services
