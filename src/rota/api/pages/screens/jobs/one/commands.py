"""The commands of `rota` that do what the forms of a job's page do, as a person can paste them."""

import shlex

#: The longest payload that stands in a command, in characters.
_LONGEST = 400


def cancel(queue: str, job_id: str) -> str:
    """Return the command that cancels a job."""
    return _line("cancel", queue, job_id)


def retry(queue: str, job_id: str) -> str:
    """Return the command that brings a dead letter back as it is."""
    return _line("retry", queue, job_id)


def fix(queue: str, job_id: str) -> str:
    """Return the command that opens the payload of a dead letter in an editor, and brings it back."""
    return _line("retry", queue, job_id, options=("--edit",))


def run_now(queue: str, job_id: str) -> str:
    """Return the command that makes a job which waits due at once."""
    return _line("reschedule", queue, job_id)


def put_off(queue: str, job_id: str, delay: str = "10m") -> str:
    """Return the command that makes a job which waits due later."""
    return _line("reschedule", queue, job_id, options=("--delay", delay))


def delete(queue: str, job_id: str) -> str:
    """Return the command that deletes a dead letter."""
    return _line("delete", queue, job_id)


def stack(queue: str, job_id: str) -> str:
    """Return the command that asks what a running job is doing."""
    return _line("stack", job_id, options=("--queue", queue))


def log(queue: str, job_id: str) -> str:
    """Return the command that shows what a job has logged."""
    return _line("log", queue, job_id)


def again(name: str, payload: str, queue: str = "") -> str:
    """Return the command that enqueues a job like this one; empty for a payload that is too long for one."""
    options = ("--queue", queue) if queue else ()
    return _line("enqueue", name, payload, options=options) if len(payload) <= _LONGEST else ""


def _line(command: str, *words: str, options: tuple[str, ...] = ()) -> str:
    # An id may begin as an option does.
    end = ("--",) if any(word.startswith("-") for word in words) else ()
    return shlex.join(("rota", command, *options, *end, *words))
