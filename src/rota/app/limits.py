"""The limits that jobs declare, written where the scripts look for them, so that a changed limit holds at once.

A job that was enqueued before a deploy carries its limits as they were then; those in Redis win over them.
"""

from collections.abc import Mapping
from typing import Any

from rota.errors import LimitClash
from rota.model.policies.terms import limit_key
from rota.model.registry import Registry
from rota.wire.scripts import PUBLISH


def figures_of(registry: Registry, namespace: str) -> dict[str, str]:
    """Return the limits as text, by their keys in Redis. Raises LimitClash for one name with two limits."""
    figures: dict[str, str] = {}
    sources: dict[str, str] = {}
    for job in registry.jobs:
        for limit in (job.limit, job.concurrency):
            if limit is None:
                continue
            key = limit_key(job, registry.queue_of(job), namespace, limit)
            other = figures.setdefault(key, limit.figures)
            first = sources.setdefault(key, job.source)
            if other != limit.figures:
                raise LimitClash(limit.name or job.name, first, job.source)
    return figures


async def publish(redis: Any, figures: Mapping[str, str]) -> None:
    """Write the limits in one round trip. Raises what redis-py raises."""
    if figures:
        await PUBLISH(redis, list(figures), list(figures.values()))
