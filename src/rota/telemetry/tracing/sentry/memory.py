"""What attempts left behind in this process: for the report of a job's death, for its next attempt's breadcrumbs."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

#: Jobs that are remembered; the oldest are forgotten first.
MOST = 1000
_MOST_CRUMBS = 20


@dataclass(frozen=True, slots=True)
class Left:
    """How an attempt ended that failed: its exception, and the scopes that were around it.

    One that was told to stop may have returned instead of raising.
    """

    error: BaseException | None
    isolation: Any
    current: Any
    payload: bytes


class Memory:
    """Bounded: a job that ends elsewhere is never heard of again here."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._left: OrderedDict[tuple[str, str], Left] = OrderedDict()
        self._crumbs: OrderedDict[tuple[str, str], list[dict[str, Any]]] = OrderedDict()

    def keep(self, queue: str, job_id: str, left: Left) -> None:
        """An attempt of a job has failed; what that comes to is not known yet."""
        self._left[queue, job_id] = left
        self._bound()

    def take(self, queue: str, job_id: str) -> Left | None:
        """What the last attempt left, once."""
        return self._left.pop((queue, job_id), None)

    def remember(self, queue: str, job_id: str, crumb: dict[str, Any]) -> None:
        """The job is to be tried again, after this."""
        crumbs = self._crumbs.setdefault((queue, job_id), [])
        self._crumbs[queue, job_id] = [*crumbs, crumb][-_MOST_CRUMBS:]
        self._bound()

    def recall(self, queue: str, job_id: str) -> list[dict[str, Any]]:
        """The breadcrumbs of earlier attempts in this process."""
        return list(self._crumbs.get((queue, job_id), ()))

    def forget(self, queue: str, job_id: str) -> None:
        """The job is over."""
        self._left.pop((queue, job_id), None)
        self._crumbs.pop((queue, job_id), None)

    def _bound(self) -> None:
        for kept in (self._left, self._crumbs):
            while len(kept) > self._most:
                kept.popitem(last=False)


MEMORY = Memory()
