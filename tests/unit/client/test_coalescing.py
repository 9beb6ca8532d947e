"""Enqueues that meet on their way to Redis go there together, and each gets what is its own."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from redis.exceptions import ConnectionError as Away
from redis.exceptions import OutOfMemoryError, ResponseError

from rota.client.sending.coalescing import MOST_BYTES, MOST_JOBS, Coalescer, Shape
from rota.server.faults import ServerError

SHAPE = Shape(9, (0,))
_TRACE = ContextVar("trace", default="")


def values(*ids: str, payload: bytes = b"{}") -> list[Any]:
    return [value for one in ids for value in (one, payload, -1, 0, 0, "send", "", "", "refuse")]


class Redis:
    """Stands for the script: answers every call when the test lets it, and refuses ids that begin with `bad`."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.traces: list[str] = []
        self.tasks: list[object] = []
        self.away: set[int] = set()
        self.refusal: Exception = ResponseError("WRONGTYPE")
        self.turns: list[asyncio.Event] = []
        self.answers_all = False
        self.together = self.most_together = 0

    async def call(self, queue: str, args: Sequence[Any]) -> list[Any]:
        number, ids = len(self.calls), list(args[::9])
        self.calls.append(ids)
        self.traces.append(_TRACE.get())
        self.tasks.append(asyncio.current_task())
        self.turns.append(turn := asyncio.Event())
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        try:
            await (asyncio.sleep(0) if self.answers_all else turn.wait())
        finally:
            self.together -= 1
        if number in self.away:
            raise ServerError("is away", transient=True) from Away()
        if any(one.startswith("bad") for one in ids):
            raise ServerError("refuses") from self.refusal
        return [f"answer of {one}" for one in ids]

    def answer_all(self) -> None:
        """Answer the calls that wait, and at once those that come."""
        self.answers_all = True
        for turn in self.turns:
            turn.set()


@pytest.fixture
async def redis() -> Redis:
    return Redis()


@pytest.fixture
def coalescer(redis: Redis) -> Coalescer:
    return Coalescer(redis.call, SHAPE)


async def put(coalescer: Coalescer, queue: str, args: Sequence[Any]) -> Sequence[Any]:
    """Put jobs as a client does, which awaits what it gets at once."""
    return await coalescer.put(queue, args)


async def begun(*calls: Coroutine[Any, Any, Any]) -> list["asyncio.Task[Any]"]:
    """Start calls, each of which gets as far as it can."""
    tasks = [asyncio.create_task(one) for one in calls]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def outcomes(redis: Redis, tasks: Sequence["asyncio.Task[Any]"]) -> list[Any]:
    """Let Redis answer, and return what each call got: its answers, or the error that it was raised."""
    redis.answer_all()
    async with asyncio.timeout(5):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_first_goes_at_once_and_those_that_come_meanwhile_go_together(
    redis: Redis, coalescer: Coalescer
) -> None:
    tasks = await begun(*(put(coalescer, "mail", values(one)) for one in "abcd"))
    assert redis.calls == [["a"]]
    assert await outcomes(redis, tasks) == [[f"answer of {one}"] for one in "abcd"]
    assert redis.calls == [["a"], ["b", "c", "d"]], "in the order in which they came"


async def test_of_a_crowd_half_goes_and_the_rest_before_the_first_half_is_told(
    redis: Redis, coalescer: Coalescer
) -> None:
    tasks = await begun(*(put(coalescer, "mail", values(str(number))) for number in range(100)))
    redis.turns[0].set()
    await begun()
    assert [len(ids) for ids in redis.calls] == [1, 50]
    done = tasks[1]
    told: list[int] = []
    done.add_done_callback(lambda _: told.append(len(redis.calls)))
    redis.turns[1].set()
    await begun()
    assert told == [3], "Redis has the next call when the callers go on"
    assert await outcomes(redis, tasks) == [[f"answer of {number}"] for number in range(100)]
    assert [len(ids) for ids in redis.calls] == [1, 50, 49]
    assert [one for ids in redis.calls for one in ids] == [str(number) for number in range(100)]


async def test_a_crowd_that_comes_back_goes_in_halves(redis: Redis, coalescer: Coalescer) -> None:
    async def go_on(name: str) -> None:
        for number in range(10):
            await put(coalescer, "mail", values(f"{name}-{number}"))

    redis.answers_all = True
    await asyncio.gather(*(go_on(str(number)) for number in range(100)))
    assert sum(map(len, redis.calls)) == 1000
    assert {*map(len, redis.calls[4:-4])} <= {49, 50, 51}


