"""A bench whose payloads are sealed works as any other: what a test asks of it is opened with the bench's keys."""

from datetime import timedelta

from rota import Run, debounce, each, every, job, pipeline
from rota.testing import Bench
from rota.wire.sealing.ring import new_key

SEALED = {"payload_keys": new_key("k"), "payload_signing": "required", "payload_encryption": True}


@every("1h")
@job
async def tidy(run: Run) -> None: ...


@job
async def numbers(run: Run, most: int) -> list[int]:
    return list(range(most))


@job
async def double(run: Run, number: int) -> int:
    return 2 * number


@job(unique=debounce(5, key="to"))
async def remind(run: Run, to: str, text: str) -> str:
    return text


@job(max_attempts=1)
async def fail(run: Run, why: str) -> None:
    raise ValueError(why)


async def test_what_a_test_asks_for_is_opened() -> None:
    with Bench([tidy, numbers, double, remind, fail], settings=SEALED) as bench:
        run = await bench.client.enqueue(pipeline(numbers, each(double)), 3)
        for text in ("one", "two"):
            await bench.client.enqueue(remind, "ann", text)
        await bench.client.enqueue(fail, "broken")
        await bench.drain()
        assert await run.result() == [0, 2, 4]
        assert bench.results(remind) == ["two"]
        assert bench.assert_enqueued(remind, to="ann").arguments["text"] in ("one", "two")
        await bench.drain(until=bench.now + timedelta(minutes=90), schedules=True)
        assert bench.enqueued(tidy)
        assert [letter.payload for letter in bench.dead] == [{"why": "broken"}]
