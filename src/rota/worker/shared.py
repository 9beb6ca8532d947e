"""What the workers of one process share, one worker being there for each queue."""

from dataclasses import dataclass, field

from rota.engine.isolation import Isolation
from rota.engine.keeper import LeaseKeeper
from rota.engine.shares import UNLIMITED, Shares, Unlimited
from rota.server.outage import Outages


@dataclass(frozen=True)
class Shared:
    """What the workers of one process share. A worker that is given none has all this to itself.

    :param keeper: renews the leases; None if each worker starts a keeper of its own.
    :param isolation: lets a job that may be killing its workers run alone in the process.
    :param shares: divides the slots of the process among its queues.
    :param outages: knows since when the server does not answer.
    """

    keeper: LeaseKeeper | None = None
    isolation: Isolation = field(default_factory=Isolation)
    shares: Shares | Unlimited = UNLIMITED
    outages: Outages = field(default_factory=Outages)
