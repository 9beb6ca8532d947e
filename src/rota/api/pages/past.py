"""The past of queues as charts show it: read for all visitors at once, and the longer it is the less often."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from starlette.requests import HTTPConnection

from rota.client.client import Client
from rota.model.history.series import QueueHistory

Histories = dict[str, QueueHistory]


@dataclass(frozen=True, slots=True)
class Period:
    """A time up to now.

    :param seconds: how long it is.
    :param step: from one point of a chart to the next, in seconds.
    :param holds: how long what was read counts, in seconds. Workers tell what they have counted every ten.
    """

    seconds: float
    step: int
    holds: float


#: The times that charts show.
PERIODS = {"1h": Period(3600, 60, 1), "8h": Period(28_800, 600, 10), "72h": Period(259_200, 3600, 60)}


class Past:
    """The histories that the visitors of one application were shown last.

    An open page asks once a second, and to read three days of a busy queue takes a tenth of one.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ...], tuple[float, asyncio.Future[Histories]]] = {}

    async def read(self, client: Client, queues: Sequence[str], name: str) -> Histories:
        """Return the histories of queues over the period `name`. Raises ServerError."""
        period, now = PERIODS[name], monotonic()
        until, reading = self._kept.get((name, *queues), (0.0, None))
        if reading is None or now >= until or _has_failed(reading):
            reading = asyncio.ensure_future(client.histories(queues, period=period.seconds, step=period.step))
            # What has had its time is let go: visitors may name any queue.
            self._kept = {one: kept for one, kept in self._kept.items() if now < kept[0]}
            self._kept[name, *queues] = now + period.holds, reading
        # It goes on where the first of them has left.
        return await asyncio.shield(reading)


def _has_failed(reading: asyncio.Future[Histories]) -> bool:
    return reading.done() and (reading.cancelled() or reading.exception() is not None)


def past_of(request: HTTPConnection) -> Past:
    """Return what the visitors of the application have in common that a request has come to."""
    past: Past = request.app.state.past
    return past
