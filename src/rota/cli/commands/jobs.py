"""The commands that act on jobs: pause, cancel, bring back and delete them, and a pipeline's whole run."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rota.cli import exits, screen
from rota.cli.arguments import AsJson, confirmed
from rota.cli.commands.hands import Edit, OtherPayload, YesToAny, fix_of, retry_one
from rota.cli.commands.many.acting import DryRun, Where, Yes, act_on_many, chosen, needed, record
from rota.cli.commands.putting.enqueue import At, Delay
from rota.cli.progress import Progress
from rota.cli.session import Known, on_queue, with_client
from rota.client.client import Client
from rota.client.dead_letters import WhichFields
from rota.errors import RotaError
from rota.model.bulk.filters import MOST_IDS, BulkAction
from rota.model.flows.handle import FlowHandle, FlowInfo, StageInfo
from rota.model.info import CancelAnswer
from rota.settings.load import load

AnyQueue = Annotated[str | None, typer.Argument(metavar="QUEUE")]
Reason = Annotated[str | None, typer.Option(help="all that died of this: failed, timeout, lost, …")]
Cause = Annotated[str | None, typer.Option(help="all whose errors have this cause: rota failures names it")]
Everything = Annotated[bool, typer.Option("--all", help="all dead letters of the queue")]


#: What is said where a command about many dead letters is stopped.
_LEFT = "; the others are as they were, and the same command goes on"


def add_to(cli: typer.Typer) -> None:
    for command in (flow, pause, resume, cancel, reschedule, retry, delete, purge):
        cli.command(rich_help_panel="Jobs and queues")(command)


def flow(
    flow_id: Annotated[str, typer.Argument(help="the id of a pipeline's run, its own or yours")],
    cancel: Annotated[bool, typer.Option("--cancel", help="cancel the whole")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="resume a dead one where it died")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one run of a pipeline, stage by stage; or cancel it, or resume it where it died."""

    async def act(client: Client) -> None:
        handle: FlowHandle[Any] = client.flow(flow_id)
        if cancel or retry:
            answer = await handle.cancel() if cancel else await handle.retry()
            screen.answer({"answer": answer}, answer, as_json)
        elif as_json:
            screen.value(await handle.status())
        else:
            _say_flow(await handle.status())

    with_client(load(), act)


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

    async def act(client: Client, here: Known) -> None:
        await client.pause(queue)
        await record(client, "pause", queue=queue)
        screen.say(f"{queue} is paused")

    on_queue(queue, act)


def resume(queue: str) -> None:
    """Let workers claim from a paused queue again."""

    async def act(client: Client, here: Known) -> None:
        await client.resume(queue)
        await record(client, "resume", queue=queue)
        screen.say(f"{queue} goes on")

    on_queue(queue, act)


