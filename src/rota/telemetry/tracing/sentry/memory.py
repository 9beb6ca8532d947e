"""Remembers failed attempts: for the report of a job's death, and as breadcrumbs of the job's next attempt."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

#: The most jobs that are remembered; the oldest are forgotten first.
MOST = 1000
_MOST_CRUMBS = 20


@dataclass(frozen=True, slots=True)
class Left:
    """A failed attempt: its exception, and the Sentry scopes that were around it.

    `error` is None where the handler was told to stop and returned.
    """

    error: BaseException | None
    isolation: Any
    current: Any
    payload: bytes


class Memory:
    """The failed attempts, by queue and id. Their number is bounded: a job may end in another process."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._left: OrderedDict[tuple[str, str], Left] = OrderedDict()
        self._crumbs: OrderedDict[tuple[str, str], list[dict[str, Any]]] = OrderedDict()

    def keep(self, queue: str, job_id: str, left: Left) -> None:
        """Keep a failed attempt until it is known whether the job goes on."""
        self._left[queue, job_id] = left
        self._bound()

    def take(self, queue: str, job_id: str) -> Left | None:
        """Return the last failed attempt of a job, if there is one, and forget it."""
        return self._left.pop((queue, job_id), None)

    def remember(self, queue: str, job_id: str, crumb: dict[str, Any]) -> None:
        """Add a breadcrumb for the job's next attempt."""
        crumbs = self._crumbs.setdefault((queue, job_id), [])
        self._crumbs[queue, job_id] = [*crumbs, crumb][-_MOST_CRUMBS:]
        self._bound()

    def recall(self, queue: str, job_id: str) -> list[dict[str, Any]]:
        """Return the breadcrumbs of a job's earlier attempts in this process."""
        return list(self._crumbs.get((queue, job_id), ()))

    def forget(self, queue: str, job_id: str) -> None:
        """Forget all attempts of a job that is over."""
        self._left.pop((queue, job_id), None)
        self._crumbs.pop((queue, job_id), None)

    def _bound(self) -> None:
        for kept in (self._left, self._crumbs):
            while len(kept) > self._most:
                kept.popitem(last=False)


MEMORY = Memory()
