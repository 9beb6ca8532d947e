"""Reads the history of a queue: one round trip, whatever the time and the number of workers."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rota.model.history.series import DeployMark, QueueHistory, Window, fold
from rota.model.history.tallies import Tallies, minutes_in
from rota.wire.keys import history_key

_HOUR = 3600
#: The number of an hour that is not asked for again: our clock and the server's differ by less, in hours.
_SLACK = 1
_MARK = re.compile(r"^(\d{1,14}) (\S{1,100}) (\S+)$", re.MULTILINE | re.ASCII)


async def read_history(redis: Any, namespace: str, queue: str, window: Window, about: float) -> QueueHistory:
    """Read what the workers of a queue counted up to now. Raises what redis-py raises.

    `about` is about the server's time; where it is too far from it, a second round trip asks for the right hours.
    """
    prefix = history_key(namespace, queue)
    now, hours, values = await _ask(redis, prefix, window, about)
    if not hours[0] <= window.begin(now) // _HOUR or not now // _HOUR <= hours[-1]:
        now, hours, values = await _ask(redis, prefix, window, now)
    marks, *texts = values
    minutes: list[tuple[int, Tallies]] = []
    for hour, text in zip(hours, texts, strict=True):
        if text:
            minutes += _minutes(hour, text)
            # An hour of a busy queue takes some milliseconds, and 72 of them would hold up the event loop.
            await asyncio.sleep(0)
    return fold(queue, window, now, minutes, _marks(marks or b""))


async def _ask(
    redis: Any, prefix: str, window: Window, about: float
) -> tuple[float, range, list[bytes | None]]:
    """Return the server's time, the hours that were asked for, and the marks with the texts of these hours."""
    hours = range(window.begin(about) // _HOUR - _SLACK, int(about // _HOUR) + _SLACK + 1)
    async with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.mget([f"{prefix}:marks", *(f"{prefix}:{hour}" for hour in hours)])
        (seconds, micros), values = await pipe.execute()
    return seconds + micros / 1e6, hours, values


def _minutes(hour: int, text: bytes) -> Iterator[tuple[int, Tallies]]:
    for minute, counted in minutes_in(text):
        yield hour * _HOUR + minute * 60, counted


def _marks(text: bytes) -> Iterator[DeployMark]:
    for ms, version, process in _MARK.findall(text.decode("utf-8", "replace")):
        yield DeployMark(datetime.fromtimestamp(int(ms) / 1000, UTC), version, process)
