"""What the fleet should be: readings over time become the load of each queue, and the workers that it needs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from rota.errors import UnknownQueue
from rota.fleet.demand import WINDOW, Demand, Sample
from rota.fleet.reading import QueueReading, Reading
from rota.fleet.scaling import HASTE, Load, workers_needed
from rota.model.state import State
from rota.settings.load import Settings
from rota.settings.queues import QueueSettings

#: How long a job takes, while none has ever ended, seconds.
GUESS = 1.0


@dataclass(frozen=True, slots=True)
class QueueNeed:
    """What one queue has to do, who does it now, and how many workers it needs."""

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
        """For who decides elsewhere."""
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
        """Back from JSON. Raises KeyError, TypeError or ValueError for what is none."""
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
    """The same of workers that serve all of these queues. `workers` and `draining` count processes."""

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
        """Age of the oldest of them, seconds."""
        return max((one.latency for one in self.queues), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """For who decides elsewhere."""
        return {
            "desired": self.desired,
            "workers": self.workers,
            "draining": self.draining,
            "queues": [one.to_json() for one in self.queues],
        }

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Self:
        """Back from JSON. Raises KeyError, TypeError or ValueError for what is none."""
        queues = tuple(QueueNeed.of_json(one) for one in said["queues"])
        return cls(queues, int(said["workers"]), int(said["draining"]))


class Fleet:
    """The queues of one fleet, as they were read again and again; means are taken over `window` seconds."""

    def __init__(self, settings: Settings, queues: Sequence[str], *, window: float = WINDOW) -> None:
        self._cap = settings.worker_concurrency or 0
        self._settings = {queue: settings.queue(queue) for queue in queues}
        self._demand = {queue: Demand(window) for queue in queues}

    def appraise(self, reading: Reading) -> FleetNeed:
        """What the fleet needs now, as this reading and those before it have it."""
        needs = tuple(self._need(queue, one, reading.at) for queue, one in reading.queues.items())
        beats = [beat for one in reading.queues.values() for beat in one.beats]
        draining = {beat.process for beat in beats if beat.status == "draining"}
        return FleetNeed(needs, len({beat.process for beat in beats} - draining), len(draining))

    def _need(self, queue: str, reading: QueueReading, at: float) -> QueueNeed:
        own = self._settings[queue]
        running = [beat for beat in reading.beats if beat.status == "running"]
        demand = self._demand[queue]
        active = reading.states[State.ACTIVE]
        demand.add(Sample(at, reading.ended, reading.busy, reading.ready, active))
        seconds = demand.job_seconds(otherwise=max(GUESS, reading.mean_active))
        arrivals = demand.arrivals(seconds)
        if reading.paused:
            # Nothing starts, however many workers there are; what runs is to end.
            arrivals = active / seconds if seconds else 0.0
        load = Load(
            arrivals=arrivals,
            job_seconds=seconds,
            ready=0 if reading.paused else reading.ready,
            slo=own.slo,
            slots=round(sum(beat.slots for beat in running) / len(running)) if running else own.concurrency,
            rate=_rate(own),
            active=active,
        )
        cap = max((beat.cap for beat in running), default=self._cap)
        return QueueNeed(
            queue,
            load,
            reading.workers("running"),
            reading.workers("draining"),
            reading.latency,
            reading.paused,
            cap,
        )


def _rate(queue: QueueSettings) -> float:
    """Starts a second that a queue's rate limit allows, its burst spread over the time to work it off."""
    limit = queue.rate_limit
    return float("inf") if limit is None else limit.most / limit.per + limit.burst / (queue.slo * HASTE)


def choose(need: FleetNeed, queues: Collection[str] | None) -> FleetNeed:
    """The part of a fleet that serves these queues (None: all). Raises UnknownQueue for one it lacks."""
    if queues is None:
        return need
    known = {one.queue: one for one in need.queues}
    for queue in queues:
        if queue not in known:
            raise UnknownQueue(queue, known)
    chosen = tuple(known[queue] for queue in queues)
    # Workers of other queues are none of this fleet's; its own serve all of these.
    workers = max((one.workers for one in chosen), default=0)
    draining = max((one.draining for one in chosen), default=0)
    return FleetNeed(chosen, workers, draining)
