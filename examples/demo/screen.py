"""The demo's output: bars while jobs run, the outcome of each, and what Redis holds, with the commands that show it.

If the output is not a terminal, it is plain lines.
"""

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from examples.demo.stage import DASHBOARD, NAMESPACE, QUEUES, MailServer, Place, Worker, media
from rota import Client, FlowInfo, JobInfo, RotaError, State
from rota.cli import redis_prompt
from rota.wire.keys import JOB, RESULT, QueueKeys, events_key, queue_key

if TYPE_CHECKING:
    from jobs.samples.film import Film

#: The jobs of each queue, as tasks that end when they do.
Waits = Mapping[str, Sequence["asyncio.Task[JobInfo]"]]

out = Console(highlight=False)

_LOOK_EVERY = 0.15
_LINE_EVERY = 2.0
_BAR = 30
_COLORS = {State.COMPLETED: "green", State.DEAD: "red"}


def opening(place: Place, jobs: int) -> None:
    """Show what is going to happen, and where."""
    out.print(f"[bold]{jobs} jobs on {len(QUEUES)} queues; some fail once, some always.[/bold]")
    out.print(f"Redis: {place.target.safe_url}", soft_wrap=True, markup=False)
    if not place.usual:
        out.print(
            f"Its usual database holds other things, so the demo has database {place.target.db}, an empty one."
        )


def waiting(place: Place, job_id: str) -> None:
    """Show what Redis holds before there is a worker."""
    _title("1. Enqueued: they wait in Redis, as JSON")
    ask = _Prompt(place)
    ask.choose_database()
    for queue in QUEUES:
        ask("zcard", queue_key(queue))
    ask("--raw", "get", JOB + job_id)


def worker_started(worker: Worker) -> None:
    """Show which process does the work, and how."""
    _title("2. A worker process takes them")
    limits = ", ".join(f"{limit} at once from {queue}" for queue, limit in QUEUES.items())
    out.print(f"python -m rota (process {worker.pid}) runs {limits}.")
    out.print(f"Its log: {worker.log}\n", soft_wrap=True, markup=False)


def dashboard(address: str) -> None:
    """Show where the jobs can be watched."""
    out.print(f"The dashboard: {address}\n", soft_wrap=True, markup=False)


async def watch(client: Client, waits: Waits) -> None:
    """Show how far the jobs are, until all are over."""
    if not sys.stdout.isatty() or out.is_dumb_terminal:
        await _watch_in_lines(waits)
        return
    with Live(console=out, auto_refresh=False) as live:
        while not _all_over(waits):
            running = [await client.jobs(queue, State.ACTIVE) for queue in waits]
            live.update(
                Group(_queues(waits), _jobs(info for infos in running for info in infos)), refresh=True
            )
            await asyncio.sleep(_LOOK_EVERY)
        live.update(_queues(waits), refresh=True)


async def _watch_in_lines(waits: Waits) -> None:
    tasks = [task for queue in waits.values() for task in queue]
    while not _all_over(waits):
        await asyncio.wait(tasks, timeout=_LINE_EVERY)
        out.print(", ".join(f"{queue}: {_done(tasks)} of {len(tasks)}" for queue, tasks in waits.items()))


def _all_over(waits: Waits) -> bool:
    return all(_done(tasks) == len(tasks) for tasks in waits.values())


def _done(tasks: Sequence["asyncio.Task[JobInfo]"]) -> int:
    return sum(task.done() for task in tasks)


def _queues(waits: Waits) -> Table:
    table = Table.grid(padding=(0, 2))
    for queue, tasks in waits.items():
        done = _done(tasks)
        bar = ProgressBar(total=len(tasks), completed=done, width=_BAR)
        table.add_row(f"[bold]{queue}[/bold]", bar, f"{done} of {len(tasks)}", f"{QUEUES[queue]} at once")
    return table


