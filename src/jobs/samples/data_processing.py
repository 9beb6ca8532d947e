"""A job that keeps a processor busy, in a process of its own so that it does not slow down its worker's other jobs.

It shows what a child process is for: it is killed when its time is up or its job is cancelled, and leaves nothing.
Its file has a bound, 25 MB, since all jobs of a worker share one folder for such files.
"""

import csv
import math
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TextIO

from pydantic import Field

from rota import Run, job

REGIONS = ("Africa", "Americas", "Asia", "Europe", "Oceania")

_REPORT_EVERY = 5_000
#: The percentage for each half of the work: making the file takes about as long as reading it.
_HALF = 50.0

Count = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Group:
    """The orders of one region; amounts have two decimals, `deviation` is the standard deviation of the sample."""

    region: str
    orders: int
    total: float
    mean: float
    deviation: float
    smallest: float
    largest: float


@dataclass(frozen=True, slots=True)
class Report:
    """The statistics of a file: the number of orders, and a group for each region, in alphabetical order."""

    rows: int
    groups: list[Group]


@job(queue="reports", process=True, timeout=300)
def data_processing(
    run: Run, rows: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000, seed: int = 0
) -> Report:
    """Make a CSV file of `rows` orders, the same for the same `seed`, and return statistics of its regions."""

    def making(done: int) -> None:
        run.progress(_HALF * done / rows, f"made {done:,} of {rows:,} rows")

    def reading(done: int) -> None:
        run.progress(_HALF + _HALF * done / rows, f"read {done:,} of {rows:,} rows")

    # A file without a name vanishes with its process, even if the process is killed.
    with tempfile.TemporaryFile("w+", newline="", encoding="utf-8") as file:
        make_orders(file, rows, seed, making)
        file.seek(0)
        return summarize(file, reading)


def make_orders(file: TextIO, rows: int, seed: int, count: Count) -> None:
    """Write a CSV file with the columns order, region, amount; call `count` now and then with the rows made so far."""
    chance = random.Random(seed)  # noqa: S311 - sample data
    writer = csv.writer(file)
    writer.writerow(("order", "region", "amount"))
    for number in range(1, rows + 1):
        cents = round(chance.lognormvariate(8, 1))
        writer.writerow((number, chance.choice(REGIONS), f"{cents // 100}.{cents % 100:02}"))
        if number % _REPORT_EVERY == 0:
            count(number)


def summarize(file: TextIO, count: Count) -> Report:
    """Return the statistics of such a file, read row by row; call `count` now and then with the rows read so far."""
    sums: dict[str, _Sums] = {}
    rows = 0
    for rows, row in enumerate(csv.DictReader(file), 1):
        sums.setdefault(row["region"], _Sums()).add(int(row["amount"].replace(".", "")))
        if rows % _REPORT_EVERY == 0:
            count(rows)
    return Report(rows, [sums[region].group(region) for region in sorted(sums)])


@dataclass(slots=True)
class _Sums:
    """The running sums of a region, in whole cents, so that nothing is rounded before the end."""

    orders: int = 0
    total: int = 0
    squares: int = 0
    smallest: int = 0
    largest: int = 0

    def add(self, cents: int) -> None:
        self.smallest = min(self.smallest, cents) if self.orders else cents
        self.largest = max(self.largest, cents)
        self.orders += 1
        self.total += cents
        self.squares += cents * cents

    def group(self, region: str) -> Group:
        spread = self.orders * self.squares - self.total**2
        deviation = math.sqrt(spread / (self.orders * (self.orders - 1))) if self.orders > 1 else 0.0
        return Group(
            region,
            self.orders,
            total=self.total / 100,
            mean=self.total / self.orders / 100,
            deviation=deviation / 100,
            smallest=self.smallest / 100,
            largest=self.largest / 100,
        )