async def test_an_enqueue_of_several_jobs_gets_the_answers_of_its_own(
    redis: Redis, coalescer: Coalescer
) -> None:
    puts = (put(coalescer, "mail", values(*ids)) for ids in ("a", "bc", "d", "efg"))
    found = await outcomes(redis, await begun(*puts))
    assert found[1:] == [
        ["answer of b", "answer of c"],
        ["answer of d"],
        [f"answer of {one}" for one in "efg"],
    ]
    assert len(redis.calls) == 2


async def test_one_after_the_other_each_is_sent_by_its_own_caller(redis: Redis, coalescer: Coalescer) -> None:
    redis.answer_all()
    for one in "abc":
        await put(coalescer, "mail", values(one))
    assert redis.calls == [["a"], ["b"], ["c"]]
    assert redis.tasks == [asyncio.current_task()] * 3


async def test_queues_do_not_wait_for_each_other(redis: Redis, coalescer: Coalescer) -> None:
    tasks = await begun(put(coalescer, "mail", values("a")), put(coalescer, "images", values("b")))
    assert redis.calls == [["a"], ["b"]]
    await outcomes(redis, tasks)


async def test_a_caller_that_leaves_while_it_waits_puts_nothing(redis: Redis, coalescer: Coalescer) -> None:
    tasks = await begun(*(put(coalescer, "mail", values(one)) for one in "abc"))
    tasks[1].cancel()
    await asyncio.sleep(0)
    found = await outcomes(redis, tasks)
    assert isinstance(found[1], asyncio.CancelledError)
    assert [found[0], found[2]] == [["answer of a"], ["answer of c"]]
    assert redis.calls == [["a"], ["c"]]


@pytest.mark.parametrize("leaves", [0, 1])
async def test_a_caller_that_leaves_while_it_is_sent_takes_the_others_nothing(
    redis: Redis, coalescer: Coalescer, leaves: int
) -> None:
    tasks = await begun(*(put(coalescer, "mail", values(one)) for one in "abc"))
    if leaves:
        redis.turns[0].set()
        await tasks[0]
        await begun()
    tasks[leaves].cancel()
    await asyncio.sleep(0)
    found = await outcomes(redis, tasks)
    assert [index for index, one in enumerate(found) if isinstance(one, BaseException)] == [leaves]
    assert redis.calls == [["a"], ["b", "c"]]


