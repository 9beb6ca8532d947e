"""How plots look, on light and on dark pages, and how they become files that are the same each time."""

import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d9dee4", "#ffffff"
#: rota, its second line where it is alone, other systems, and the floor.
OURS, SECOND, PEER, FLOOR = "#d9480f", "#1c6fb8", "#8c96a3", "#c3cad3"
#: What each is for a reader who wants it dark. A plot brings its own paper, so that it is legible on any page.
DARK = {
    INK: "#e6e9ee",
    MUTED: "#9aa4b2",
    GRID: "#363c47",
    PAPER: "#1e2129",
    OURS: "#ff8a4c",
    SECOND: "#6cb6ff",
    PEER: "#7f8997",
    FLOOR: "#505865",
}
WIDTH = 8.6
#: An axis that reaches less far has room for more labels than those of powers of ten.
_FEW_POWERS = 150
#: Ends the title of a panel whose axis of values is logarithmic.
LOGARITHMIC = " (logarithmic)"
#: A coordinate: a hundredth of a point is finer than any screen.
_LONG = re.compile(r"(\d+\.\d\d)\d+")

_SETTINGS: dict[str, Any] = {
    # Text stays text: it is found by a search, and needs no shapes of letters in each file.
    "svg.fonttype": "none",
    "svg.hashsalt": "rota",
    "font.size": 9,
    # matplotlib measures by the first, which it brings along; readers have at least one of the others.
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "text.color": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.major.size": 0,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "figure.facecolor": PAPER,
    # Wide enough for a reader's letters that are broader.
    "figure.constrained_layout.w_pad": 0.12,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}


def styled() -> Any:
    """Return the context in which plots are made."""
    return mpl.rc_context(_SETTINGS)


def svg(canvas: Canvas) -> str:
    """Return a plot as SVG, without a date or a version, with the colours of dark pages where a reader wants them."""
    file = io.StringIO()
    canvas.savefig(file, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    head, defs, rest = file.getvalue().partition(" <defs>\n")
    rules = "".join(
        f'[style*="{what}: {light}"]{{{what}:{dark} !important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke")
    )
    style = f"  <style>@media (prefers-color-scheme: dark) {{{rules}}}</style>\n"
    text = _LONG.sub(r"\1", f"{head}{defs}{style}{rest}")
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def powers(axis: Any, least: float, most: float) -> None:
    """Label a logarithmic axis by powers of ten, and by what is between them where there are few."""
    if most < least * _FEW_POWERS:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(short))
    axis.set_minor_formatter(NullFormatter())


def short(value: float, _: object = None) -> str:
    """Format a number on an axis: 20k for 20,000."""
    for limit, sign in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{sign}"
    return f"{value:g}"
