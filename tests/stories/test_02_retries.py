"""Failures: any exception retries with back-off, and a handler may say otherwise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rota import Cancel, Client, JobCancelled, JobFailed, Retry, Run, Snooze, State, exponential, fixed, job


class WrongCard(Exception):
    """An error that no further attempt can cure."""


@job(max_attempts=4, backoff=exponential(0.05))
async def pay(run: Run, failures: int) -> int:
    if run.attempt <= failures:
        raise ConnectionError("the bank does not answer")
    return run.attempt


@job(max_attempts=4, backoff=fixed(0.05), give_up_on=(WrongCard,))
async def charge(run: Run) -> None:
    raise WrongCard("the card has expired")


@job(max_attempts=2, backoff=exponential(3600))
async def ask_again(run: Run) -> int:
    if run.attempt == 1:
        raise Retry(0.05, "the bank said when")
    return run.attempt


@job(max_attempts=1)
async def await_opening(run: Run) -> bool:
    bank: Bank = run.deps
    if not bank.is_open():
        raise Snooze(0.05)
    return True


@job
async def close_account(run: Run, user: str) -> None:
    raise Cancel(f"{user} is gone")


class Bank:
    """Open from the third visit on."""

    visits = 0

    def is_open(self) -> bool:
        self.visits += 1
        return self.visits > 2


@asynccontextmanager
async def lifespan() -> AsyncIterator[Bank]:
    yield Bank()


async def test_a_job_that_fails_is_tried_again_until_it_completes(client: Client) -> None:
    handle = await client.enqueue(pay, failures=2)
    assert await handle.result(timeout=10) == 3


async def test_the_waits_grow_as_the_job_says() -> None:
    assert pay.backoff is not None
    assert [pay.backoff.delay(attempt, random=lambda: 0.5) for attempt in (1, 2, 3)] == [0.05, 0.1, 0.2]


async def test_a_job_out_of_attempts_is_dead_and_its_result_says_why(client: Client) -> None:
    handle = await client.enqueue(pay, failures=99)
    with pytest.raises(JobFailed, match="ConnectionError: the bank does not answer") as failed:
        await handle.result(timeout=10)
    assert "raise ConnectionError" in (failed.value.traceback or "")
    info = await handle.status()
    assert (info.state, info.reason, info.attempts) == (State.DEAD, "failed", 4)


async def test_one_enqueue_may_ask_for_more_or_fewer_attempts(client: Client) -> None:
    handle = await client.enqueue(pay.options(max_attempts=1), failures=1)
    assert (await client.wait(handle.queue, handle.id, timeout=10)).attempts == 1


async def test_what_no_attempt_can_cure_is_not_tried_again(client: Client) -> None:
    handle = await client.enqueue(charge)
    info = await client.wait(handle.queue, handle.id, timeout=10)
    assert (info.state, info.attempts) == (State.DEAD, 1)


async def test_a_handler_that_knows_better_says_when(client: Client) -> None:
    handle = await client.enqueue(ask_again)
    assert await handle.result(timeout=10) == 2


async def test_a_snooze_waits_without_spending_an_attempt(client: Client) -> None:
    handle = await client.enqueue(await_opening)
    assert await handle.result(timeout=10) is True
    assert (await handle.status()).attempts == 1


async def test_a_job_that_has_lost_its_point_cancels_itself(client: Client) -> None:
    handle = await client.enqueue(close_account, user="u1")
    with pytest.raises(JobCancelled):
        await handle.result(timeout=10)
