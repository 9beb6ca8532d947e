"""Schedules as they lie in Redis: what workers declare, where each schedule is, and how one is brought forward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

from rota.wire.keys import events_key, releases_key, schedule_key, schedules_key, tick_id
from rota.wire.scripts import SCHEDULE_PUBLISH, SCHEDULE_TICK

#: What became of a call: all was done, the schedule was not as it was read, or a later leader was there.
Answer = Literal["done", "changed", "fenced"]


class Tick(NamedTuple):
    """A tick to put on its queue: its own moment, the moment at which its job is due, and the job."""

    tick_ms: int
    due_ms: int
    queue: str
    task: str
    payload: bytes
    terms: str


@dataclass(frozen=True, slots=True)
class Change:
    """The next state of a schedule.

    :param name: the schedule's name.
    :param version: the version that was read, 0 for a schedule that is new.
    :param fields: what is written of it; an empty text takes a field away.
    :param puts: the ticks to put on their queues.
    :param out: a tick to take out: the queue, the job's name and the tick.
    :param remove: whether nothing is to be left of it.
    """

    name: str
    version: int
    fields: Mapping[str, str | int] = field(default_factory=dict)
    puts: Sequence[Tick] = ()
    out: tuple[str, str, int] | None = None
    remove: bool = False

    def values(self, epoch: int | None, keep_events: int) -> list[Any]:
        """Return the script's arguments; `epoch` is the leader's, None where a person asks."""
        queue, task, tick = self.out or ("", "", 0)
        out = (queue, task, tick_id(self.name, tick) if self.out else "")
        fate = "remove" if self.remove else "keep"
        args: list[Any] = [self.name, "" if epoch is None else epoch, self.version, keep_events, *out, fate]
        args.append(len(self.fields))
        for one in self.fields.items():
            args += one
        for put in self.puts:
            job_id = tick_id(self.name, put.tick_ms)
            args += (put.tick_ms, put.queue, job_id, put.task, put.payload, put.due_ms, put.terms)
        return args


@dataclass(frozen=True, slots=True)
class Schedules:
    """The schedules of one namespace.

    :param events_maxlen: about how many events the stream keeps.
    """

    namespace: str
    events_maxlen: int = 10_000

    async def publish(self, redis: Any, release: str, text: bytes, life: float) -> None:
        """Declare the schedules of a release for `life` seconds. Raises what redis-py raises."""
        releases = releases_key(self.namespace)
        await SCHEDULE_PUBLISH(
            redis, (f"{releases}:{release}", releases), (release, text, round(life * 1000))
        )

    async def declared(self, redis: Any) -> list[bytes]:
        """Return what the workers that live declare, the newest release last."""
        releases = releases_key(self.namespace)
        ids = await redis.zrange(releases, 0, -1)
        found = await redis.mget([f"{releases}:".encode() + one for one in ids]) if ids else []
        return [text for text in found if text is not None]

    async def read(self, redis: Any, name: str | None = None) -> dict[str, dict[str, str]]:
        """Return the fields of every schedule, or of one, by its name."""
        names = (
            [name] if name else [raw.decode() for raw in await redis.smembers(schedules_key(self.namespace))]
        )
        pipe = redis.pipeline(transaction=False)
        for one in names:
            pipe.hgetall(schedule_key(self.namespace, one))
        found = await pipe.execute() if names else []
        return {
            one: {field.decode(): value.decode("utf-8", "replace") for field, value in raw.items()}
            for one, raw in zip(names, found, strict=True)
            if raw
        }

    async def apply(self, redis: Any, change: Change, epoch: int | None = None) -> tuple[Answer, int]:
        """Bring a schedule forward; return what became of the call, and how many ticks it put.

        Raises what redis-py raises, OutOfMemoryError where Redis is full: then nothing was changed.
        """
        keys = (
            schedule_key(self.namespace, change.name),
            schedules_key(self.namespace),
            events_key(self.namespace),
        )
        answer, number = await SCHEDULE_TICK(redis, keys, change.values(epoch, self.events_maxlen))
        return cast(Answer, answer.decode()), number
