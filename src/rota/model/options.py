"""The options of one enqueue beside the arguments: when, under which id, with which policy."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict, get_args

from rota.errors import UnreadablePayload
from rota.model.policies.backoff import Backoff
from rota.model.trace import TENANT
from rota.names import check_id, check_name, check_tenant, check_webhook
from rota.units import LONGEST
from rota.wire.keys import check_queue

OnTaken = Literal["refuse", "existing", "replace", "debounce"]

_ON_TAKEN: tuple[OnTaken, ...] = get_args(OnTaken)

#: The options that the worker needs, which therefore travel with the job.
_ON_THE_WIRE = ("timeout", "max_attempts", "backoff", "keep_result")


class EnqueueFields(TypedDict, total=False):
    """The keyword arguments of `Job.options`; EnqueueOptions says what each means."""

    delay: float | timedelta | None
    at: datetime | None
    id: str | None
    queue: str | None
    timeout: float | None
    max_attempts: int | None
    backoff: Backoff | None
    keep_result: float | None
    priority: int | None
    on_taken: OnTaken | None
    tenant: str | None
    webhook: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueOptions:
    """How one enqueue differs from its job's policy; None leaves the job's value.

    delay: seconds until the job is due.
    at: the time when the job is due, with a time zone; instead of `delay`.
    id: the job's id, unique on its queue.
    queue: the queue that it waits and runs on, instead of its own.
    timeout, max_attempts, backoff, keep_result, priority: as in Job.
    on_taken: what happens when the id, or the unique key of the job, is in use. "refuse" raises JobExists, "existing"
        returns the job that has it, "replace" gives that job the new arguments and options if it still waits, and
        "debounce" does the same and makes the job wait for `delay` again.
    webhook: the id of a webhook that is told of its end, beside those that are told of all.
    tenant: whose job it is, and that of the jobs which it enqueues, instead of the tenant of the job or the client that
        enqueues it.

    Raises ValueError or TypeError for an impossible value.
    """

    delay: float | None = None
    at: datetime | None = None
    id: str | None = None
    queue: str | None = None
    timeout: float | None = None
    max_attempts: int | None = None
    backoff: Backoff | None = None
    keep_result: float | None = None
    priority: int | None = None
    on_taken: OnTaken | None = None
    tenant: str | None = None
    webhook: str | None = None

    def __post_init__(self) -> None:
        if self.delay is not None and self.at is not None:
            raise ValueError("delay and at are both given; give one of them")
        if self.at is not None:
            _check_time(self.at)
        if self.id is not None:
            check_id(self.id)
        if self.queue is not None:
            check_queue(self.queue)
        if self.tenant is not None:
            check_tenant(self.tenant)
        if self.webhook is not None:
            check_webhook(self.webhook)
        check_on_taken(self.on_taken)
        check_priority(self.priority)
        check_seconds("delay", self.delay)
        if self.on_taken == "debounce" and not self.delay and self.at is None:
            raise ValueError("on_taken is 'debounce' and there is no delay; give the quiet time: delay=5")
        check_policy(self.timeout, self.max_attempts, self.backoff, self.keep_result)

    def changed(self, changes: Mapping[str, Any]) -> "EnqueueOptions":
        """Return a copy with `changes`; a delay may be a timedelta. Raises TypeError for an unknown option."""
        refuse_unknown("option", changes, tuple(field.name for field in fields(self)))
        delay = changes.get("delay")
        if isinstance(delay, timedelta):
            changes = {**changes, "delay": delay.total_seconds()}
        return replace(self, **changes)

    @property
    def headers(self) -> dict[str, str]:
        """The headers that these options give the job, before those of the senders."""
        return {} if self.tenant is None else {TENANT: self.tenant}

    def wire(self) -> dict[str, Any]:
        """Return the options that travel with the job, without those that are not set."""
        if self is UNCHANGED:
            return {}
        chosen = {name: getattr(self, name) for name in _ON_THE_WIRE if getattr(self, name) is not None}
        if self.backoff is not None:
            chosen["backoff"] = self.backoff.wire()
        return chosen

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> "EnqueueOptions":
        """Return the options that `wire` wrote; names of later versions are ignored. Raises UnreadablePayload."""
        chosen = {name: wire[name] for name in _ON_THE_WIRE if name in wire}
        try:
            if "backoff" in chosen:
                chosen["backoff"] = Backoff.from_wire(chosen["backoff"])
            return cls(**chosen)
        except (ValueError, TypeError, AttributeError) as error:
            raise UnreadablePayload(f"the job's options cannot be used: {error}") from None


def refuse_unknown(what: str, given: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
    """Raise TypeError when `given` holds a name that is not allowed."""
    for name in given:
        if name not in allowed:
            raise TypeError(f"there is no {what} {name!r}; choose from: {', '.join(allowed)}")


def check_policy(
    timeout: float | None, max_attempts: int | None, backoff: Backoff | None, keep_result: float | None
) -> None:
    """Raise ValueError or TypeError for an impossible policy; None is always allowed."""
    check_seconds("timeout", timeout, above_zero=True)
    check_seconds("keep_result", keep_result)
    if max_attempts is not None and (type(max_attempts) is not int or max_attempts < 1):
        raise ValueError(f"max_attempts is {max_attempts!r}; it is a whole number of 1 or more")
    if backoff is not None and not isinstance(backoff, Backoff):
        raise TypeError(f"backoff is {backoff!r}; use exponential(), linear(), fixed() or none()")


def check_on_taken(on_taken: Any) -> None:
    """Raise ValueError unless `on_taken` is one of OnTaken, or None."""
    if on_taken is not None and on_taken not in _ON_TAKEN:
        raise ValueError(f"on_taken is {on_taken!r}; choose one of: {', '.join(_ON_TAKEN)}")


def check_priority(priority: Any) -> None:
    """Raise ValueError unless `priority` is a whole number from 0 to 9, or None."""
    if priority is not None and (type(priority) is not int or not 0 <= priority <= 9):  # noqa: PLR2004
        raise ValueError(
            f"priority is {priority!r}; it is a whole number from 0 to 9, and higher ones start first"
        )


def check_seconds(name: str, value: float | None, *, above_zero: bool = False) -> None:
    """Raise ValueError unless `value` is a number of seconds of at most ten years, or None."""
    if value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= LONGEST or (above_zero and value == 0):
        bound = "more than 0" if above_zero else "0 or more"
        raise ValueError(f"{name} is {value!r}; it is a number of seconds, {bound}, and at most ten years")


def _check_time(at: datetime) -> None:
    if not isinstance(at, datetime):
        raise TypeError(f"at is {type(at).__name__}; it is a datetime with a time zone")
    if at.utcoffset() is None:
        raise ValueError("at has no time zone; use datetime.now(UTC) or replace(tzinfo=...)")


def checked_aliases(label: str, name: str, aliases: Any) -> tuple[str, ...]:
    """Return the names that the job `label` had before. Raises TypeError or ValueError for what cannot be some."""
    if not isinstance(aliases, tuple | list):
        raise TypeError(f'job {label}: aliases is {aliases!r}; it is a tuple of names: aliases=("old_name",)')
    found = tuple(check_name("job", alias) for alias in aliases)
    if len({name, *found}) <= len(found):
        raise ValueError(
            f"job {label}: aliases names one job twice, or the job itself; name each old name once"
        )
    return found


#: The options of an enqueue that differs in nothing from its job's policy, as most do.
UNCHANGED = EnqueueOptions()
