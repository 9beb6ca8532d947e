"""Your jobs live in this folder: every module in it, at any depth, is imported at boot, and its jobs are found.

A job is a function with `@job` in front of it: `greetings.py` has one, and `rota new job send_invoice` writes another
with its tests (docs/first-job.md). There is nothing to register. Start a worker with `make worker`, and in another
terminal:

    .venv/bin/rota enqueue greet '{"name": "Ann"}' --wait 5

From Python, a type checker knows the arguments and the result:

    async with await rota.connect() as client:
        handle = await client.enqueue(greet, name="Ann")
        print(await handle.result(timeout=5))

`samples/` shows each kind at work; its `__init__.py` says which. Nothing needs it: `make remove-samples` deletes it.

* The first argument is the run: its id, its attempt, `run.progress()`, `run.log`, and `run.deps`. The others, and
  the result, are what travels as JSON; annotate them, and wrong ones are refused when they are enqueued.
* `async def` runs on the event loop, a plain `def` in a thread, `@job(process=True)` in a process of its own.
* Any exception retries, with back-off. `@job(queue="email", timeout=60, max_attempts=5)` says otherwise, and so do
  `raise Cancel("gone")`, `raise Retry(60)` and `raise Snooze(300)`.
* What jobs share (an HTTP client, a database) is opened in `lifespan.py`, once a process.
* What runs around all of them is in lists here, `middleware`, `subscribers` and `senders` (docs/middleware.md).

"""

from jobs.lifespan import lifespan

__all__ = ["lifespan"]
