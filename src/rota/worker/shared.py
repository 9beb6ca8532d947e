"""What the workers of one process share: there is one worker for each queue."""

from dataclasses import dataclass, field

from arq.connections import ArqRedis

from rota.engine.isolation import Isolation
from rota.engine.keeper import LeaseKeeper
from rota.engine.shares import UNLIMITED, Shares, Unlimited
from rota.engine.tokens import Tokens
from rota.engine.watching.changes import Changes
from rota.server.outage import Outages


@dataclass(frozen=True)
class Shared:
    """The parts that all workers of a process use. A worker that is given none has parts of its own.

    :param keeper: renews the leases; None if each worker starts a keeper of its own.
    :param isolation: lets a job that may be killing its workers run alone in the process.
    :param shares: divides the slots of the process among its queues.
    :param outages: knows since when the server does not answer.
    :param redis: the client of all workers, which its owner closes; None if each worker has its own connections.
    :param tokens: where all workers wait for wake tokens; None if each waits on a connection of its own.
    :param changes: tells all workers of changed keys; None if each hears of them on a connection of its own.
    """

    keeper: LeaseKeeper | None = None
    isolation: Isolation = field(default_factory=Isolation)
    shares: Shares | Unlimited = UNLIMITED
    outages: Outages = field(default_factory=Outages)
    redis: ArqRedis | None = None
    tokens: Tokens | None = None
    changes: Changes | None = None
