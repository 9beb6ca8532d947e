"""The jobs that this worker was given and does not know: they wait for a worker that does."""

import logging
import math
from collections.abc import Callable, Collection, Iterable

from pydantic_core import to_json

from rota.names import full_name, printable

logger = logging.getLogger("rota.worker")

#: A line of the log names an unknown job once in this many seconds, as long as there are no more names than this.
_TOLD, _MOST_NAMES = 60.0, 1000
#: The queue is told no more names than this, so that a step stays small.
_MOST_PUT_OFF = 100


class Strangers:
    """Names of jobs that a worker does not know. Each is logged once a minute, and meanwhile known to be unknown.

    :param queue: the short name of the worker's queue.
    :param known: the names of the jobs that it knows.
    :param now: a monotonic clock, in seconds.
    """

    def __init__(self, queue: str, known: Iterable[str], now: Callable[[], float]) -> None:
        self._queue = queue
        self._now = now
        # A job that was put on another queue than its own has its queue before its name.
        self._known = {name.rpartition(":")[2] for name in known}
        self._told: dict[str, float] = {}
        self._put_off: dict[str, float] = {}

    def tell(self, job_id: str, name: str, error: str = "") -> None:
        """Log that a job is unknown; `error` says what of it, if that is not its name."""
        now = self._now()
        if now - self._told.get(name, -math.inf) < _TOLD:
            return
        if len(self._told) >= _MOST_NAMES:
            self._told.clear()
        self._told[name] = now
        self._remember(name, now)
        fields = {"job_id": printable(job_id), "job": full_name(self._queue, name), "queue": self._queue}
        logger.warning("job.unknown", extra=fields | ({"error": error} if error else {}))

    def names(self) -> Collection[str]:
        """Return the names of the last minute that no job here has, as they stand in a payload."""
        if not self._put_off:
            return ()
        since = self._now() - _TOLD
        return [name for name, told in self._put_off.items() if told > since]

    def _remember(self, name: str, now: float) -> None:
        """Have the jobs of a name put off, unless a job here has it, or a payload does not hold it as it is."""
        if name in self._known or to_json(name)[1:-1] != name.encode():
            return
        self._put_off.pop(name, None)
        if len(self._put_off) >= _MOST_PUT_OFF:
            del self._put_off[next(iter(self._put_off))]
        self._put_off[name] = now
