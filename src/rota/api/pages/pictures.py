"""What charts show: their shapes as paths, their scale, and the same in words; `pictures.html` writes them as SVG.

They need no script, print, and follow the theme by their classes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import NamedTuple, Self

from markupsafe import Markup

from rota.api.pages.drawing import (
    HIGH,
    STEP,
    Tick,
    band,
    height,
    line,
    scale_of_jobs,
    scale_of_times,
    top_of,
)
from rota.api.pages.words import duration
from rota.model.history.series import DeployMark, Distribution, HistoryPoint

_MINUTE, _DAY = 60.0, 86_400.0


@dataclass(frozen=True, slots=True)
class Bar:
    """The jobs that ended in one step of time: how many completed, failed for good, and otherwise; and that started."""

    completed: int
    failed: int
    other: int = 0
    started: int = 0

    @property
    def total(self) -> int:
        """The height of the bar."""
        return self.completed + self.failed + self.other

    @classmethod
    def of(cls, points: Sequence[HistoryPoint]) -> Self:
        """Return the bar of one step over several queues."""
        return cls(
            sum(point.completed for point in points),
            sum(point.dead for point in points),
            sum(point.retried + point.lost + point.cancelled for point in points),
            sum(point.started for point in points),
        )

    @classmethod
    def sum(cls, bars: Sequence["Bar"]) -> Self:
        """Return one bar that is as high as several together."""
        return cls(*(sum(getattr(bar, one.name) for bar in bars) for one in fields(cls)))


class Shape(NamedTuple):
    """One path of a chart, and the class by which it gets its colour."""

    kind: str
    path: str


class Step(NamedTuple):
    """A step of a chart: when it begins, where it stands, and what is told of it, as a sentence and by columns."""

    at: datetime
    x: int
    sentence: str
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """The times that a chart is about.

    :param begins: when each step begins, the first one first.
    :param marks: the versions of the code that began to run meanwhile.
    :param step: from one to the next, in seconds.
    """

    begins: tuple[datetime, ...]
    marks: tuple[DeployMark, ...]
    step: float

    @classmethod
    def of(cls, begins: Sequence[datetime], marks: Iterable[DeployMark]) -> Self:
        """Return the times of steps, and of the marks each version once: when it was first seen."""
        step = (begins[1] - begins[0]).total_seconds() if len(begins) > 1 else _MINUTE
        firsts: dict[str, DeployMark] = {}
        for mark in sorted(marks):
            firsts.setdefault(mark.version, mark)
        return cls(tuple(begins), tuple(firsts.values()), step)

    @property
    def wide(self) -> int:
        """The width of the chart, in its units."""
        return max(1, len(self.begins)) * STEP

    @property
    def is_long(self) -> bool:
        """Whether a time of day alone would not say which of them is meant."""
        return len(self.begins) * self.step > _DAY

    def clock(self, at: datetime) -> str:
        """Return a time as it is said where nothing turns it into the viewer's."""
        return f"{at:%a %H:%M} UTC" if self.is_long else f"{at:%H:%M} UTC"

    @property
    def deploys(self) -> list[tuple[DeployMark, float]]:
        """Each mark, and where it stands."""
        return [
            (mark, round((mark.at - self.begins[0]).total_seconds() / self.step * STEP, 1))
            for mark in self.marks
        ]

    @property
    def shown(self) -> tuple[datetime, ...]:
        """The times that stand below the chart: of its first step, the middle one and the last."""
        return tuple(self.begins[place] for place in sorted({0, len(self.begins) // 2, len(self.begins) - 1}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart over some time, as it is drawn and in words.

    :param about: what the lines of the scale mean.
    :param columns: the names of what is told of each step.
    :param told: what is told of each step, in the order of the columns; () where nothing happened.
    :param legend: each kind of shape by its class, in words.
    """

    title: str
    about: str
    times: Times
    columns: tuple[str, ...]
    told: tuple[tuple[str, ...], ...]
    shapes: tuple[Shape, ...]
    ticks: tuple[Tick, ...]
    legend: tuple[tuple[str, str], ...]

    @property
    def steps(self) -> list[Step]:
        """The steps in which something happened."""
        every = enumerate(zip(self.times.begins, self.told, strict=True))
        return [Step(at, place * STEP, self._sentence(at, told), told) for place, (at, told) in every if told]

    def _sentence(self, at: datetime, told: Sequence[str]) -> str:
        said = ", ".join(f"{name} {words}" for name, words in zip(self.columns, told, strict=True))
        return f"{self.times.clock(at)}: {said}"


def sparkline(steps: Sequence[Bar], title: str) -> Markup:
    """Return bars of one step each, from left to right, as small as a word."""
    drawn = (Markup('<path class="{}" d="{}"/>').format(*one) for one in _stacks(steps, _most(steps)))
    return Markup(
        '<svg class="spark" viewBox="0 0 {wide} {high}" preserveAspectRatio="none" role="img">'
        "<title>{title}</title>{drawn}</svg>"
    ).format(wide=max(1, len(steps)) * STEP, high=HIGH, title=title, drawn=Markup("").join(drawn))


def became(title: str, points: Iterable[Sequence[HistoryPoint]], marks: Iterable[DeployMark] = ()) -> Chart:
    """Return the chart of what became of jobs, and how many started. Each step has the points of all queues."""
    found = [(one[0].at, Bar.of(one)) for one in points]
    steps, times = [bar for _, bar in found], [at for at, _ in found]
    top = top_of(_most(steps))
    whole = Bar.sum(steps)
    return Chart(
        title=title,
        about="jobs of each step",
        times=Times.of(times, marks),
        columns=("started", "completed", "retried, lost or cancelled", "died"),
        told=tuple(_told(bar) for bar in steps),
        shapes=(
            *_stacks(steps, top),
            Shape("started", line([height(bar.started / top) for bar in steps])),
        ),
        ticks=scale_of_jobs(top),
        legend=(
            ("started", f"started {whole.started:,}"),
            ("completed", f"completed {whole.completed:,}"),
            ("other", f"retried, lost or cancelled {whole.other:,}"),
            ("failed", f"died {whole.failed:,}"),
        ),
    )


def deaths(title: str, steps: Sequence[tuple[datetime, int]], marks: Iterable[DeployMark] = ()) -> Chart:
    """Return the chart of how many jobs died in each step of time."""
    bars = [Bar(0, count) for _, count in steps]
    top = top_of(_most(bars))
    return Chart(
        title=title,
        about="jobs of each step",
        times=Times.of([at for at, _ in steps], marks),
        columns=("died",),
        told=tuple((f"{count:,}",) if count else () for _, count in steps),
        shapes=tuple(_stacks(bars, top)),
        ticks=scale_of_jobs(top),
        legend=(("failed", f"died {sum(count for _, count in steps):,}"),),
    )


def spans(
    title: str,
    steps: Sequence[tuple[datetime, Distribution]],
    total: Distribution,
    marks: Iterable[DeployMark] = (),
    limit: float | None = None,
) -> Chart:
    """Return the chart of how long something took: half, 95 and 99 of 100 as bands, and a limit as a line."""
    times = Times.of([at for at, _ in steps], marks)
    parts = [_parts(one) for _, one in steps]
    known = [value for one in parts if one for value in one]
    place, ticks = scale_of_times([*known, *([] if limit is None else [limit])])
    half, many, most = ([place(one[part]) if one else None for one in parts] for part in range(3))
    columns = ("half within", "95 of 100 within", "99 of 100 within")
    overall = map(duration, _parts(total) or (None, None, None))
    return Chart(
        title=title,
        about="from one line to the next about ten times as long",
        times=times,
        columns=columns,
        told=tuple(tuple(map(duration, one)) if one else () for one in parts),
        shapes=(
            Shape("most", band(many, most)),
            Shape("many", band(half, many)),
            *(() if limit is None else (Shape("limit", f"M0 {place(limit)}H{times.wide}"),)),
            Shape("p99", line(most)),
            Shape("p95", line(many)),
            Shape("p50", line(half)),
        ),
        ticks=ticks,
        legend=(
            *(
                (kind, " ".join(said))
                for kind, *said in zip(("p50", "p95", "p99"), columns, overall, strict=True)
            ),
            *(() if limit is None else (("limit", f"objective {duration(limit)}"),)),
        ),
    )


def _told(bar: Bar) -> tuple[str, ...]:
    figures = (bar.started, bar.completed, bar.other, bar.failed)
    return tuple(f"{one:,}" for one in figures) if any(figures) else ()


def _parts(one: Distribution) -> tuple[float, float, float] | None:
    found = (one.p50, one.p95, one.p99)
    return None if None in found else found  # type: ignore[return-value]


def _most(steps: Iterable[Bar]) -> int:
    return max([1, *(max(bar.total, bar.started) for bar in steps)])


def _stacks(steps: Sequence[Bar], top: float) -> list[Shape]:
    """Return what became of jobs as bars that stand on each other, a shape for each kind."""
    paths: dict[str, list[str]] = {"completed": [], "other": [], "failed": []}
    for place, bar in enumerate(steps):
        # The smallest is still to be seen, and the largest makes room for that.
        heights = {kind: max(2.0, HIGH * count / top) for kind in paths if (count := getattr(bar, kind))}
        if heights:
            largest = max(heights, key=heights.__getitem__)
            heights[largest] -= max(0.0, sum(heights.values()) - HIGH)
        base = float(HIGH)
        for kind, high in heights.items():
            paths[kind].append(f"M{place * STEP + 1} {base:.1f}v-{high:.1f}h{STEP - 2}v{high:.1f}z")
            base -= high
    return [Shape(kind, "".join(path)) for kind, path in paths.items()]
