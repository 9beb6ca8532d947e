"""The commands about jobs: enqueue, look at, pause, cancel and retry them, on the queues of settings and jobs."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Unpack

import typer
from pydantic_core import from_json

from rota.app import compose as composition
from rota.cli import screen
from rota.client.client import Client
from rota.errors import RotaError, UnknownQueue
from rota.model.flows.handle import FlowHandle, FlowInfo, StageInfo
from rota.model.info import JobInfo
from rota.model.job import Job
from rota.model.options import EnqueueFields
from rota.model.registry import discover
from rota.model.state import State
from rota.settings.load import Settings, load

#: The states whose jobs can be listed.
_LISTED = (State.WAITING, State.DELAYED, State.ACTIVE, State.DEAD)


def add_to(cli: typer.Typer) -> None:
    for command in (enqueue, queues, jobs, show, flow, pause, resume, cancel, retry):
        cli.command(rich_help_panel="Jobs and queues")(command)


def enqueue(
    name: Annotated[str, typer.Argument(help="queue:name, or name where one queue has it")],
    payload: Annotated[str, typer.Argument(help="the arguments, a JSON object")] = "{}",
    *,
    delay: Annotated[float | None, typer.Option(help="seconds until it is due")] = None,
    priority: Annotated[int | None, typer.Option(help="from 0 to 9; higher ones start first")] = None,
    job_id: Annotated[str | None, typer.Option("--id", help="an id of your own")] = None,
    wait: Annotated[float | None, typer.Option(help="wait for the result, at most this many seconds")] = None,
) -> None:
    """Enqueue a job, and print its queue and id."""
    settings = load()
    job = discover(settings.jobs_package, settings.default_queue).find(name)
    arguments = _object(payload)
    chosen = _with_options(job, delay=delay, id=job_id, priority=priority)

    async def act(client: Client) -> None:
        handle = await client.enqueue(chosen, **arguments)
        screen.say(f"{handle.queue} {handle.id}")
        if wait is not None:
            screen.value(await handle.result(wait))

    _with_client(settings, act)


def _with_options(job: Job[Any, Any], **options: Unpack[EnqueueFields]) -> Job[Any, Any]:
    try:
        return job.options(**options)
    except (ValueError, TypeError) as error:
        raise RotaError(str(error)) from None


def queues() -> None:
    """List every queue, with the number of its jobs in each state."""
    settings = load()
    names = settings.served_queues(discover(settings.jobs_package, settings.default_queue).queues)

    async def act(client: Client) -> None:
        rows = []
        for name in names:
            states, paused = await client.counts(name), await client.paused_since(name)
            since = f"since {paused:%Y-%m-%d %H:%M:%S} UTC" if paused else "no"
            rows.append((name, *(states[state] for state in _LISTED), since))
        screen.table(("queue", *_LISTED, "paused"), rows)

    _with_client(settings, act)


def jobs(
    queue: str,
    state: Annotated[State, typer.Option(help="waiting, delayed, active or dead")] = State.WAITING,
    limit: int = 20,
) -> None:
    """List the jobs of a queue that are in one state."""
    if state not in _LISTED:
        raise RotaError(f"{state} jobs leave their queue; list one of: {', '.join(_LISTED)}")
    settings = _serving(queue)

    async def act(client: Client) -> None:
        found = await client.jobs(queue, state, limit=limit)
        rows = [(info.id, info.task, info.attempts, _progress(info), info.error or "") for info in found]
        screen.table(("id", "job", "attempts", "progress", "error"), rows)

    _with_client(settings, act)


def _progress(info: JobInfo) -> str:
    return "" if info.percent is None else f"{info.percent:g} % {info.message}"


def show(queue: str, job_id: str) -> None:
    """Show one job, with everything that is known of it."""
    settings = _serving(queue)

    async def act(client: Client) -> None:
        screen.details(await client.status(queue, job_id))

    _with_client(settings, act)


def flow(
    flow_id: Annotated[str, typer.Argument(help="the id of a pipeline's run, its own or yours")],
    cancel: Annotated[bool, typer.Option("--cancel", help="cancel the whole")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="resume a dead one where it died")] = False,
) -> None:
    """Show one run of a pipeline, stage by stage; or cancel it, or resume it where it died."""

    async def act(client: Client) -> None:
        handle: FlowHandle[Any] = client.flow(flow_id)
        if cancel or retry:
            screen.say(await handle.cancel() if cancel else await handle.retry())
        else:
            _say_flow(await handle.status())

    _with_client(load(), act)


def _say_flow(info: FlowInfo) -> None:
    screen.say(f"{info.name} {info.id}: {info.state}, {info.percent:g} %")
    if info.error is not None:
        screen.say(f"{info.failed} died of {info.error}")
    screen.table(
        ("stage", "jobs", "completed", "dead", "cancelled"),
        [(one.name, _total(one), one.completed, one.dead, one.cancelled) for one in info.stages],
    )


def _total(stage: StageInfo) -> object:
    return "?" if stage.total is None else stage.total


def pause(queue: str) -> None:
    """Stop all workers from claiming jobs of a queue, until `rota resume`; running jobs go on."""
    settings = _serving(queue)

    async def act(client: Client) -> None:
        await client.pause(queue)
        screen.say(f"{queue} is paused")

    _with_client(settings, act)


def resume(queue: str) -> None:
    """Let workers claim from a paused queue again."""
    settings = _serving(queue)

    async def act(client: Client) -> None:
        await client.resume(queue)
        screen.say(f"{queue} goes on")

    _with_client(settings, act)


def cancel(
    queue: str,
    job_ids: Annotated[list[str] | None, typer.Argument(help="the jobs, by id")] = None,
    job: Annotated[str | None, typer.Option(help="all that are alive of this job")] = None,
    everything: Annotated[bool, typer.Option("--all", help="all that are alive on the queue")] = False,
) -> None:
    """Cancel waiting, delayed and running jobs: one, some, all of one job, or all of a queue."""
    if bool(job_ids) + (job is not None) + everything != 1:
        raise RotaError("cancel takes ids, or --job NAME, or --all, and one of them only")
    settings = _serving(queue)

    async def act(client: Client) -> None:
        if not job_ids:
            counts = await client.cancel_all(queue, task=job)
            screen.say(", ".join(f"{count} {answer}" for answer, count in sorted(counts.items())) or "none")
            return
        answers = await client.cancel_many(queue, job_ids)
        for job_id, answer in zip(job_ids, answers, strict=True):
            screen.say(answer if len(job_ids) == 1 else f"{job_id} {answer}")
        if "not found" in answers:
            raise typer.Exit(3)

    _with_client(settings, act)


def retry(
    queue: str,
    job_id: Annotated[
        str | None, typer.Argument(help="one dead letter; without it, all that the options match")
    ] = None,
    job: Annotated[str | None, typer.Option(help="of this job only")] = None,
    reason: Annotated[
        str | None, typer.Option(help="that died of this only: failed, timeout, lost, …")
    ] = None,
) -> None:
    """Put dead letters back on their queue, with all their attempts again."""
    settings = _serving(queue)

    async def act(client: Client) -> None:
        if job_id is None:
            screen.say(f"{await client.retry_dead(queue, task=job, reason=reason)} brought back")
        else:
            screen.say(f"{(await client.retry(queue, job_id)).id} brought back")

    _with_client(settings, act)


def _serving(queue: str) -> Settings:
    """Return the settings. Raises UnknownQueue for a queue that neither a setting nor a job names."""
    settings = load()
    known = settings.served_queues(discover(settings.jobs_package, settings.default_queue).queues)
    if queue not in known:
        raise UnknownQueue(queue, known)
    return settings


def _object(payload: str) -> dict[str, Any]:
    try:
        value = from_json(payload)
    except ValueError as error:
        raise RotaError(
            f'the payload is not JSON ({error}); write an object such as \'{{"to": "ann"}}\''
        ) from None
    if not isinstance(value, dict):
        raise RotaError(f"the payload is a JSON {type(value).__name__}; write an object of named arguments")
    return value


def _with_client(settings: Settings, act: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        async with await composition.connect_at_once(settings) as client:
            await act(client)

    asyncio.run(go())
