"""A series: the same measurement at several points of one condition, in rounds that measure every point in turn."""

import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.conditions.sizes import Sizes

#: Where a point lies: what is told of the condition there.
X = int | float | str
#: The figures of one round at one point.
Figures = dict[str, float]
Measure = Callable[[Any], Awaitable[Figures]]
#: All rounds of each figure, by point.
Rounds = dict[X, dict[str, list[float]]]


@dataclass(frozen=True, slots=True)
class Series:
    """One condition: its `name`, what its points tell (`x`, in `unit`), and how one of them is measured.

    `open` sets up what lives through all rounds, and yields what measures a point.
    """

    name: str
    x: str
    unit: str
    points: Callable[[Sizes], Sequence[X]]
    open: Callable[[Sizes], AbstractAsyncContextManager[Measure]]


async def take(series: Series, sizes: Sizes, say: Callable[[str], object]) -> Rounds:
    """Measure every point in each round; `say` is told what is done."""
    points = series.points(sizes)
    found: Rounds = {x: {} for x in points}
    async with series.open(sizes) as measure:
        for number in range(sizes.rounds):
            # Every other round runs backwards, so that changes of the machine's load do not favour one point.
            for x in points if number % 2 == 0 else reversed(points):
                say(f"{series.name}, round {number + 1} of {sizes.rounds}: {x} {series.unit}")
                gc.collect()
                for figure, value in (await measure(x)).items():
                    found[x].setdefault(figure, []).append(value)
    return found


def written(series: Series, found: Rounds) -> dict[str, Any]:
    """Return a series as the record has it: each figure's median, and the rounds that it is of."""
    return {
        "x": series.x,
        "unit": series.unit,
        "points": [
            {
                "x": x,
                "figures": {
                    name: {"median": short(median(values)), "rounds": [short(value) for value in values]}
                    for name, values in figures.items()
                },
            }
            for x, figures in found.items()
        ],
    }


def share(written_series: Mapping[str, Any], figure: str, of: X, to: X) -> float:
    """Return the median of `figure` at the point `of`, as a share of that at the point `to`."""
    medians = {point["x"]: point["figures"][figure]["median"] for point in written_series["points"]}
    return float(medians[of] / medians[to])


def rendered(name: str, written_series: Mapping[str, Any]) -> str:
    """Format a series as text: a line for each figure, a column for each point."""
    points = written_series["points"]
    lines = [[f"{name}: {written_series['x']}", *(_cell(point["x"]) for point in points)]]
    for figure in dict.fromkeys(figure for point in points for figure in point["figures"]):
        medians = [point["figures"].get(figure, {}).get("median") for point in points]
        lines.append([f"  {figure}", *map(_cell, medians)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines
    )


def short(value: float) -> float:
    """Return a figure with as many digits as mean something."""
    return float(f"{value:.4g}")


def _cell(value: X | None) -> str:
    if value is None:
        return "-"
    return (
        value if isinstance(value, str) else f"{value:,.{0 if value >= 100 or value == int(value) else 2}f}"
    )
