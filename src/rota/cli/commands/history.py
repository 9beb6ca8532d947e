"""`rota history`: what became of a queue's jobs in the last hours, as a table, and when new code came."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

import typer

from rota.cli import screen
from rota.cli.arguments import TIME, AsJson, duration, whole
from rota.cli.commands.look import moment
from rota.cli.session import Known, on_queue
from rota.client.client import Client
from rota.errors import RotaError
from rota.model.history.series import Distribution, HistoryPoint, QueueHistory, Window
from rota.model.history.tallies import OUTCOMES

#: The most rows of a table whose step is not said.
_ROWS = 30
_HOUR, _DAY = 3600, 24
_BARS = " ▁▂▃▄▅▆▇█"


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Jobs and queues")(history)


def history(
    queue: str,
    hours: Annotated[
        int, typer.Option(parser=whole("--hours", 1, 72), metavar="N", help="how far back, up to 72")
    ] = 24,
    step: Annotated[
        float | None,
        typer.Option(parser=duration("--step", 60), metavar=TIME, help="the time of one row; else what fits"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what became of a queue's jobs in the last hours, and when new code came; times are in UTC."""
    try:
        window = Window.of(hours * _HOUR, step, most=_ROWS)
    except ValueError as error:
        raise RotaError(str(error)) from None

    async def act(client: Client, _: Known) -> None:
        found = await client.history(queue, period=window.period, step=window.step)
        if as_json:
            screen.value(found.to_json())
            return
        columns = ("from", "completed", "retried", "dead", "wait p95", "run p95", "deployed")
        screen.table(columns, [_row(found, point, hours) for point in found.points])
        for line in _about(found, hours):
            screen.note(line)

    on_queue(queue, act)


def _row(found: QueueHistory, point: HistoryPoint, hours: int) -> tuple[object, ...]:
    end = point.at + timedelta(seconds=found.step)
    versions = [mark.version for mark in found.marks if point.at <= mark.at < end]
    counts = (point.completed, point.retried, point.dead)
    return (
        _begin(point.at, hours),
        *counts,
        _time(point.wait.p95),
        _time(point.run.p95),
        ", ".join(versions),
    )


def _begin(at: datetime, hours: int) -> str:
    return f"{at:%H:%M}" if hours < _DAY else f"{at:%d %H:%M}"


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.3g} s"


def _about(found: QueueHistory, hours: int) -> Iterator[str]:
    total = found.total
    counts = ", ".join(f"{getattr(total, name):,} {name}" for name in OUTCOMES if getattr(total, name))
    yield f"{hours} h: {total.started:,} started{f', {counts}' if counts else ''}"
    if total.started:
        yield f"started  |{_line([point.started for point in found.points])}|"
        yield f"wait {_shape(total.wait)}; run {_shape(total.run)}"
    for mark in found.marks:
        yield f"{moment(mark.at)} {mark.version} began to run, on {mark.process}"


def _line(values: list[int]) -> str:
    """Return values as a row of bars, the highest of which stands for the greatest."""
    most = max(values)
    # What is more than nothing has a bar.
    return "".join(_BARS[-(-value * (len(_BARS) - 1) // most)] for value in values)


def _shape(times: Distribution) -> str:
    return ", ".join(f"{name} {_time(getattr(times, name)) or '-'}" for name in ("p50", "p95", "p99"))
