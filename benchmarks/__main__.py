"""Run the benchmark: `python -m benchmarks [--check] [--quick] [--json PATH]`; BENCH_… variables set its sizes.

Exit status: 0, 1 if `--check` found a promise not kept, 2 if the measurement itself failed, 130 if it was stopped.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import record, table
from benchmarks.command import EXIT_FAILED, EXIT_MISSED, begin, run_as_command
from benchmarks.failures import BenchFailed
from benchmarks.figures import Figures, medians
from benchmarks.promises import OURS, THEIRS, misses
from benchmarks.run import Measured, run
from benchmarks.sizes import Sizes
from benchmarks.systems import SYSTEMS, System

LATEST = Path(__file__).parent / "latest.json"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Stock arq and rota side by side."
    )
    check = "measure what the promises are about, and exit 1 with a line for each one that is not kept"
    parser.add_argument("--check", action="store_true", help=check)
    parser.add_argument("--quick", action="store_true", help="small sizes and one round")
    where = "where the record goes (default: latest.json beside this module)"
    parser.add_argument("--json", type=Path, default=LATEST, metavar="PATH", help=where)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure, write, print; the exit status."""
    chosen = options(arguments)
    systems = [one for one in SYSTEMS if not chosen.check or one.key in (OURS, THEIRS)]
    status = EXIT_FAILED
    try:
        sizes = Sizes.read(os.environ, quick=chosen.quick)
        before = os.getloadavg()
        measured, server = asyncio.run(_measure(systems, sizes))
        figures = {key: medians(values) for key, values in measured.items()}
        loads = (before, os.getloadavg())
        record.write(chosen.json, record.document(measured, figures, sizes, loads, server))
        _print(systems, figures, sizes, loads, server)
        status = _judge(figures) if chosen.check else 0
    except* BenchFailed as failures:
        for failure in failures.exceptions:
            sys.stderr.write(f"{failure}\n")
    return status


async def _measure(systems: Sequence[System], sizes: Sizes) -> tuple[Measured, str]:
    version = await begin()
    return await run(systems, sizes, lambda line: print(line, file=sys.stderr, flush=True)), version


def _print(
    systems: Sequence[System],
    figures: Mapping[str, Figures],
    sizes: Sizes,
    loads: tuple[record.Load, record.Load],
    server: str,
) -> None:
    print(table.render(systems, figures, sizes))
    print(f"\n{table.NOTES}")
    facts = record.machine()
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    print(f"Python {facts['python']}, {server}, {packages}; {facts['cpus']} CPUs.")
    before, after = (f"{load[0]:.2f}" for load in loads)
    print(f"Load of the machine: {before} before, {after} after; compare within a row, not across machines.")


def _judge(figures: Mapping[str, Figures]) -> int:
    missed = misses(figures)
    print("\n".join(["", *missed]) if missed else "\nAll promises kept.")
    return EXIT_MISSED if missed else 0


if __name__ == "__main__":
    run_as_command(main)
