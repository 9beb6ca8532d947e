"""Charts as SVG that the server draws: they need no script, print, and follow the theme by their classes."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from rota.model.history.series import HistoryPoint

#: Units of a chart's width for each of its points, and its height.
_STEP, _HIGH = 10, 100


@dataclass(frozen=True, slots=True)
class Bar:
    """The jobs that ended in one step of time: how many completed, failed for good, and otherwise."""

    completed: int
    failed: int
    other: int = 0

    @property
    def total(self) -> int:
        """The height of the bar."""
        return self.completed + self.failed + self.other

    @classmethod
    def of(cls, points: Sequence[HistoryPoint]) -> "Bar":
        """Return the bar of one step over several queues."""
        return cls(
            sum(point.completed for point in points),
            sum(point.dead for point in points),
            sum(point.retried + point.lost + point.cancelled for point in points),
        )


def bars(steps: Sequence[Bar], kind: str, title: str) -> Markup:
    """Return bars of one step each, from left to right, stacked by what became of the jobs."""
    most = max([1, *(bar.total for bar in steps)])
    drawn = [_bar(place, bar, most) for place, bar in enumerate(steps)]
    wide = max(1, len(steps)) * _STEP
    return Markup(
        '<svg class="{kind}" viewBox="0 0 {wide} {high}" preserveAspectRatio="none" role="img">'
        "<title>{title}</title>{axis}{drawn}</svg>"
    ).format(
        kind=kind,
        wide=wide,
        high=_HIGH,
        title=title,
        axis=Markup('<line class="axis" x1="0" x2="{wide}" y1="{high}" y2="{high}"/>').format(
            wide=wide, high=_HIGH
        ),
        drawn=Markup("").join(drawn),
    )


def _bar(place: int, bar: Bar, most: int) -> Markup:
    parts, base = [], float(_HIGH)
    for name, count in (("completed", bar.completed), ("other", bar.other), ("failed", bar.failed)):
        if count:
            # The smallest is still to be seen.
            high = max(2.0, _HIGH * count / most)
            base -= high
            parts.append(
                Markup('<rect class="{name}" x="{x}" y="{y}" width="{wide}" height="{high}"/>').format(
                    name=name,
                    x=place * _STEP + 1,
                    y=round(max(0.0, base), 1),
                    wide=_STEP - 2,
                    high=round(high, 1),
                )
            )
    return Markup("").join(parts)
