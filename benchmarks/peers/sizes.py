"""How much is measured side by side: from the environment, or the small sizes of `--quick`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from benchmarks.peers.catalogue import Peer
from benchmarks.sizes import FromEnvironment


@dataclass(frozen=True)
class PeerSizes(FromEnvironment):
    """The sizes of one run, set by BENCH_ROUNDS and the other BENCH_ variables.

    rounds: every figure is the median of this number of rounds.
    seconds: what each backlog takes its system, about.
    least, most: the bounds of a backlog, in jobs.
    enqueues: of each way to enqueue, or a fifth of a round's jobs where that is less.
    callers: that enqueue at once.
    singles: jobs put on an idle queue, for the pick-up.
    quiet: how long idle workers are listened to, in seconds.
    kept: jobs that wait, and then are kept, for the bytes of one.
    """

    rounds: int = 3
    seconds: int = 3
    least: int = 200
    most: int = 200_000
    enqueues: int = 2_000
    callers: int = 100
    singles: int = 200
    quiet: int = 30
    kept: int = 10_000

    QUICK: ClassVar[Mapping[str, int]] = {
        "rounds": 1,
        "seconds": 1,
        "enqueues": 500,
        "singles": 30,
        "quiet": 10,
        "kept": 2_000,
    }

    def jobs(self, peer: Peer) -> int:
        """Return the number of no-op jobs in a round."""
        return self._bounded(peer.speed)

    def naps(self, peer: Peer) -> int:
        """Return the number of 5 ms jobs in a round."""
        return self._bounded(peer.nap_speed)

    def _bounded(self, speed: int) -> int:
        return max(self.least, min(self.most, speed * self.seconds))
