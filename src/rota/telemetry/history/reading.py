"""Reads the history of queues: one round trip, whatever the time and the number of queues and workers."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rota.model.history.series import DeployMark, QueueHistory, Window, fold
from rota.model.history.tallies import Tallies, minutes_in
from rota.wire.keys import history_key

_HOUR = 3600
#: The number of an hour that is not asked for again: our clock and the server's differ by less, in hours.
_SLACK = 1
_MARK = re.compile(r"^(\d{1,14}) (\S{1,100}) (\S+)$", re.MULTILINE | re.ASCII)


async def read_histories(
    redis: Any, namespace: str, queues: Sequence[str], window: Window, about: float
) -> dict[str, QueueHistory]:
    """Read what the workers of some queues counted up to now. Raises what redis-py raises.

    `about` is about the server's time; where it is too far from it, a second round trip asks for the right hours.
    """
    prefixes = [history_key(namespace, queue) for queue in queues]
    now, hours, answers = await _ask(redis, prefixes, window, about)
    if not hours[0] <= window.begin(now) // _HOUR or not now // _HOUR <= hours[-1]:
        now, hours, answers = await _ask(redis, prefixes, window, now)
    found = {}
    for queue, (marks, *texts) in zip(queues, answers, strict=True):
        minutes: list[tuple[int, Tallies]] = []
        for hour, text in zip(hours, texts, strict=True):
            if text:
                minutes += _minutes(hour, text)
                # An hour of a busy queue takes some milliseconds, and 72 of them would hold up the event loop.
                await asyncio.sleep(0)
        found[queue] = fold(queue, window, now, minutes, _marks(marks or b""))
    return found


async def _ask(
    redis: Any, prefixes: Sequence[str], window: Window, about: float
) -> tuple[float, range, list[list[bytes | None]]]:
    """Return the server's time, the hours that were asked for, and of each queue the marks and the texts of these."""
    hours = range(window.begin(about) // _HOUR - _SLACK, int(about // _HOUR) + _SLACK + 1)
    async with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        for prefix in prefixes:
            pipe.mget([f"{prefix}:marks", *(f"{prefix}:{hour}" for hour in hours)])
        (seconds, micros), *answers = await pipe.execute()
    return seconds + micros / 1e6, hours, answers


def _minutes(hour: int, text: bytes) -> Iterator[tuple[int, Tallies]]:
    for minute, counted in minutes_in(text):
        yield hour * _HOUR + minute * 60, counted


def _marks(text: bytes) -> Iterator[DeployMark]:
    for ms, version, process in _MARK.findall(text.decode("utf-8", "replace")):
        yield DeployMark(datetime.fromtimestamp(int(ms) / 1000, UTC), version, process)
