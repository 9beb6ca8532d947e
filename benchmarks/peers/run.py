"""The whole run: idle workers side by side, the bytes of jobs, and then the rounds, one system after the other."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.peers import measure
from benchmarks.peers.catalogue import OURS, Peer
from benchmarks.peers.sizes import PeerSizes
from benchmarks.run import Measured, note

#: Measures some figures of a system.
Measurement = Callable[[Peer, PeerSizes], Awaitable[dict[str, float]]]


@dataclass
class Run:
    """A run of some systems. One that fails is measured no further: `failed` says why, and others go on."""

    sizes: PeerSizes
    say: Callable[[str], object]
    measured: Measured = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    async def all(self, peers: Sequence[Peer]) -> None:
        """Measure `peers`. Raises what a failed measurement of rota raises."""
        self.say(f"idle workers, for {self.sizes.quiet} s")
        # Counts of commands do not depend on the machine's load, so these run at the same time.
        await asyncio.gather(*(self.one(peer, measure.idle) for peer in peers))
        for peer in peers:
            self.say(f"the bytes of jobs: {peer.title}")
            await self.one(peer, measure.sizes_of_jobs)
        for number in range(self.sizes.rounds):
            # Every other round runs backwards, so that changes of the machine's load do not favour one system.
            for peer in peers if number % 2 == 0 else reversed(peers):
                self.say(f"round {number + 1} of {self.sizes.rounds}: {peer.title}")
                gc.collect()
                await self.one(peer, measure.measure)

    async def one(self, peer: Peer, measurement: Measurement) -> None:
        """Measure some figures of a system, unless it has failed. Raises what happens to rota alone."""
        if peer.key in self.failed:
            return
        self.measured.setdefault(peer.key, {})
        try:
            note(self.measured, peer.key, await measurement(peer, self.sizes))
        except Exception as failure:
            # Half an hour of figures is not thrown away for what happens to one peer, whatever it is.
            if peer.key == OURS:
                raise
            self.failed[peer.key] = f"{peer.key}: {str(failure) or type(failure).__name__}"
            self.say(f"without {peer.title} from here: {failure!r}")
