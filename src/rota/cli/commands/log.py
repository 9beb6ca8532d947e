"""`rota log`: what the handler of a job has logged, and what it goes on to log."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from rota.cli import screen
from rota.cli.session import Known, on_queue
from rota.client.client import Client
from rota.errors import JobNotFound
from rota.model.log.lines import LogLine
from rota.model.log.text import rows_of

#: How often a log is looked at that is followed, in seconds. Workers write what is new once a second.
EVERY = 1.0


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Jobs and queues")(log)


def log(
    queue: str,
    job_id: str,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until the job is over")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, a line of the log in each line")] = False,
) -> None:
    """Show what the handler of a job has logged, in all its attempts; times are in UTC."""

    async def act(client: Client, _: Known) -> None:
        last = _say(await client.log(queue, job_id), None, as_json)
        while follow:
            is_over = await _is_over(client, queue, job_id)
            # What it has logged last is written in one step with its end.
            last = _say(await _later(client, queue, job_id, last), last, as_json)
            if is_over:
                return
            await asyncio.sleep(EVERY)

    on_queue(queue, act)


async def _later(client: Client, queue: str, job_id: str, last: LogLine | None) -> list[LogLine]:
    try:
        return await client.log(queue, job_id, after=None if last is None else last.position)
    except JobNotFound:
        return []  # neither its record nor its log is kept


async def _is_over(client: Client, queue: str, job_id: str) -> bool:
    try:
        return (await client.status(queue, job_id)).state.is_over
    except JobNotFound:
        return True


def _say(lines: Sequence[LogLine], last: LogLine | None, as_json: bool) -> LogLine | None:
    """Print lines, and return the last one of all that were printed."""
    if as_json:
        for line in lines:
            screen.value(asdict(line))
    else:
        for row in rows_of(lines, last):
            screen.say(row)
    screen.flush()
    return lines[-1] if lines else last
