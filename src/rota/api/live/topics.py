"""What one can listen to: a job, a queue, or everything; and the messages of a WebSocket that say so."""

from dataclasses import dataclass, field, replace
from typing import Any

from rota.api.bodies import parse, refuse_others
from rota.api.live.updates import Update
from rota.api.problems import Problem, check_names
from rota.client.events import check_position
from rota.model.access.keys import AccessKey
from rota.names import check_tenant, id_of_tenant, ids_of
from rota.wire.keys import check_queue

_TITLE = "The message cannot be read"


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing to listen to: a job, a queue, a tenant, or everything.

    :param queue: the updates of this queue alone; None: of all.
    :param id: those of this job of the queue alone, by its id or the one that was given; None: of all its jobs.
    :param tenant: those of this tenant's jobs alone; None: of all jobs.
    """

    queue: str | None = None
    id: str | None = None
    tenant: str | None = None
    #: The ids in Redis that the id can mean which was given to the job.
    _meant: frozenset[str] = field(init=False, repr=False, compare=False, default=frozenset())

    def __post_init__(self) -> None:
        if self.id is not None:
            own = self.id if self.tenant is None else id_of_tenant(self.tenant, self.id)
            meant = frozenset((self.id, *ids_of(self.queue or "", self.id), *ids_of(self.queue or "", own)))
            object.__setattr__(self, "_meant", meant)

    def has(self, update: Update) -> bool:
        """Tell whether an update belongs to this topic."""
        return (
            (self.queue is None or self.queue == update.queue)
            and (self.tenant is None or self.tenant == update.tenant)
            and (self.id is None or update.id in self._meant)
        )

    def shown(self) -> dict[str, Any]:
        """Return the topic as messages name it."""
        if self.id is not None:
            return {"job": {"queue": self.queue, "id": self.id}}
        named = {"queue": self.queue, "tenant": self.tenant}
        return {name: value for name, value in named.items() if value is not None} or {"all": True}

    def seen_by(self, key: AccessKey) -> "Topic":
        """Return what the holder of a key hears of it. Raises Problem for another tenant than that of the key."""
        if self.tenant is not None:
            check_names(key, self.tenant)
        return self if key.tenant is None else replace(self, tenant=key.tenant)


@dataclass(frozen=True, slots=True)
class Command:
    """A message of a listener, read.

    :param leaves: whether it wants to hear no more of the topic.
    :param after: the place behind which it knows nothing; None: it wants what comes from now on.
    """

    topic: Topic
    leaves: bool = False
    after: str | None = None


def read_command(text: str | None) -> Command:
    """Return what a message asks for; None stands for one that is not text. Raises Problem."""
    if text is None:
        raise Problem(415, "unsupported-type", _TITLE, "a message is to be text, and JSON")
    found = parse(text.encode("utf-8", "surrogatepass"))
    if not isinstance(found, dict) or len(found.keys() & {"subscribe", "unsubscribe"}) != 1:
        raise _wrong('a message is {"subscribe": …} or {"unsubscribe": …}')
    leaves = "unsubscribe" in found
    name = "unsubscribe" if leaves else "subscribe"
    refuse_others(found, (name,) if leaves else (name, "after"))
    after = found.get("after")
    try:
        if after is not None:
            check_position(_text(after, "after"))
        return Command(_topic(found[name], name), leaves, after)
    except ValueError as error:
        raise _wrong(str(error)) from None


def _topic(given: Any, name: str) -> Topic:
    if given == {"all": True}:
        return Topic()
    if isinstance(given, dict) and given and given.keys() <= {"queue", "tenant"}:
        queue = check_queue(_text(given["queue"], "queue")) if "queue" in given else None
        tenant = check_tenant(_text(given["tenant"], "tenant")) if "tenant" in given else None
        return Topic(queue, tenant=tenant)
    job = given.get("job") if isinstance(given, dict) and given.keys() == {"job"} else None
    if isinstance(job, dict) and job.keys() == {"queue", "id"}:
        return Topic(check_queue(_text(job["queue"], "queue")), _text(job["id"], "id"))
    raise _wrong(
        f'{name} is {{"job": {{"queue": …, "id": …}}}}, {{"queue": …}}, {{"tenant": …}} or {{"all": true}}'
    )


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(f"{name} is to be text")
    return value


def _wrong(detail: str) -> Problem:
    return Problem(422, "invalid-message", _TITLE, detail)
