"""The service's workers and client, put together from jobs that stand in a test."""

from collections.abc import Mapping
from typing import Any

from arq.connections import ArqRedis

from rota import Client, Job
from rota.app.compose import ProcessParts, client_of, worker_settings
from rota.attempts.pools import Processes
from rota.model.registry import Registry
from rota.seams import Subscriber
from rota.settings.settings import Settings
from rota.worker.worker import QueueWorker


def settings_for(**settings: Any) -> Settings:
    """Quick settings: a short lease, and retries at once."""
    return Settings(**{"app_env": "test", "lease": 1, "backoff": "none", "unknown_delay": 0.1, **settings})


def service(
    redis: ArqRedis, *jobs: Job[Any, Any], subscribers: tuple[Subscriber, ...] = (), **settings: Any
) -> QueueWorker:
    """A worker of the service for the queue that `jobs` name (or the default one)."""
    by_queue: dict[str, Mapping[str, Any]] = {}
    for job in jobs:
        queue = job.queue or "default"
        by_queue[queue] = {**by_queue.get(queue, {}), job.name: job}
    (queue,) = by_queue or ("default",)
    parts = ProcessParts(
        settings_for(**settings),
        Registry(jobs, "default", None, by_queue),
        keeper=None,
        processes=Processes(),
        deps=lambda: None,
        recycle=lambda why: None,
        subscribers=subscribers,
    )
    return QueueWorker(**worker_settings(parts, queue), redis_pool=redis)


def client_for(redis: ArqRedis, **settings: Any) -> Client:
    """A client on the same server."""
    return client_of(settings_for(**settings), redis)
