"""What runs beside the jobs of a worker process, and what runs once, in the process that leads the deployment."""

from collections.abc import Callable, Sequence
from functools import partial
from os import getpid
from socket import gethostname
from time import monotonic
from typing import Any

from rota.app.declaring import schedules_of
from rota.app.probes import Probes
from rota.app.recycling import Recycling, resident
from rota.app.resources import own_client
from rota.fleet.heartbeat import About, Heartbeat
from rota.process.services import Failure
from rota.server.place import Server
from rota.services.bulk.runner import EVERY, BulkRunner
from rota.services.election import LeadersService
from rota.services.figures import Figures
from rota.services.housekeeper import Housekeeper
from rota.services.leader import Leader
from rota.services.scheduler import Scheduler
from rota.services.webhooks.dispatcher import Dispatcher
from rota.settings.database_url import DatabaseTarget
from rota.settings.load import Settings
from rota.telemetry.history.counting import Deltas
from rota.telemetry.history.sender import HistorySender
from rota.telemetry.history.sender import Place as HistoryPlace
from rota.wire.keys import queue_key
from rota.wire.leader import Place
from rota.wire.leading.outbox import OutboxKeys
from rota.worker.worker import QueueWorker

#: The most that is told of the name of a machine.
_LONGEST_HOST = 64


def recycling_of(settings: Settings, recycle: Callable[[str], None], *, advise: bool) -> Recycling:
    """Return the service that asks for a fresh process after the jobs, or at the memory, of the settings."""
    return Recycling(
        recycle,
        after_jobs=settings.recycle_after_jobs,
        after_memory=settings.recycle_after_memory,
        advise=advise,
    )


def heartbeat_of(
    settings: Settings,
    redis: Any,
    process: str,
    workers: Sequence[QueueWorker],
    *,
    draining: Callable[[], bool],
    lag: Callable[[], float],
) -> Heartbeat:
    """Return the service that says what the process does for each of its queues; `lag` is its event loop's."""
    cap, version = settings.worker_concurrency, settings.version
    host, pid, began = gethostname()[:_LONGEST_HOST], getpid(), monotonic()

    def about() -> About:
        return About(host, pid, round(monotonic() - began), resident(), round(lag(), 3))

    return Heartbeat(redis, process, workers, cap=cap, draining=draining, version=version, about=about)


def history_of(
    settings: Settings, queues: Sequence[str], redis: Any, process: str, probes: Probes
) -> HistorySender:
    """Return the service that adds what the probes count to the history of the queues."""
    place = HistoryPlace(settings.namespace, process, queues, settings.version)
    return HistorySender(redis, place, Deltas(probes.subscriber, probes.recovered))


def leader_of(
    settings: Settings,
    queues: Sequence[str],
    server: Server,
    process: str,
    on_failure: Callable[[Failure], object],
    *,
    figures: Figures,
) -> Leader | None:
    """Return the service by which the process may come to lead; None where LEADER keeps it from that."""
    if not settings.leader:
        return None
    place = Place(settings.namespace, process, settings.leader_lease)
    return Leader(place, server.target, leaders_services(settings, queues, server, figures), on_failure)


def leaders_services(
    settings: Settings, queues: Sequence[str], server: Server, figures: Figures
) -> tuple[LeadersService, ...]:
    """Return what the leader runs: each makes its service for one term, in the leader's thread.

    There the service opens what it needs, such as connections of its own, and closes it when it is cancelled. `figures`
    count what the recorder does.
    """
    own = [queue_key(queue) for queue in queues]
    schedules = schedules_of(settings)
    recording = () if settings.database is None else _recording(settings, settings.database, server, figures)
    return (
        lambda term: Housekeeper(
            term, lambda: own_client(server), own, settings.namespace, settings.events_maxlen
        ),
        lambda term: Scheduler(schedules, term, lambda: own_client(server), sealer=settings.sealer),
        lambda term: Dispatcher(lambda: own_client(server), settings, webhooks_queue(settings, queues), term),
        lambda term: BulkRunner(lambda: own_client(server, blocks=EVERY), settings, term),
        *recording,
    )


def webhooks_queue(settings: Settings, queues: Sequence[str]) -> str:
    """Return the queue for the messages of webhooks: one that is served, where the settings name none."""
    default = settings.default_queue
    return settings.webhook_queue or (default if default in queues or not queues else queues[0])


def _recording(
    settings: Settings, database: DatabaseTarget, server: Server, figures: Figures
) -> tuple[LeadersService, ...]:
    """Return what writes the audit table, keeps it short, and sends what is in the outbox. Raises MissingExtra."""
    from rota.services.bound import RecordsBound  # noqa: PLC0415 - only where there is an audit table
    from rota.store.engine import Database, MissingExtra  # noqa: PLC0415

    try:
        from rota.services.bulk.ledger import Ledger  # noqa: PLC0415 - SQLAlchemy is an extra, and slow
        from rota.services.outbox.reconciler import Reconciler  # noqa: PLC0415
        from rota.services.outbox.relay import Relay  # noqa: PLC0415
        from rota.services.recorder import Recorder  # noqa: PLC0415
        from rota.services.retention import Retention  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra(error.name) from None
    redis, one = partial(own_client, server), partial(Database, database, most=1)
    namespace, mode = settings.namespace, settings.database_migrate
    outbox = OutboxKeys(namespace, settings.events_maxlen)
    return (
        lambda _: RecordsBound(redis, namespace, settings.records_limit),
        lambda term: Ledger(redis, one, namespace, term),
        lambda term: Recorder(redis, lambda: Database(database), namespace, term, figures, migrate=mode),
        lambda _: Retention(one, settings.audit_retention),
        lambda term: Relay(redis, one, outbox, term, figures.outbox),
        lambda term: Reconciler(redis, one, outbox, term, figures.outbox),
    )
