"""How charts are drawn: their scales, and lines and bands as paths of SVG.

A step of time is ten units wide and all of it a hundred high, and stretched to the page; text would be stretched too,
so that it stands beside the shapes.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rota.api.pages.words import duration

#: Units of a chart's width for each of its steps, and its height.
STEP, HIGH = 10, 100
#: Times that the scale of spans has lines at, in seconds: from one to the next about ten times as long.
_SPANS = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 864_000.0)


class Tick(NamedTuple):
    """A line of the scale: what it stands for, and how far from the top it is, in hundredths of the height."""

    words: str
    y: float


def top_of(most: int) -> float:
    """Return the top of a scale that goes up to `most`: a figure that is easily halved, and zeros behind it."""
    size = 10 ** math.floor(math.log10(most))
    return float(next(top * size for top in (1, 2, 4, 6, 8, 10) if most <= top * size))


def scale_of_jobs(top: float) -> tuple[Tick, ...]:
    """Return the lines of a scale of jobs."""
    return (
        Tick(f"{_figure(top)} {'job' if top == 1 else 'jobs'}", height(1)),
        Tick(_figure(top / 2), height(0.5)),
        Tick("0", height(0)),
    )


def _figure(value: float) -> str:
    # There is room for seven characters.
    return f"{value / 1e6:,g} M" if value >= 1e6 else f"{value:,.1f}".removesuffix(".0")  # noqa: PLR2004


def height(part: float) -> float:
    """Return how far from the top the end of a bar is, by its part of the whole height."""
    return round(HIGH * (1 - part), 1)


def scale_of_times(values: Sequence[float]) -> tuple[Callable[[float], float], tuple[Tick, ...]]:
    """Return how far from the top a time is on a scale that has all of `values`, and the lines of the scale."""
    low, high = min(values, default=_SPANS[0]), max(values, default=_SPANS[1])
    first = max([0, *(place for place, one in enumerate(_SPANS[:-1]) if one <= low)])
    last = min(
        [len(_SPANS) - 1, *(place for place, one in enumerate(_SPANS) if one >= high and place > first)]
    )
    lines = _SPANS[first : last + 1]
    whole = math.log(lines[-1] / lines[0])

    def place(value: float) -> float:
        return height(min(1.0, max(0.0, math.log(max(value, lines[0]) / lines[0]) / whole)))

    return place, tuple(Tick(duration(one), place(one)) for one in lines)


def line(heights: Sequence[float | None]) -> str:
    """Return a line through the middles of steps, broken where nothing was."""
    return "".join("M" + "L".join(_points(run)) for run in _runs(heights))


def band(lows: Sequence[float | None], highs: Sequence[float | None]) -> str:
    """Return what is between two lines, broken where nothing was."""
    return "".join(
        "M" + "L".join([*_points(above), *reversed(_points(below))]) + "z"
        for below, above in zip(_runs(lows), _runs(highs), strict=True)
    )


def _runs(heights: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Return the steps that have a value, by their places, each run of neighbours by itself."""
    runs: list[list[tuple[int, float]]] = []
    for place, y in enumerate(heights):
        if y is not None:
            if not runs or runs[-1][-1][0] != place - 1:
                runs.append([])
            runs[-1].append((place, y))
    return runs


def _points(run: Sequence[tuple[int, float]]) -> list[str]:
    """Return the points of a run as a path has them. One step alone is a line as long as a bar is wide."""
    if len(run) == 1:
        ((place, y),) = run
        return [f"{place * STEP + 1} {y}", f"{(place + 1) * STEP - 1} {y}"]
    return [f"{place * STEP + STEP // 2} {y}" for place, y in run]
