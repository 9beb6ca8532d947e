"""The whole run: idle workers side by side, the bytes of jobs, and then the rounds, one system after the other."""

import asyncio
import gc
from collections.abc import Callable, Sequence

from benchmarks.peers import measure
from benchmarks.peers.catalogue import Peer
from benchmarks.peers.sizes import PeerSizes
from benchmarks.run import Measured, note


async def run(peers: Sequence[Peer], sizes: PeerSizes, say: Callable[[str], object]) -> Measured:
    """Measure `peers`; `say` is told what happens. Raises what a failed measurement raises."""
    measured: Measured = {peer.key: {} for peer in peers}
    say(f"idle workers, for {sizes.quiet} s")
    # Counts of commands do not depend on the machine's load, so these run at the same time.
    idle = await asyncio.gather(*(measure.idle(peer, sizes) for peer in peers))
    for peer, figures in zip(peers, idle, strict=True):
        note(measured, peer.key, figures)
    for peer in peers:
        say(f"the bytes of jobs: {peer.title}")
        note(measured, peer.key, await measure.sizes_of_jobs(peer, sizes))
    for number in range(sizes.rounds):
        # Every other round runs backwards, so that changes of the machine's load do not favour one system.
        for peer in peers if number % 2 == 0 else reversed(peers):
            say(f"round {number + 1} of {sizes.rounds}: {peer.title}")
            gc.collect()
            note(measured, peer.key, await measure.measure(peer, sizes))
    return measured
