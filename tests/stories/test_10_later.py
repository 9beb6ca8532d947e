"""Later: a job may wait until a time, or for a delay."""

from datetime import UTC, datetime, timedelta

import pytest

from rota import Client, Run, State, job


@job
async def remind(run: Run, of: str) -> str:
    return f"Remember {of}"


async def test_a_job_runs_after_its_delay(client: Client) -> None:
    handle = await client.enqueue(remind.options(delay=0.5), of="the milk")
    assert (await handle.status()).state is State.DELAYED
    assert await handle.result(timeout=10) == "Remember the milk"
    info = await handle.status()
    assert info.started_at is not None
    assert info.enqueued_at is not None
    # The worker's clock is Redis', the enqueuer's its own: a little of the half second may be lost between them.
    assert info.started_at - info.enqueued_at > timedelta(seconds=0.4)


async def test_a_job_runs_at_its_time(client: Client) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    handle = await client.enqueue(remind.options(at=tomorrow), of="the milk")
    info = await handle.status()
    assert info.state is State.DELAYED
    assert info.due_at is not None
    assert abs(info.due_at - tomorrow) < timedelta(seconds=1)


async def test_a_time_that_is_over_means_now(client: Client) -> None:
    handle = await client.enqueue(remind.options(at=datetime(2020, 1, 1, tzinfo=UTC)), of="the milk")
    assert await handle.result(timeout=10) == "Remember the milk"


async def test_a_time_needs_its_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        remind.options(at=datetime(2030, 1, 1))  # noqa: DTZ001 - the mistake in question
