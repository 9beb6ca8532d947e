"""The jobs of a bench: those of a package, as at a worker's boot, or only those that a test names."""

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from rota.errors import JobClash
from rota.model.job import Job
from rota.model.registry import Registry, discover
from rota.names import full_name
from rota.settings.settings import Settings

AnyJob = Job[Any, Any]


def registry_of(jobs: str | Iterable[AnyJob] | None, settings: Settings) -> Registry:
    """Return the registry of a package by its name (None: the package that `settings` name), or of these jobs alone.

    Raises DiscoveryFailed, JobClash; TypeError for something that is not a job.
    """
    if jobs is None or isinstance(jobs, str):
        return discover(jobs or settings.jobs_package, settings.default_queue)
    by_queue: dict[str, dict[str, AnyJob]] = {}
    for job in jobs:
        if not isinstance(job, Job):
            raise TypeError(f"{job!r} is no job; a bench takes functions that @job has decorated")
        queue = job.queue or settings.default_queue
        known = by_queue.setdefault(queue, {}).setdefault(job.name, job)
        if known.handler is not job.handler:
            raise JobClash(full_name(queue, job.name), known.source, job.source)
    found = tuple(job for named in by_queue.values() for job in named.values())
    frozen = {queue: MappingProxyType(named) for queue, named in by_queue.items()}
    return Registry(found, settings.default_queue, None, MappingProxyType(frozen))
