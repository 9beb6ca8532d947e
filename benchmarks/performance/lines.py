"""Plots of rota alone: how its figures change along one condition."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter

from benchmarks.performance import style
from benchmarks.performance.records import Records

_BELOW = {
    "backlog": "jobs that wait",
    "queues": "queues in one process",
    "delay": "a round trip takes longer by, ms",
    "workers": "worker processes",
    "slots": "jobs at once",
    "load": "part of the jobs a second that the worker is able to do",
}
_LOOKS = (
    {"color": style.OURS, "marker": "o"},
    {"color": style.SECOND, "marker": "s"},
    {"color": style.MUTED, "marker": "^"},
)
_HEIGHT = 2.7

#: The lines of a panel: what each shows, and the series and the figure that it is of.
Lines = Mapping[str, tuple[str, str]]


def lines(records: Records, name: str, panels: Mapping[str, Lines], *, powers: bool) -> Canvas:
    """Draw a panel for each group of figures; with `powers` the axis of the condition is logarithmic."""
    canvas = Canvas(figsize=(style.WIDTH, _HEIGHT), layout="constrained")
    for axis, (title, of) in zip(
        canvas.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        found = {words: _points(records, *which) for words, which in of.items()}
        found = {words: points for words, points in found.items() if points}
        for look, (words, points) in zip(_LOOKS, found.items(), strict=False):
            axis.plot(*zip(*points, strict=True), label=words, markersize=5, linewidth=1.6, **look)
        if len(found) > 1:
            axis.legend(loc="best", fontsize=8)
        _scale(axis, title, sorted({x for points in found.values() for x, _ in points}), powers=powers)
        axis.set_title(title)
        axis.set_xlabel(_BELOW[name])
        axis.grid(axis="y")
    return canvas


def _points(records: Records, series: str, figure: str) -> list[tuple[float, float]]:
    return [(x, values[figure]) for x, values in records.points(series) if figure in values]


def _scale(axis: Any, title: str, places: list[float], *, powers: bool) -> None:
    if powers:
        axis.set_xscale("log")
    axis.set_xticks(places, [style.short(x) for x in places])
    axis.set_xticks([], minor=True)
    if title.endswith(style.LOGARITHMIC):
        axis.set_yscale("log")
        style.powers(axis.yaxis, *axis.get_ylim())
    else:
        # From nothing on, so that a line looks no steeper than it is; a legend has room above.
        axis.set_ylim(0, axis.get_ylim()[1] * 1.1)
        axis.yaxis.set_major_formatter(FuncFormatter(style.short))
