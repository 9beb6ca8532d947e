"""What each queue of a fleet needs: its load, from readings over time, and the workers that keep its objective."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from rota.errors import UnknownQueue
from rota.fleet.history import WINDOW, History, Sample
from rota.fleet.reading import QueueReading, Reading
from rota.fleet.scaling import HASTE, Load, workers_needed
from rota.model.state import State
from rota.settings.load import Settings
from rota.settings.queues import QueueSettings

logger = logging.getLogger("rota.fleet")

#: How long a job is taken to last while none has ever ended, in seconds.
GUESS = 1.0


@dataclass(frozen=True, slots=True)
class QueueNeed:
    """The workers that one queue needs, beside those that it has.

    :param queue: the queue's short name.
    :param load: what the queue has to do.
    :param workers: processes that serve the queue now, those that drain excepted.
    :param draining: processes that drain.
    :param latency: the age of the oldest job that waits for a slot, in seconds.
    :param paused: whether workers claim nothing from the queue.
    :param cap: the slots of one process over all of its queues; 0: uncapped.
    """

    queue: str
    load: Load
    workers: int
    draining: int
    latency: float
    paused: bool
    cap: int = 0

    @property
    def desired(self) -> int:
        """Workers that keep the queue's objective."""
        return workers_needed([self.load], self.cap or None)

    def to_json(self) -> dict[str, Any]:
        """Return what `/scaling` shows of the queue; an endless rate is left out, as JSON has no infinity."""
        load = {name: value for name, value in asdict(self.load).items() if value != float("inf")}
        return {
            "queue": self.queue,
            "desired": self.desired,
            "workers": self.workers,
            "draining": self.draining,
            "latency": round(self.latency, 3),
            "paused": self.paused,
            "cap": self.cap,
            "load": {name: round(value, 6) for name, value in load.items()},
        }

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Self:
        """Return the need that `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            str(said["queue"]),
            Load(**said["load"]),
            int(said["workers"]),
            int(said["draining"]),
            float(said["latency"]),
            bool(said["paused"]),
            int(said["cap"]),
        )


@dataclass(frozen=True, slots=True)
class FleetNeed:
    """The workers that a fleet needs, each serving all of these queues. `workers` and `draining` count processes."""

    queues: tuple[QueueNeed, ...]
    workers: int
    draining: int

    @property
    def desired(self) -> int:
        """Workers that keep every queue's objective."""
        cap = max((one.cap for one in self.queues), default=0)
        return workers_needed([one.load for one in self.queues], cap or None)

    @property
    def ready(self) -> int:
        """Jobs that wait for a slot, over all queues."""
        return sum(one.load.ready for one in self.queues)

    @property
    def latency(self) -> float:
        """The age of the oldest job that waits for a slot, in seconds."""
        return max((one.latency for one in self.queues), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Return what `/scaling` shows of the fleet."""
        return {
            "desired": self.desired,
            "workers": self.workers,
            "draining": self.draining,
            "queues": [one.to_json() for one in self.queues],
        }

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Self:
        """Return the need that `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        queues = tuple(QueueNeed.of_json(one) for one in said["queues"])
        return cls(queues, int(said["workers"]), int(said["draining"]))


class Fleet:
    """The queues of one fleet, with a history of each over `window` seconds."""

    def __init__(self, settings: Settings, queues: Sequence[str], *, window: float = WINDOW) -> None:
        self._cap = settings.worker_concurrency or 0
        self._settings = {queue: settings.queue(queue) for queue in queues}
        self._histories = {queue: History(window) for queue in queues}
        self._told: dict[str, str] = {}

    def appraise(self, reading: Reading) -> FleetNeed:
        """Return what the fleet needs now, by this reading and the ones before it."""
        for queue, one in reading.queues.items():
            self._tell_unreadable(queue, one.unreadable)
        needs = tuple(self._need(queue, one, reading.at) for queue, one in reading.queues.items())
        beats = [beat for one in reading.queues.values() for beat in one.beats]
        draining = {beat.process for beat in beats if beat.status == "draining"}
        return FleetNeed(needs, len({beat.process for beat in beats} - draining), len(draining))

    def _tell_unreadable(self, queue: str, what: str) -> None:
        if what and what != self._told.get(queue):
            logger.warning("queue.unreadable", extra={"queue": queue, "what": what})
        self._told[queue] = what

    def _need(self, queue: str, reading: QueueReading, at: float) -> QueueNeed:
        return QueueNeed(
            queue,
            self._load(queue, reading, at),
            reading.workers("running"),
            reading.workers("draining"),
            reading.latency,
            reading.paused,
            max((beat.cap for beat in reading.beats if beat.status == "running"), default=self._cap),
        )

    def _load(self, queue: str, reading: QueueReading, at: float) -> Load:
        own, history = self._settings[queue], self._histories[queue]
        active = reading.states[State.ACTIVE]
        history.add(Sample(at, reading.ended, reading.busy, reading.ready, active))
        seconds = history.job_seconds(otherwise=max(GUESS, reading.mean_active))
        arrivals = history.arrivals(seconds)
        if reading.paused:
            # Nothing starts, however many workers there are; the jobs that run need their slots to the end.
            arrivals = active / seconds if seconds else 0.0
        return Load(
            arrivals=arrivals,
            job_seconds=seconds,
            ready=0 if reading.paused else reading.ready,
            slo=own.slo,
            slots=_slots_of_a_worker(reading) or own.concurrency,
            rate=_rate(own),
            active=active,
            most=own.fleet_concurrency or float("inf"),
        )


def _slots_of_a_worker(reading: QueueReading) -> int:
    """Return the mean slots of the workers that claim; 0 if there are none."""
    slots = [beat.slots for beat in reading.beats if beat.status == "running"]
    return round(sum(slots) / len(slots)) if slots else 0


def _rate(queue: QueueSettings) -> float:
    """Return the starts a second that a queue's rate limit allows, its burst spread over the time to work it off."""
    limit = queue.rate_limit
    return float("inf") if limit is None else limit.most / limit.per + limit.burst / (queue.slo * HASTE)


def choose(need: FleetNeed, queues: Collection[str] | None) -> FleetNeed:
    """Return the part of a fleet that serves `queues` (None: all of it). Raises UnknownQueue for one it lacks."""
    if queues is None:
        return need
    known = {one.queue: one for one in need.queues}
    for queue in queues:
        if queue not in known:
            raise UnknownQueue(queue, known)
    chosen = tuple(known[queue] for queue in queues)
    # A fleet's own workers serve all of its queues, so the queue with the most workers has counted every one of them.
    workers = max((one.workers for one in chosen), default=0)
    draining = max((one.draining for one in chosen), default=0)
    return FleetNeed(chosen, workers, draining)
