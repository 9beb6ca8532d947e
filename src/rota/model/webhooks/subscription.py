"""A subscription: the receiver that is told of the ends of jobs, of which jobs, and by which secrets it is signed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic_core import from_json, to_json

from rota.model.event import EventType, StreamEvent
from rota.model.webhooks.signing import new_secret
from rota.names import full_name, is_tenant, printable
from rota.wire.fields import LAST_MS

#: What a message may be about.
KINDS = ("job.completed", "job.dead", "job.cancelled")
ENDS = frozenset({EventType.COMPLETED, EventType.DEAD, EventType.CANCELLED})
LONGEST_DESCRIPTION = 200
#: The most queues, and the most names, that one chooses.
MOST_CHOSEN = 100
#: What the names of rota's own jobs begin with. Nobody is told of them, or a delivery would make another one.
_OWN = "_"


def kind_of(event: StreamEvent) -> str:
    """Return what a message about this event is: `job.completed`."""
    return f"job.{event.type.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A receiver of webhooks.

    :param tenant: whose it is, and of whose jobs alone it is told; None: of all.
    :param events: the kinds of messages that it gets; see KINDS.
    :param queues: the queues of its jobs; none: all queues.
    :param jobs: the full names of its jobs; none: all jobs.
    :param chosen_only: whether it is told only of jobs that were enqueued with its id, whatever they are.
    :param created_ms: when it was made, by the clock of Redis.
    :param since_ms: when it was made, or last switched on; it is told of nothing that was before.
    :param secret: signs what is sent to it. `old_secret` signs too, until `old_until_ms`.
    :param off: why it is switched off; empty while it is on. `off_ms` is since when.
    """

    id: str
    url: str
    tenant: str | None = None
    description: str = ""
    events: tuple[str, ...] = KINDS
    queues: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    chosen_only: bool = False
    created_ms: int = 0
    since_ms: int = 0
    secret: str = field(default="", repr=False)
    old_secret: str = field(default="", repr=False)
    old_until_ms: int = 0
    off: str = ""
    off_ms: int = 0

    def wants(self, event: StreamEvent) -> bool:
        """Tell whether it is told of an event."""
        if event.type not in ENDS or kind_of(event) not in self.events or not event.queue:
            return False
        if self.tenant not in (None, event.tenant) or event.at.timestamp() * 1000 < self.since_ms:
            return False
        if event.webhook == self.id:
            return True
        return not (self.chosen_only or event.task.startswith(_OWN)) and self._covers(event.queue, event.task)

    def _covers(self, queue: str, task: str) -> bool:
        return (not self.queues or queue in self.queues) and (
            not self.jobs or full_name(queue, task) in self.jobs
        )

    def secrets_at(self, now_ms: int) -> tuple[str, ...]:
        """Return the secrets that sign a message now, the newest first."""
        return (
            (self.secret, self.old_secret)
            if self.old_secret and now_ms < self.old_until_ms
            else (self.secret,)
        )

    def rotated(self, now_ms: int, overlap_ms: int) -> "Subscription":
        """Return it with a new secret, beside which the one before signs a while longer."""
        return replace(self, secret=new_secret(), old_secret=self.secret, old_until_ms=now_ms + overlap_ms)

    def write(self) -> bytes:
        """Return its record, as Redis keeps it; whether it is switched off is kept apart."""
        kept = (
            "url",
            "tenant",
            "description",
            "events",
            "queues",
            "jobs",
            "chosen_only",
            "created_ms",
            "since_ms",
        )
        return to_json(
            {name: getattr(self, name) for name in (*kept, "secret", "old_secret", "old_until_ms")}
        )

    @classmethod
    def read(cls, hook_id: str, raw: bytes | None, off: bytes | None = None) -> "Subscription | None":
        """Return a subscription as it lies in Redis; None for what is none."""
        since, _, why = (off or b"").decode("utf-8", "replace").partition(" ")
        try:
            found: Any = from_json(raw or b"")
            tenant = found["tenant"]
            if tenant is not None and not is_tenant(tenant):
                return None
            return cls(
                id=hook_id,
                url=str(found["url"]),
                tenant=tenant,
                description=str(found["description"]),
                events=_texts(found["events"]),
                queues=_texts(found["queues"]),
                jobs=_texts(found["jobs"]),
                chosen_only=bool(found["chosen_only"]),
                created_ms=_time(found["created_ms"]),
                since_ms=_time(found["since_ms"]),
                old_until_ms=_time(found["old_until_ms"]),
                secret=str(found["secret"]),
                old_secret=str(found["old_secret"]),
                off=why,
                off_ms=_time(since) if since.isdigit() else 0,
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def _texts(listed: Any) -> tuple[str, ...]:
    return tuple(map(str, listed))


def _time(ms: Any) -> int:
    """Return a time in ms that a datetime can have. Raises ValueError and TypeError for what is none."""
    return min(max(0, int(ms)), LAST_MS)


def message_of(event: StreamEvent) -> str:
    """Return the id of the message about an event: the same each time that it is made."""
    return "msg_" + event.position.replace("-", "_").replace(".", "_")


def body_of(event: StreamEvent) -> bytes:
    """Return the body of the message about an event, in JSON: what happened to which job, without its payload."""
    error = None if event.error is None else {"type": event.error.type, "message": event.error.message}
    data: Mapping[str, Any] = {
        "id": printable(event.id),
        "queue": event.queue,
        "name": full_name(event.queue, event.task) if event.task else None,
        "tenant": event.tenant,
        "state": event.type.value,
        "attempt": event.attempt,
        "reason": event.reason or None,
        "error": error,
    }
    return to_json({"type": kind_of(event), "timestamp": event.at, "data": data})


def check_choice(what: str, chosen: Iterable[str], known: Iterable[str]) -> None:
    """Raise ValueError for one that is not known, such as a kind of message that there is not."""
    for one in chosen:
        if one not in known:
            raise ValueError(f"there is no {what} {ascii(one)[:60]}; choose from: {', '.join(known)}")
