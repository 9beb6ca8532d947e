"""Settings that are allowed but will surprise: a sentence each, logged once at boot."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from rota.server.target import RedisTarget
from rota.settings.queues import QueueSettings, in_variables, variable_prefix

_SHORT_LEASE = 5.0


#: The most jobs that are named.
_NAMED = 3


class _Times(Protocol):
    @property
    def app_env(self) -> str: ...
    @property
    def lease(self) -> float: ...
    @property
    def drain_timeout(self) -> float: ...
    @property
    def loop_block_limit(self) -> float: ...
    @property
    def unknown_grace(self) -> float: ...
    @property
    def unknown_delay(self) -> float: ...
    @property
    def worker_concurrency(self) -> int | None: ...
    @property
    def recycles(self) -> bool: ...
    @property
    def redis(self) -> RedisTarget | None: ...


def advice(
    settings: _Times, timeouts: Mapping[str, float], queues: Sequence[QueueSettings] = ()
) -> Iterator[str]:
    """Yield a sentence for each surprise. `timeouts` are those of the jobs by name, in seconds; `queues` are served."""
    drain, lease, block = settings.drain_timeout, settings.lease, settings.loop_block_limit
    if settings.app_env != "development" and (longer := _outlasting(timeouts, drain)):
        when = "deploy and recycling" if settings.recycles else "deploy"
        yield f"{longer} longer than DRAIN_TIMEOUT, {drain:g} s, and would then start again at every {when}"
    if lease < _SHORT_LEASE:
        yield f"LEASE is {lease:g} s: a short pause of Redis or the network will look like a crash"
    if block < lease:
        both = f"LOOP_BLOCK_LIMIT is {block:g} s, shorter than LEASE, {lease:g} s"
        yield f"{both}: a process is ended for a pause that its jobs would have survived"
    if settings.unknown_delay >= settings.unknown_grace:
        yield "UNKNOWN_DELAY is not shorter than UNKNOWN_GRACE: an unknown job is tried once and given up"
    if settings.redis and settings.redis.tls and settings.redis.tls.cert_reqs == "none":
        yield "REDIS_SSL_CERT_REQS is none: whoever stands between here and Redis can read and change jobs"
    yield from _about_slots(settings.worker_concurrency, queues)


def _outlasting(timeouts: Mapping[str, float], drain: float) -> str:
    """Return which jobs may run longer than a drain, the longest first; empty if none may."""
    longest_first = sorted(timeouts.items(), key=lambda one: (-one[1], one[0]))
    named = [f"{name} ({timeout:g} s)" for name, timeout in longest_first if timeout > drain]
    if len(named) > _NAMED:
        named[_NAMED:] = [f"{len(named) - _NAMED} other jobs"]
    return " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:]))) + " may run" if named else ""


def _about_slots(slots: int | None, queues: Sequence[QueueSettings]) -> Iterator[str]:
    if slots is None:
        for queue in queues:
            if queue.weight != 1:
                name = f"{variable_prefix(in_variables(queue.name))}WEIGHT"
                yield f"{name} has no effect without WORKER_CONCURRENCY: every queue has slots of its own"
        return
    own = sum(queue.concurrency for queue in queues)
    if queues and slots >= own:
        yield (
            f"WORKER_CONCURRENCY is {slots}, and the queues of this process run {own} jobs at once by their own "
            "limits: it has no effect, nor have weights"
        )
