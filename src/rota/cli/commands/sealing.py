"""The command that makes a key with which payloads are signed, and a look at the seals of jobs that wait."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from rota.cli import screen
from rota.errors import RefusedPayload, RotaError
from rota.wire.claims import decode_id
from rota.wire.keys import JOB, queue_key
from rota.wire.sealing.ring import new_key
from rota.wire.sealing.sealed import unseal_job
from rota.wire.sealing.seals import Sealer, is_encrypted

#: The most jobs of a queue that are looked at.
_MOST = 100


def add_to(cli: typer.Typer) -> None:
    cli.command("payload-key", rich_help_panel="The deployment")(payload_key)


def payload_key(
    name: Annotated[
        str | None, typer.Argument(help="what it is called; without one, after today's date")
    ] = None,
) -> None:
    """Make a key for PAYLOAD_KEYS, with which payloads and results are signed; needs no server."""
    try:
        screen.say(new_key(f"k{datetime.now(UTC):%Y%m%d}" if name is None else name))
    except ValueError as error:
        raise RotaError(f"no key was made: {error}") from None
    screen.note("keep it secret: with it anyone can sign jobs, and read those that are encrypted")


async def refusals(redis: Any, queues: Iterable[str], sealer: Sealer | None) -> Counter[tuple[str, str]]:
    """Return how many of the jobs that wait a worker with these keys would refuse, by queue and by why.

    Looks at the first jobs of each queue. Raises what redis-py raises.
    """
    found: Counter[tuple[str, str]] = Counter()
    for queue in queues:
        ids = await redis.zrange(queue_key(queue), 0, _MOST - 1)
        payloads = await redis.mget([JOB.encode() + one for one in ids]) if ids else []
        for job_id, payload in zip(ids, payloads, strict=True):
            try:
                raw = unseal_job(sealer, payload or b"", queue=queue, job_id=decode_id(job_id))
                if payload and is_encrypted(raw):
                    raise RefusedPayload("sealed")
            except RefusedPayload as error:
                found[queue, str(error)] += payload is not None
    return +found