async def test_what_goes_together_is_bounded_in_number_and_in_bytes(
    redis: Redis, coalescer: Coalescer
) -> None:
    many = [str(number) for number in range(2 * MOST_JOBS + 5)]
    large = b"x" * (MOST_BYTES // 2)
    puts = [put(coalescer, "mail", values(one)) for one in ("first", *many)]
    puts += [put(coalescer, "images", values(one, payload=large)) for one in ("A", "B", "C", "D")]
    await outcomes(redis, await begun(*puts))
    assert sorted(map(len, redis.calls)) == [1, 1, 1, 2, 5, MOST_JOBS, MOST_JOBS]
    assert ["B", "C"] in redis.calls


async def test_what_fills_a_call_by_itself_does_not_wait(redis: Redis, coalescer: Coalescer) -> None:
    bulk = [str(number) for number in range(MOST_JOBS)]
    tasks = await begun(put(coalescer, "mail", values("a")), put(coalescer, "mail", values(*bulk)))
    assert redis.calls == [["a"], bulk]
    await outcomes(redis, tasks)


async def test_an_id_comes_once_in_a_call(redis: Redis, coalescer: Coalescer) -> None:
    await outcomes(redis, await begun(*(put(coalescer, "mail", values(one)) for one in "abcbd")))
    assert redis.calls == [["a"], ["b", "c"], ["b", "d"]]


@pytest.mark.parametrize("refusal", [ResponseError("WRONGTYPE"), None])
async def test_a_refusal_is_told_to_the_one_that_is_to_blame(
    redis: Redis, coalescer: Coalescer, refusal: Exception | None
) -> None:
    ids = ("first", "a", "b", "bad", "c", "d")
    if refusal is None:
        # As for a value that cannot be sent.
        coalescer = Coalescer(_unsendable(redis), SHAPE)
    found = await outcomes(redis, await begun(*(put(coalescer, "mail", values(one)) for one in ids)))
    assert [one for one, outcome in zip(ids, found, strict=True) if isinstance(outcome, Exception)] == ["bad"]
    assert [one for one, outcome in zip(ids, found, strict=True) if outcome == [f"answer of {one}"]] == [
        "first",
        "a",
        "b",
        "c",
        "d",
    ]


def _unsendable(redis: Redis) -> Any:
    async def call(queue: str, args: Sequence[Any]) -> list[Any]:
        if "bad" in args:
            raise UnicodeEncodeError("utf-8", "bad", 0, 1, "surrogates not allowed")
        return await redis.call(queue, args)

    return call


async def test_a_full_redis_is_asked_once_for_all(redis: Redis, coalescer: Coalescer) -> None:
    redis.refusal = OutOfMemoryError()
    found = await outcomes(
        redis, await begun(*(put(coalescer, "mail", values(f"bad{one}")) for one in "abcde"))
    )
    assert len(redis.calls) == 2
    assert all(isinstance(one, ServerError) for one in found)


async def test_a_fault_of_the_connection_is_an_error_of_its_own_for_each_that_was_under_way(
    redis: Redis, coalescer: Coalescer
) -> None:
    redis.away = {1}
    tasks = await begun(*(put(coalescer, "mail", values(one)) for one in "abc"))
    redis.turns[0].set()
    await tasks[0]
    late = await begun(put(coalescer, "mail", values("d")))
    first, *others, last = await outcomes(redis, [*tasks, *late])
    assert (first, last) == (["answer of a"], ["answer of d"])
    assert [str(one) for one in others] == ["is away"] * 2
    assert others[0] is not others[1]
    assert all(one.transient and isinstance(one.__cause__, Away) for one in others)
    assert redis.calls == [["a"], ["b", "c"], ["d"]], "what may have been put is not sent again"


@pytest.mark.parametrize("fault", [0, 1])
async def test_after_a_fault_all_that_wait_go_at_once(redis: Redis, coalescer: Coalescer, fault: int) -> None:
    # One call after the other would each wait for its timeout.
    redis.away = {fault}
    count = 5 * MOST_JOBS
    await outcomes(
        redis, await begun(*(put(coalescer, "mail", values(str(number))) for number in range(count + 1)))
    )
    assert len(redis.calls) == 6
    assert redis.most_together == 5 - fault


async def test_after_a_fault_they_go_together_again(redis: Redis, coalescer: Coalescer) -> None:
    redis.away = {0}
    await outcomes(redis, await begun(*(put(coalescer, "mail", values(one)) for one in "ab")))
    redis.answers_all = False
    await outcomes(redis, await begun(*(put(coalescer, "mail", values(one)) for one in "cde")))
    assert redis.calls == [["a"], ["b"], ["c"], ["d", "e"]]


async def test_those_that_wait_when_the_client_is_closed_are_told_that_they_were_not_sent(
    redis: Redis, coalescer: Coalescer
) -> None:
    tasks = await begun(*(put(coalescer, "mail", values(one)) for one in "abc"))
    coalescer.close()
    found = await outcomes(redis, tasks)
    assert [type(one) for one in found] == [list, ServerError, ServerError]
    assert "not enqueued" in str(found[1])
    assert redis.calls == [["a"]]


async def test_those_that_go_together_are_of_no_caller_s_trace(redis: Redis, coalescer: Coalescer) -> None:
    async def caller(one: str) -> None:
        _TRACE.set(one)
        await put(coalescer, "mail", values(one))

    await outcomes(redis, await begun(*map(caller, "abc")))
    assert redis.traces == ["a", ""]


async def test_nobody_waits_for_ever_where_the_loop_ends(redis: Redis, coalescer: Coalescer) -> None:
    tasks = await begun(*(put(coalescer, "mail", values(one)) for one in "abc"))
    tasks[0].cancel()
    await begun()
    tasks += await begun(put(coalescer, "mail", values("waits")))
    (sending,) = coalescer._tasks
    sending.cancel()
    assert all(isinstance(one, asyncio.CancelledError) for one in await outcomes(redis, tasks))
    assert await put(coalescer, "mail", values("d")) == ["answer of d"], "the next goes as the first again"
