"""Plots of systems side by side: bars, and dots on a logarithmic axis where systems differ a hundredfold."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import ScaledTranslation

from benchmarks.performance import style
from benchmarks.performance.figures import ALL, OURS
from benchmarks.performance.records import Records, is_floor

_FIGURES = {figure.key: figure for figure in ALL}
#: Inches of the line of a system, and of what is above and below all lines.
_LINE, _REST, _LEGEND = 0.21, 0.7, 0.3
#: From the axis down to the legend, in inches.
_BELOW = -0.22
#: How the figures of a panel are told apart in one line, whatever its colour: the first, the last, and one between.
_FULL: dict[str, Any] = {"marker": "o", "markersize": 5.5}
_HOLLOW: dict[str, Any] = {**_FULL, "markerfacecolor": style.PAPER}
_BETWEEN: dict[str, Any] = {"marker": "|", "markersize": 9}
_MARKS = {2: (_FULL, _HOLLOW), 3: (_FULL, _BETWEEN, _HOLLOW)}


def bars(records: Records, **panels: str) -> Canvas:
    """Draw a panel of bars for each figure, the systems in the order of the first, the best at the top."""
    keys = _ordered(records, next(iter(panels)))
    canvas, axes = _canvas(len(panels), len(keys) * _LINE + _REST)
    for axis, (name, title) in zip(axes, panels.items(), strict=True):
        values = [records.value(key, name) for key in keys]
        widths = [value or 0.0 for value in values]
        axis.barh(range(len(keys)), widths, height=0.68, color=[_colour(key) for key in keys])
        for line, value in enumerate(values):
            look: dict[str, Any] = {"va": "center", "color": _ink(keys[line]), "fontsize": 8}
            place = {"xytext": (3, 0), "textcoords": "offset points"}
            axis.annotate(_FIGURES[name].text(value), (widths[line], line), **place, **look)
        axis.set_title(title)
        # Room for the number behind the longest bar.
        axis.set_xlim(0, max(widths) * 1.3 or 1)
        axis.locator_params(axis="x", nbins=4)
        axis.xaxis.set_major_formatter(FuncFormatter(style.short))
        axis.grid(axis="x")
    _name(axes[0], records, keys)
    return canvas


def dots(records: Records, panels: Mapping[str, Mapping[str, str]]) -> Canvas:
    """Draw a panel for each group of figures, the systems in the order of the very first figure."""
    first = next(iter(next(iter(panels.values()))))
    keys = _ordered(records, first)
    canvas, axes = _canvas(len(panels), len(keys) * _LINE + _REST + _LEGEND, sharex=True)
    for axis, (title, figures) in zip(axes, panels.items(), strict=True):
        axis.set_xscale("log")
        marks = _MARKS[len(figures)]
        _spans(axis, records, keys, list(figures))
        for mark, (name, words) in zip(marks, figures.items(), strict=True):
            axis.plot([], [], linestyle="", color=style.MUTED, label=words, **mark)
            for colour in (style.FLOOR, style.PEER, style.OURS):
                # What took less than a tick of the clock is 0, and has no place on this axis.
                points = [
                    (value, line)
                    for line, key in enumerate(keys)
                    if _colour(key) == colour and (value := records.value(key, name))
                ]
                if points:
                    axis.plot(*zip(*points, strict=True), linestyle="", color=colour, **mark)
        axis.set_title(f"{title}{style.LOGARITHMIC}")
        # Below the numbers of the axis, however high the panel is.
        below = axis.transAxes + ScaledTranslation(0, _BELOW, canvas.dpi_scale_trans)
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (-0.02, 0), "bbox_transform": below}
        axis.legend(**place, ncols=3, handletextpad=0.1, columnspacing=1)
        axis.grid(axis="x")
    style.powers(axes[0].xaxis, *axes[0].get_xlim())
    _name(axes[0], records, keys)
    return canvas


def _spans(axis: Any, records: Records, keys: Sequence[str], names: Sequence[str]) -> None:
    """Draw a line from the least to the most of each system's figures."""
    for line, key in enumerate(keys):
        seen = [value for name in names if (value := records.value(key, name))]
        if seen:
            axis.hlines(line, min(seen), max(seen), colors=_colour(key), linewidth=1.2)


def _canvas(panels: int, height: float, *, sharex: bool = False) -> tuple[Canvas, Sequence[Any]]:
    canvas = Canvas(figsize=(style.WIDTH, height), layout="constrained")
    return canvas, list(canvas.subplots(1, panels, sharey=True, sharex=sharex, squeeze=False)[0])


def _ordered(records: Records, name: str) -> list[str]:
    """Return the systems from the best in a figure to the worst, those without it last, and then the floor."""
    sign = -1 if _FIGURES[name].better == "more" else 1

    def place(key: str) -> tuple[bool, bool, float]:
        value = records.value(key, name)
        return is_floor(key), value is None, sign * (value or 0)

    return sorted(records.systems, key=place)


def _name(axis: Any, records: Records, keys: Sequence[str]) -> None:
    axis.set_yticks(range(len(keys)), [records.title(key) for key in keys])
    axis.set_ylim(len(keys) - 0.4, -0.6)
    for label, key in zip(axis.get_yticklabels(), keys, strict=True):
        label.set(color=_ink(key), fontweight="bold" if key == OURS else "normal")


def _colour(key: str) -> str:
    return style.OURS if key == OURS else style.FLOOR if is_floor(key) else style.PEER


def _ink(key: str) -> str:
    return style.OURS if key == OURS else style.MUTED if is_floor(key) else style.INK
