"""A first job: change it, or put your own beside it."""

from rota import Cancel, Run, exponential, job


@job(queue="email", timeout=30, max_attempts=5, backoff=exponential(2))
async def greet(run: Run, *, name: str) -> str:
    if not name:
        raise Cancel("nobody to greet")  # never retried
    run.progress(50, "thinking")
    return f"Hello, {name}"  # any other exception retries
