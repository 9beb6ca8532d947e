"""What the workers of one process share."""

from rota.engine.shares import UNLIMITED
from rota.worker.shared import Shared


def test_a_worker_that_is_given_nothing_shares_nothing() -> None:
    own, other = Shared(), Shared()
    assert own.keeper is None
    assert own.isolation is not other.isolation
    assert own.outages is not other.outages
    assert own.shares is UNLIMITED
