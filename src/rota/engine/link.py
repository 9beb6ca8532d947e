"""A worker's link to its queue: the scripts, the connection that they are sent on, and the outage of that server."""

from dataclasses import dataclass
from typing import Any

from rota.engine.watching.changes import Changes
from rota.server.outage import Outage
from rota.wire.queue import QueueScripts


@dataclass(frozen=True, slots=True)
class QueueLink:
    """The way from a part of a worker to its queue in Redis.

    :param scripts: the scripts of the queue, as this worker calls them.
    :param redis: an asyncio client.
    :param outage: shared by all parts of the worker, so that an outage is logged once.
    :param changes: tells the queues of the process of changed keys; None if each has a connection of its own for that.
    """

    scripts: QueueScripts
    redis: Any
    outage: Outage
    changes: Changes | None = None
