"""Run rota and its peers side by side: `python -m benchmarks.peers [--set-up] [--only KEY,…] [--quick] [--json PATH]`.

`--set-up` makes the environments of the peers first, in .venv/peers or in the folder of BENCH_PEERS_HOME. Peers without
one are left out, and the record says why. BENCH_SERVER names another server program than the embedded one, such as
redis-server; other BENCH_… variables set the sizes. Exit status: 0, 2 if the measurement failed, 130 if it was stopped.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import record
from benchmarks.command import EXIT_FAILED, begin, run_as_command
from benchmarks.failures import BenchFailed
from benchmarks.figures import medians
from benchmarks.peers import table
from benchmarks.peers.catalogue import PEERS, Peer
from benchmarks.peers.environments import Missing
from benchmarks.peers.record import document
from benchmarks.peers.run import Run
from benchmarks.peers.sizes import PeerSizes

LATEST = Path(__file__).parent.parent / "peers.json"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description="rota and its peers side by side."
    )
    parser.add_argument("--set-up", action="store_true", help="make the environments of the peers first")
    keys = ", ".join(peer.key for peer in PEERS)
    parser.add_argument("--only", metavar="KEYS", help=f"these systems alone, of: {keys}")
    parser.add_argument("--quick", action="store_true", help="small sizes and one round")
    where = "where the record goes (default: peers.json beside the benchmarks)"
    parser.add_argument("--json", type=Path, default=LATEST, metavar="PATH", help=where)
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.only.split(",")) - {peer.key for peer in PEERS} if chosen.only else set()
    if unknown:
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}; there are {keys}")
    return chosen


def main(arguments: Sequence[str]) -> int:
    """Measure, write, print; the exit status."""
    chosen = options(arguments)
    peers = [peer for peer in PEERS if not chosen.only or peer.key in chosen.only.split(",")]
    status = EXIT_FAILED
    try:
        sizes = PeerSizes.read(os.environ, quick=chosen.quick)
        there, skipped = available(peers, make=chosen.set_up)
        versions = {peer.key: peer.environment.versions(peer.packages) for peer in there}
        before, began = os.getloadavg(), time.monotonic()
        run = Run(sizes, _say)
        server = asyncio.run(_measure(run, there))
        figures = {key: medians(values) for key, values in run.measured.items()}
        skipped |= run.failed
        loads = (before, os.getloadavg())
        content = document(
            run.measured, figures, sizes, loads=loads, server=server, versions=versions, skipped=skipped
        )
        record.write(chosen.json, content | {"minutes": round((time.monotonic() - began) / 60)})
        print(f"{table.render(there, figures)}\n\n{table.NOTES}")
        print("\n".join(f"not measured: {reason}" for reason in skipped.values()))
        status = 0
    except* BenchFailed as failures:
        for failure in failures.exceptions:
            sys.stderr.write(f"{failure}\n")
    return status


def available(peers: Sequence[Peer], *, make: bool) -> tuple[list[Peer], dict[str, str]]:
    """Tell systems that can be measured from those that cannot, with the reason; make environments if asked to."""
    there, skipped = [], {}
    for peer in peers:
        try:
            if make:
                _say(f"the environment of {peer.title}")
                peer.environment.make()
            peer.environment.check()
            there.append(peer)
        except Missing as missing:
            skipped[peer.key] = str(missing)
            _say(f"without {peer.title}: {missing}")
    return there, skipped


async def _measure(run: Run, peers: Sequence[Peer]) -> str:
    version = await begin()
    await run.all(peers)
    return version


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_as_command(main)