def cancel(
    queue: AnyQueue = None,
    job_ids: Annotated[list[str] | None, typer.Argument(help="the jobs, by id")] = None,
    job: Annotated[str | None, typer.Option(help="all that are alive of this job")] = None,
    everything: Annotated[bool, typer.Option("--all", help="all that are alive on the queue")] = False,
    *,
    where: Where = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Cancel waiting, delayed and running jobs: one, some, all of one job, of a queue, or that meet conditions."""
    if many := chosen(where, (job_ids, job, everything), dry_run=dry_run, yes=yes, as_json=as_json):
        act_on_many(BulkAction.CANCEL, queue, many)
        return
    queue = needed(queue, "cancel")
    if bool(job_ids) + (job is not None) + everything != 1:
        raise RotaError("cancel takes ids, or --job NAME, or --all, and one of them only")

    async def act(client: Client, here: Known) -> None:
        if not job_ids:
            counts = await client.cancel_all(queue, task=job)
            await record(client, "cancel", _cancelled(counts), queue=queue, name=job)
            if not counts:
                here.check_job(queue, job)
            said = ", ".join(f"{count} {answer}" for answer, count in sorted(counts.items())) or "none"
            screen.answer(counts, said, as_json)
            return
        answers = dict(zip(job_ids, await client.cancel_many(queue, job_ids), strict=True))
        count = _cancelled(Counter(answers.values()))
        await record(client, "cancel", count, queue=queue, ids=job_ids[:MOST_IDS])
        if as_json:
            screen.value(answers)
        else:
            for job_id, answer in answers.items():
                screen.say(answer if len(job_ids) == 1 else f"{job_id} {answer}")
        if "not found" in answers.values():
            raise typer.Exit(exits.NOT_FOUND)

    on_queue(queue, act)


def _cancelled(counts: Mapping[CancelAnswer, int]) -> int:
    return counts.get("cancelled", 0) + counts.get("requested", 0)


def reschedule(
    queue: AnyQueue = None,
    job_id: Annotated[str | None, typer.Argument(help="the job, by id")] = None,
    *,
    delay: Delay = None,
    at: At = None,
    where: Where = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Let a job that waits run now, or put it off; or let all delayed jobs run now that meet conditions."""
    if many := chosen(where, (job_id, delay, at), dry_run=dry_run, yes=yes, as_json=as_json):
        act_on_many(BulkAction.RUN_NOW, queue, many)
        return
    queue, wanted = needed(queue, "reschedule"), _one(job_id, "reschedule")
    if delay is not None and at is not None:
        raise RotaError("reschedule takes --delay or --at, and one of them only")

    async def act(client: Client, _: Known) -> None:
        answer = await client.reschedule(queue, wanted, delay=delay, at=at)
        await record(client, "reschedule", int(answer == "rescheduled"), queue=queue, id=wanted)
        screen.answer({"answer": answer}, answer, as_json)
        if answer == "not found":
            raise typer.Exit(exits.NOT_FOUND)

    on_queue(queue, act)


def retry(
    queue: AnyQueue = None,
    job_id: Annotated[str | None, typer.Argument(help="one dead letter")] = None,
    *,
    job: Annotated[str | None, typer.Option(help="all dead letters of this job")] = None,
    reason: Reason = None,
    cause: Cause = None,
    everything: Everything = False,
    changed: OtherPayload = None,
    edit: Edit = False,
    where: Where = None,
    dry_run: DryRun = False,
    yes: YesToAny = False,
    as_json: AsJson = False,
) -> None:
    """Put dead letters back on their queue, with all their attempts again; one of them also with other arguments."""
    fix = fix_of(changed, edit=edit, yes=yes, one=where is None and job_id)
    others = (job_id, job, reason, cause, everything)
    if many := chosen(where, others, dry_run=dry_run, yes=yes, as_json=as_json):
        act_on_many(BulkAction.RETRY, queue, many)
        return
    queue = needed(queue, "retry")
    which = _which("retry", job_id, {"task": job, "reason": reason, "cause": cause}, everything)

    async def act(client: Client, here: Known) -> None:
        if job_id is not None:
            await retry_one(client, here, queue, job_id, fix, as_json=as_json)
            return
        with Progress("dead letters brought back", quiet=as_json, left=_LEFT) as at:
            count = await client.retry_dead(queue, moved=at.moved, **which)
        await record(client, "retry", count, queue=queue, name=job, reason=reason, error=cause)
        if not count:
            here.check_job(queue, job)
            if not everything:
                screen.note(
                    f"no dead letter of {queue} could be: `rota failures {queue}` shows those that there are"
                )
        screen.answer({"retried": count}, f"{count:,} brought back", as_json)

    on_queue(queue, act)


def _one(job_id: str | None, command: str) -> str:
    if job_id is None:
        raise RotaError(f"{command} takes the id of a job behind its queue, or --where CONDITIONS")
    return job_id


def _which(command: str, job_id: str | None, fields: WhichFields, everything: bool) -> WhichFields:
    """Return which dead letters are chosen. Raises RotaError where nothing is, or what excludes each other."""
    chosen = any(value is not None for value in fields.values())
    if (job_id is not None) + chosen + everything != 1:
        one = "an id, or " if command == "retry" else ""
        raise RotaError(
            f"{command} takes {one}--job NAME, --reason WHY and --cause KEY, or --all, and one of them only"
        )
    return fields


def purge(
    queue: str,
    *,
    job: Annotated[str | None, typer.Option(help="all dead letters of this job")] = None,
    reason: Reason = None,
    cause: Cause = None,
    everything: Everything = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters for good: with their payloads, their errors and what they had saved."""
    which = _which("purge", None, {"task": job, "reason": reason, "cause": cause}, everything)

    async def act(client: Client, here: Known) -> None:
        here.check_job(queue, job)
        with Progress("dead letters chosen", quiet=as_json, left="; nothing was done") as at:
            count = await client.count_dead(queue, moved=at.moved, **which)
        if count and not yes and not confirmed(f"delete {count:,} dead letters of {queue} for good?"):
            screen.note("nothing was done")
            raise typer.Exit(exits.FAILED)
        with Progress("dead letters deleted", quiet=as_json, left=_LEFT) as at:
            deleted = await client.purge_dead(queue, moved=at.moved, **which) if count else 0
        await record(client, "delete", deleted, queue=queue, name=job, reason=reason, error=cause)
        screen.answer({"deleted": deleted}, f"{deleted:,} deleted", as_json)

    on_queue(queue, act)


def delete(
    queue: AnyQueue = None,
    job_id: Annotated[str | None, typer.Argument(help="one dead letter")] = None,
    *,
    where: Where = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a dead letter, with its payload, its error and what it had saved, for good; or all that are chosen."""
    if many := chosen(where, (job_id,), dry_run=dry_run, yes=yes, as_json=as_json):
        act_on_many(BulkAction.DELETE, queue, many)
        return
    queue, letter = needed(queue, "delete"), _one(job_id, "delete")

    async def act(client: Client, here: Known) -> None:
        await client.delete_dead(queue, letter)
        await record(client, "delete", queue=queue, id=letter)
        screen.answer({"deleted": 1, "id": letter}, f"{letter} is deleted", as_json)

    on_queue(queue, act)
