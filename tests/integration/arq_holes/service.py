"""The service's workers and client, made of jobs that are defined in a test, on the test's own connections."""

from typing import Any

from arq.connections import ArqRedis

from rota import Client, Job
from rota.app.compose import worker_settings
from rota.app.connect import client_of
from rota.seams import Subscriber
from rota.settings.settings import Settings
from rota.worker.worker import QueueWorker
from tests.workers import parts_of, registry_of


def settings_for(**settings: Any) -> Settings:
    """Return quick settings: a short lease, and retries at once."""
    return Settings(**{"app_env": "test", "lease": 1, "backoff": "none", "unknown_delay": 0.1, **settings})


def service(
    redis: ArqRedis, *jobs: Job[Any, Any], subscribers: tuple[Subscriber, ...] = (), **settings: Any
) -> QueueWorker:
    """Make a worker of the service for the one queue that `jobs` name (or the default one)."""
    registry = registry_of(jobs)
    (queue,) = registry.queues or ("default",)
    parts = parts_of(settings_for(**settings), registry, subscribers=subscribers)
    return QueueWorker(**worker_settings(parts, queue), redis_pool=redis)


def client_for(redis: ArqRedis, **settings: Any) -> Client:
    """Return a client on the same connections."""
    return client_of(settings_for(**settings), redis)
