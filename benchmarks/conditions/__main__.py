"""Measure a worker under other conditions: `python -m benchmarks.conditions [--only NAME] [--quick] [--json PATH]`.

Exit status: 0, 2 if the measurement itself failed, 130 if it was stopped. Only the named series are replaced in the
record.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.command import EXIT_FAILED, begin, run_as_command
from benchmarks.conditions.backlog import BACKLOG
from benchmarks.conditions.company import COMPANY
from benchmarks.conditions.delay import DELAY
from benchmarks.conditions.load import LOAD
from benchmarks.conditions.series import rendered, take, written
from benchmarks.conditions.shapes import SHAPES
from benchmarks.conditions.sizes import Sizes
from benchmarks.conditions.startup import STARTUP
from benchmarks.failures import BenchFailed

ALL = {series.name: series for series in (BACKLOG, *SHAPES, DELAY, LOAD, COMPANY, STARTUP)}
LATEST = Path(__file__).parent.parent / "conditions.json"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conditions", description="rota under other conditions."
    )
    only = "measure this series alone (more than once: these)"
    parser.add_argument("--only", action="append", choices=ALL, metavar="NAME", help=only)
    parser.add_argument("--quick", action="store_true", help="small sizes and one round")
    where = "where the record goes (default: conditions.json beside this package)"
    parser.add_argument("--json", type=Path, default=LATEST, metavar="PATH", help=where)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Measure, write, print; the exit status."""
    chosen = options(arguments)
    before, began, status = os.getloadavg(), time.monotonic(), EXIT_FAILED
    try:
        sizes = Sizes.read(os.environ, quick=chosen.quick)
        found, server = asyncio.run(_measured(chosen.only or list(ALL), sizes))
        machine = {"server": server, "load_before": before, "load_after": os.getloadavg()}
        former = json.loads(chosen.json.read_text())["series"] if chosen.only and chosen.json.exists() else {}
        document: dict[str, Any] = {
            "taken": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": {**record.machine(), **machine},
            "sizes": asdict(sizes),
            "series": {**former, **found},
        }
        if not chosen.only:
            document["minutes"] = round((time.monotonic() - began) / 60)
        record.write(chosen.json, document)
        print("\n\n".join(rendered(name, one) for name, one in found.items()))
        status = 0
    except* BenchFailed as failures:
        for failure in failures.exceptions:
            sys.stderr.write(f"{failure}\n")
    return status


async def _measured(names: Sequence[str], sizes: Sizes) -> tuple[dict[str, Any], str]:
    """Return the record of each series, and what the server is."""
    version = await begin()
    found = {}
    for name in names:
        rounds = await take(ALL[name], sizes, lambda line: print(line, file=sys.stderr, flush=True))
        found[name] = written(ALL[name], rounds)
    return found, version


if __name__ == "__main__":
    run_as_command(main)