def _jobs(running: Iterable[JobInfo]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row()
    for info in running:
        bar = ProgressBar(total=100, completed=info.percent or 0, width=_BAR // 2)
        attempt = f"attempt {info.attempts}" if info.attempts > 1 else ""
        table.add_row(_name(info), bar, escape(info.message) or attempt)
    return table


def outcomes(rows: Sequence[tuple[JobInfo, bool]]) -> None:
    """Show the outcome of each job, and whether it was expected."""
    _title("3. What became of each")
    table = Table("job", "tries", "after", "outcome", "result, or last error", box=None, padding=(0, 2, 0, 0))
    for info, expected in rows:
        outcome = f"[{_COLORS.get(info.state, 'yellow')}]{info.state}[/]"
        remark = "" if expected else " [bold red](not expected)[/]"
        table.add_row(
            f"{info.queue}:{_name(info)}", str(info.attempts), _after(info), outcome + remark, _what(info)
        )
    out.print(table)
    retried = sum(info.attempts > 1 for info, _ in rows)
    dead = sum(info.state is State.DEAD for info, _ in rows)
    out.print(f"\n{len(rows)} jobs: {retried} were tried again, {dead} are dead.")


def _name(info: JobInfo) -> str:
    # The jobs of a pipeline have ids that say nothing.
    return info.id.partition(":")[2].removeprefix("demo-") or info.task


def _after(info: JobInfo) -> str:
    if info.finished_at is None or info.enqueued_at is None:
        return ""
    return f"{(info.finished_at - info.enqueued_at).total_seconds():.1f} s"


def _what(info: JobInfo) -> str:
    if info.error is not None:
        return escape(info.error.message)
    if info.task == "film":
        return "its pipeline has begun"
    if isinstance(info.result, dict):
        return f"{info.result['rows']:,} rows, {len(info.result['groups'])} groups"
    return f"mail {str(info.result)[:9]}...>" if info.task == "email" else str(info.result)


def mails(server: MailServer) -> None:
    """Show what the mail server has counted."""
    out.print(
        f"The demo's mail server took {server.taken} mails, refused {server.refused}, put off {server.put_off}."
    )


def film(flow: FlowInfo, made: "Film") -> None:
    """Show what the pipeline has done, and where its film is."""
    stages = ", ".join(f"{stage.name} {stage.completed} of {stage.total}" for stage in flow.stages)
    out.print(f"The film's pipeline: {stages}.")
    out.print(f"Its {made.seconds:g} s: {media() / made.file}", soft_wrap=True, markup=False)


async def dead_letters(client: Client) -> None:
    """Show the dead letters of all queues, with their errors."""
    _title("4. Dead letters keep their payload and their last error, and can be brought back")
    for queue in QUEUES:
        for letter in await client.jobs(queue, State.DEAD):
            tries = "1 try" if letter.attempts == 1 else f"{letter.attempts} tries"
            out.print(f"[bold]{letter.id}[/bold], dead after {tries}")
            out.print(f"  payload  {json.dumps(letter.payload)}", soft_wrap=True, markup=False)
            out.print(f"  error    {letter.error}", soft_wrap=True, markup=False)


def in_redis(place: Place, dead: JobInfo, done: JobInfo) -> None:
    """Show what Redis holds now, with a dead and a completed job as examples."""
    _title("5. What Redis holds now")
    keys = QueueKeys.of(queue_key(dead.queue))
    ask = _Prompt(place)
    ask.choose_database()
    ask("zcard", keys.queue)
    ask("zcard", keys.active)
    ask("zrange", keys.dead, "0", "-1")
    ask("--raw", "hget", f"{keys.dead}:{dead.id}", "payload")
    ask("--raw", "get", RESULT + done.id)
    ask("xlen", events_key(NAMESPACE))


def closing(place: Place) -> None:
    """Show what is left in Redis, and what to try next."""
    _title("It is over: the worker has ended")
    if not place.usual:
        out.print(f"What is in database {place.target.db} goes within an hour. Nothing else was touched.")
        return
    out.print("Results stay for an hour, dead letters until they are brought back or the demo runs again.")
    out.print("Bring one back: `make worker` here, and `.venv/bin/rota retry email` in another terminal.")
    out.print(f"`make demo ARGS=--stay` opens the dashboard on them: {DASHBOARD}")


def staying(address: str) -> None:
    """Show where the dashboard is, and how to end it."""
    _title("It is over, and the worker waits for more")
    out.print(f"The dashboard is open: {address}", soft_wrap=True, markup=False)
    out.print("Its Failures page brings the dead letters back. Ctrl-C ends the worker and the dashboard.")


def _title(text: str) -> None:
    out.print(f"\n[bold]{text}[/bold]")


class _Prompt:
    """Asks Redis as a reader can, and shows the command and what it answers."""

    def __init__(self, place: Place) -> None:
        self._target = place.target
        self._usual = place.usual

    def choose_database(self) -> None:
        """Begin a prompt in the demo's database, where that is not the one of the settings."""
        if not self._usual:
            out.print("$ make redis-cli ARGS=--raw", style="green")
            self("select", str(self._target.db))

    def __call__(self, *words: str) -> None:
        if self._usual:
            out.print(
                f"$ make redis-cli ARGS='{' '.join(words)}'", soft_wrap=True, markup=False, style="green"
            )
        else:
            words = tuple(word for word in words if word != "--raw")
            out.print(f"redis> {' '.join(words)}", soft_wrap=True, markup=False, style="green")
            words = ("--raw", *words)
        if redis_prompt.run(self._target, list(words)):
            raise RotaError(f"Redis did not answer: {' '.join(words)}")
