"""A schedule as its workers declare it in Redis, with all that is needed to enqueue its ticks without its code."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Self

from rota.model.job import home_of, queue_of, wire_options
from rota.model.policies.terms import terms_of
from rota.model.registry import Scheduled
from rota.model.schedules.schedule import Missed, Overlap
from rota.model.schedules.times import Times, times_from
from rota.wire.sealing.seals import Place, Sealer

#: The record of a tick's job is kept at least this long, so that its outcome can be read; in seconds.
LEAST_KEPT = 60.0

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Definition:
    """A schedule, and the job that it enqueues.

    :param source: the jobs package that declares it.
    :param arguments: the job's arguments, JSON.
    :param options: the options that travel with the job.
    :param terms: what the scripts must know of the job.
    :param sig: its seal, where payloads are signed: the leader signs the ticks of what it trusts.
    """

    name: str
    source: str
    queue: str
    task: str
    times: Times
    missed: Missed
    overlap: Overlap
    arguments: str
    options: Mapping[str, Any]
    terms: str
    sig: str = ""

    def wire(self) -> dict[str, Any]:
        """Return the definition as it lies in Redis."""
        fields = {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "sig" or self.sig
        }
        return {**fields, "times": self.times.wire(), "options": dict(self.options)}

    @property
    def text(self) -> str:
        """The definition as one text, by which two are compared."""
        return json.dumps(self.wire(), sort_keys=True, separators=(",", ":"))

    def sealed(self, sealer: Sealer | None) -> Self:
        """Return the definition with its seal; as it is where nothing is signed."""
        if sealer is None or not sealer.signs:
            return self
        return replace(self, sig=sealer.signature(self._unsigned, self._place))

    def check(self, sealer: Sealer | None) -> None:
        """Raise RefusedPayload for a definition whose seal does not fit, or that has none and needs one."""
        if sealer is not None:
            sealer.check(self._unsigned, self.sig, self._place)

    @property
    def _unsigned(self) -> bytes:
        return replace(self, sig="").text.encode()

    @property
    def _place(self) -> Place:
        return Place("schedule", self.queue, self.name)

    @classmethod
    def read(cls, wire: Any) -> Self:
        """Return the definition that `wire` wrote. Raises ValueError for anything else."""
        try:
            names = cls.__dataclass_fields__.keys() - {"times", "options", "sig"}
            fields = {name: wire[name] for name in names} | {"sig": wire.get("sig", "")}
            if not all(isinstance(value, str) for value in fields.values()):
                raise ValueError("a value of the schedule is not text")
            return cls(times=times_from(wire["times"]), options=dict(wire["options"]), **fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"a schedule cannot be read: {type(error).__name__} {error}") from None


@dataclass(frozen=True, slots=True)
class Release:
    """One release of an application: its jobs package, and its schedules as they lie in Redis, by name."""

    source: str
    schedules: Mapping[str, Any]

    @property
    def text(self) -> bytes:
        """The release as it lies in Redis."""
        return json.dumps(
            {"v": _VERSION, "source": self.source, "schedules": dict(self.schedules)}, sort_keys=True
        ).encode()

    @property
    def id(self) -> str:
        """A fingerprint of all that the release declares."""
        return sha256(self.text).hexdigest()[:16]

    @classmethod
    def of(cls, source: str, definitions: Iterable[Definition]) -> Self:
        """Return the release of a jobs package that has these schedules."""
        return cls(source, {one.name: one.wire() for one in definitions})

    @classmethod
    def read(cls, text: bytes) -> Self | None:
        """Return the release that `text` wrote; None for anything else."""
        try:
            wire = json.loads(text)
            return cls(str(wire["source"]), dict(wire["schedules"]))
        except (ValueError, KeyError, TypeError):
            return None


def definition_of(
    scheduled: Scheduled, *, default_queue: str, namespace: str, source: str, keep_result: float
) -> Definition:
    """Return what is declared of a schedule; `keep_result` is how long the job's record is kept otherwise.

    Its ticks do not take the job's unique key: put ahead of their time, they would hold it until then.
    """
    name, job, schedule = scheduled
    queue = queue_of(job, default_queue)
    arguments = job.payload.bind((), schedule.arguments)
    options = wire_options(job, default_queue)
    if options.get("keep_result", keep_result) < LEAST_KEPT:
        options = {**options, "keep_result": LEAST_KEPT}
    terms = terms_of(
        replace(job, unique=None),
        queue,
        arguments,
        namespace=namespace,
        priority=job.enqueue_options.priority,
        home=home_of(job, default_queue),
    )
    return Definition(
        name,
        source,
        queue,
        job.name,
        schedule.times,
        schedule.missed,
        schedule.overlap,
        arguments.decode(),
        options,
        terms,
    )
