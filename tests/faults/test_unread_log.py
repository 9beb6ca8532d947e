"""Nobody reads what a worker logs, and its pipe is full: jobs, leases, signals and limits do not wait for that."""

import json
import signal
import threading
from typing import Any

from rota import Client
from tests.faults.fleet import Fleet, records
from tests.faults.jobs_for_faults.in_processes import compute
from tests.faults.jobs_for_faults.on_loop import block, chatter, work
from tests.waiting import until, until_empty

#: The lines of one job. They fill a pipe, which takes 64 KiB, about three times.
MANY = 300


def lines_of(raw: bytes) -> list[dict[str, Any]]:
    """Return the lines of a JSON log, without the last if it was cut off."""
    return [json.loads(line) for line in raw.split(b"\n")[:-1]]


async def test_jobs_run_leases_are_renewed_and_a_signal_drains(fleet: Fleet, client: Client) -> None:
    worker = fleet.unread(lease=1)
    chatty = await client.enqueue(chatter, lines=MANY)
    await fleet.all_ended([chatty.id])
    long = await client.enqueue_many([work.call(seconds=3), compute.call(seconds=3)])
    await until(lambda: len(fleet.ledger.running(worker.pid)) == 1, "the work runs")
    # It is idle, and takes over what is not renewed.
    await fleet.start(lease=1)
    ids = [handle.id for handle in long]
    await fleet.all_ended(ids)
    assert not await records(client, "lost")
    assert not fleet.ledger.twice("start")

    worker.send_signal(signal.SIGTERM)
    await until(lambda: worker.poll() is not None, "the worker drains", 15.0)
    assert worker.returncode == 0
    assert worker.stderr is not None
    numbers = [line["number"] for line in lines_of(worker.stderr.read()) if line["event"] == "chatter"]
    assert numbers == list(range(len(numbers))), "what fitted is there, whole and in order"
    assert numbers


async def test_a_loop_that_hangs_ends_its_process(fleet: Fleet, client: Client) -> None:
    worker = fleet.unread(lease=1, loop_block_limit=1.5)
    chatty = await client.enqueue(chatter, lines=MANY)
    await fleet.all_ended([chatty.id])
    await client.enqueue(block, seconds=60)
    await until(lambda: worker.poll() is not None, "the hung process ends", 15.0)
    assert worker.returncode == 70
    await fleet.start(lease=1)
    await until_empty(client)


async def test_a_reader_that_comes_late_reads_every_line(fleet: Fleet, client: Client) -> None:
    worker = fleet.unread()
    chatty = await client.enqueue(chatter, lines=MANY)
    await fleet.all_ended([chatty.id])
    read: list[bytes] = []
    assert worker.stderr is not None
    reader = threading.Thread(target=lambda stream: read.append(stream.read()), args=(worker.stderr,))
    reader.start()
    worker.send_signal(signal.SIGTERM)
    await until(lambda: not reader.is_alive(), "the log ends with its process")
    lines = lines_of(read[0])
    assert [line["number"] for line in lines if line["event"] == "chatter"] == list(range(MANY))
    assert lines[-1]["event"] == "worker.stopped"
