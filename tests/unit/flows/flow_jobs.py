"""Jobs of a pipeline and of a batch, for tests of what travels with them and is counted."""

from rota import Run, job


@job
async def split(run: Run, upto: int) -> list[int]:
    return list(range(upto))


@job(queue="other", max_attempts=1)
async def double(run: Run, number: int) -> int:
    if run.deps and number in run.deps:
        raise ValueError("not this one")
    return 2 * number


@job
async def total(run: Run, numbers: list[int]) -> int:
    return sum(numbers)


@job
async def note(run: Run, word: str) -> None: ...
