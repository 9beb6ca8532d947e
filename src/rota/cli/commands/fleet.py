"""The commands about the size of a fleet: `rota exporter`, `rota autoscaler`, `rota desired` and `rota plan`."""

import asyncio
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from rota.cli import modes, screen
from rota.cli.arguments import TIME, AsJson, duration
from rota.cli.session import known, with_client
from rota.client.client import Client
from rota.errors import UnknownQueue
from rota.fleet.scaling import Load, slots_needed, workers_needed
from rota.server.faults import explained
from rota.settings.load import Settings, load

if TYPE_CHECKING:
    from rota.fleet.fleet import FleetNeed


def add_to(cli: typer.Typer) -> None:
    for command in (exporter, autoscaler, desired, plan):
        cli.command(rich_help_panel="The size of the fleet")(command)


def exporter() -> None:
    """Show the fleet: /metrics for Prometheus, /scaling for scalers, at METRICS_PORT. One is enough."""
    modes.run_exporter(load())


def autoscaler(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
) -> None:
    """Run AUTOSCALER_COMMAND whenever the number of workers should change, until a signal."""
    settings = load()
    modes.run_autoscaler(settings.model_copy(update={"autoscaler_dry_run": True}) if dry_run else settings)


def desired(
    queue: Annotated[str | None, typer.Argument(help="one queue; without it, all that workers serve")] = None,
    *,
    over: Annotated[
        float, typer.Option(parser=duration("--over"), metavar=TIME, help="to watch how fast jobs arrive")
    ] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="all the figures")] = False,
) -> None:
    """Say how many workers there should be now, to keep each queue's objective."""
    here = known()
    queues = here.served
    if queue is not None and queue not in queues:
        raise UnknownQueue(queue, queues)

    async def act(client: Client) -> None:
        need = await _watched(client, here.settings, (queue,) if queue else queues, over)
        if as_json:
            screen.value(need.to_json())
        else:
            screen.say(str(need.desired))

    with_client(here.settings, act)


async def _watched(
    client: Client, settings: Settings, queues: tuple[str, ...], seconds: float
) -> "FleetNeed":
    from rota.fleet.fleet import Fleet  # noqa: PLC0415
    from rota.fleet.reading import read  # noqa: PLC0415 - the other commands need neither

    fleet = Fleet(settings, queues, window=max(seconds, 0.1))
    until = time.monotonic() + seconds
    while True:
        async with explained(client.redis):
            need = fleet.appraise(await read(client.redis, queues))
        left = until - time.monotonic()
        if left <= 0:
            return need
        await asyncio.sleep(min(1.0, left))


def plan(
    *,
    arrivals: Annotated[float, typer.Option(help="jobs a second, at the busiest", min=0)],
    seconds: Annotated[
        float, typer.Option(parser=duration("--seconds"), metavar=TIME, help="how long a job takes")
    ],
    burst: Annotated[int, typer.Option(help="jobs that come at once, beside these", min=0)] = 0,
    queue: Annotated[
        str | None, typer.Option(help="take objective and slots from this queue's settings")
    ] = None,
    slo: Annotated[
        float | None,
        typer.Option(parser=duration("--slo", 0.001), metavar=TIME, help="the longest acceptable wait"),
    ] = None,
    slots: Annotated[int | None, typer.Option(help="jobs that a worker runs at once", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Say how many workers a load would need, to keep an objective; needs no server."""
    settings = load()
    own = settings.queue(queue or settings.default_queue)
    offered = Load(
        arrivals=arrivals,
        job_seconds=seconds,
        ready=burst,
        slo=own.slo if slo is None else slo,
        slots=own.concurrency if slots is None else slots,
        active=arrivals * seconds,
    )
    if as_json:
        screen.value({name: figure for name, figure, _ in _figures(offered)})
    else:
        screen.table(("of", "figure", "because"), _figures(offered))


def _figures(load: Load) -> Iterator[tuple[str, object, str]]:
    """Yield the lines of a plan: a name, its figure and the reason."""
    workers, needed, busy = workers_needed([load]), slots_needed(load), load.active
    yield "workers", workers, f"{needed:.1f} slots, of which a worker has {load.slots}"
    yield "slots for arrivals", f"{busy:.1f}", f"{load.arrivals:g} a second, {load.job_seconds:g} s each"
    yield "slots for the burst", f"{needed - busy:.1f}", f"{load.ready} jobs within half of {load.slo:g} s"
    yield "busy without a burst", _portion(busy, workers * load.slots), "of all slots"
    taken = _burst(workers * load.slots - busy, load)
    yield "burst they can take", f"{taken:.0f}", "jobs, that start within the objective"


def _portion(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if whole else "0%"


def _burst(free: float, load: Load) -> float:
    """Return how many jobs may come at once for the last one to start within the objective, on `free` slots."""
    return max(0.0, free) * max(1.0, load.slo / load.job_seconds) if load.job_seconds else math.inf
