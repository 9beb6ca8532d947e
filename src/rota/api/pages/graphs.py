"""The stages of a flow as SVG that the server draws: boxes from left to right, one for each, with how far it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

#: The size of a box, the gap between two, and the room around them.
_WIDE, _HIGH, _GAP, _EDGE = 168, 62, 34, 8
#: How far the boxes behind the one of an `each` stand out.
_STACKED = 4
#: The most letters of a name in a box.
_LETTERS = 21


@dataclass(frozen=True, slots=True)
class Box:
    """One stage as it is drawn.

    :param level: what has become of it, as a class of the style: a state, or "" for what is to come.
    :param share: how far it is, from 0 to 1.
    :param is_many: whether it stands for the items of a list.
    :param link: where a click on it leads; "" for nowhere.
    """

    name: str
    words: str
    level: str
    share: float
    is_many: bool = False
    link: str = ""


def graph(boxes: Sequence[Box], title: str) -> Markup:
    """Return boxes from left to right, with an arrow from each to the next."""
    wide = 2 * _EDGE + len(boxes) * _WIDE + (len(boxes) - 1) * _GAP + _STACKED
    high = 2 * _EDGE + _HIGH + _STACKED
    return Markup(
        '<svg class="graph" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}" role="group" '
        'aria-label="{title}">{arrows}{boxes}</svg>'
    ).format(
        wide=wide,
        high=high,
        title=title,
        arrows=Markup("").join(_arrow(place) for place in range(1, len(boxes))),
        boxes=Markup("").join(_box(place, box) for place, box in enumerate(boxes)),
    )


def shortened(name: str) -> str:
    """Return a name that fits into a box, cut in its middle."""
    if len(name) <= _LETTERS:
        return name
    half = (_LETTERS - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _left(place: int) -> int:
    return _EDGE + place * (_WIDE + _GAP)


def _arrow(place: int) -> Markup:
    end, middle = _left(place) - 2, _EDGE + _HIGH // 2
    return Markup('<path class="arrow" d="M{begin} {y}H{end}m-6-4 6 4-6 4"/>').format(
        begin=end - _GAP + 6, y=middle, end=end
    )


def _box(place: int, box: Box) -> Markup:
    x, y = _left(place), _EDGE
    behind = Markup('<rect class="behind" x="{x}" y="{y}" width="{wide}" height="{high}" rx="6"/>').format(
        x=x + _STACKED, y=y + _STACKED, wide=_WIDE, high=_HIGH
    )
    drawn = Markup(
        '<g class="box {level}"><title>{name}: {words}</title>{behind}'
        '<rect class="face" x="{x}" y="{y}" width="{wide}" height="{high}" rx="6"/>'
        '<text class="name" x="{text}" y="{first}">{short}</text><text x="{text}" y="{second}">{words}</text>'
        '<rect class="all" x="{text}" y="{bar}" width="{full}" height="5" rx="2"/>'
        '<rect class="done" x="{text}" y="{bar}" width="{done}" height="5" rx="2"/></g>'
    ).format(
        level=box.level or "later",
        name=box.name,
        short=shortened(box.name),
        words=box.words,
        behind=behind if box.is_many else "",
        x=x,
        y=y,
        wide=_WIDE,
        high=_HIGH,
        text=x + 12,
        first=y + 21,
        second=y + 38,
        bar=y + 48,
        full=_WIDE - 24,
        done=round((_WIDE - 24) * min(1.0, box.share), 1),
    )
    # Keyboards and screen readers take the list beside the picture, which has the same links.
    return Markup('<a href="{}" tabindex="-1">{}</a>').format(box.link, drawn) if box.link else drawn
