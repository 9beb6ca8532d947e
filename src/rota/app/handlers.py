"""The jobs of a queue, with the rules by which their attempts are judged."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from rota.attempts.attempt import Handler
from rota.model.job import Job
from rota.model.outcome import Rules
from rota.model.registry import Registry
from rota.names import full_name
from rota.settings.queues import QueueSettings
from rota.settings.settings import Settings


def handlers_of(
    registry: Registry, queue: QueueSettings, builtin: Iterable[Job[Any, Any]] = ()
) -> dict[str, Handler]:
    """Return the handlers of a queue by short name, those of rota's own jobs included."""
    jobs = [*jobs_of(registry, queue).values(), *builtin]
    return {job.name: Handler(job, rules_of(job, queue)) for job in jobs}


def runnable(
    registry: Registry, queue: QueueSettings, builtin: Iterable[Job[Any, Any]] = ()
) -> dict[str, Handler]:
    """Return all that may run on a queue, by each name that a payload may have for it."""
    own = {name: Handler(job, rules_of(job, queue)) for name, job in registry.by_any_name(queue.name).items()}
    return own | handlers_of(registry, queue, builtin) | guests_of(registry, queue)


def guests_of(registry: Registry, queue: QueueSettings) -> dict[str, Handler]:
    """Return the handlers of the jobs of other queues by full name: one enqueue may put them on this queue."""
    guests = [job for job in registry.jobs if registry.queue_of(job) != queue.name]
    return {
        full_name(registry.queue_of(job), name): Handler(job, rules_of(job, queue))
        for job in guests
        for name in job.names
    }


def jobs_of(registry: Registry, queue: QueueSettings) -> Mapping[str, Job[Any, Any]]:
    """Return the jobs of a queue by short name; none for a queue that no job declares."""
    return registry.for_queue(queue.name) if queue.name in registry.queues else {}


def timeouts_of(settings: Settings, registry: Registry) -> dict[str, float]:
    """Return the timeouts of all jobs by full name, in seconds."""
    return {
        registry.full_name(job): rules_of(job, settings.queue(registry.queue_of(job))).timeout
        for job in registry.jobs
    }


def rules_of(job: Job[Any, Any], queue: QueueSettings) -> Rules:
    """Return the rules that the job declares, with those of its queue where it declares none."""
    rules = Rules(
        max_attempts=queue.max_attempts,
        backoff=queue.backoff,
        timeout=queue.timeout,
        keep_result=queue.keep_result,
        retry_on=job.retry_on,
        give_up_on=job.give_up_on,
        keep_log=queue.keep_log,
    )
    own = {
        name: getattr(job, name) for name in ("max_attempts", "backoff", "timeout", "keep_result", "keep_log")
    }
    return replace(rules, **{name: value for name, value in own.items() if value is not None})
