"""What an operator reads while a deploy is under way: a line for each step, with how long it took."""

import contextlib
import sys
import time
from collections.abc import Iterator


def say(text: str, end: str = "\n") -> None:
    # The terminal may be gone, and the deploy goes on.
    with contextlib.suppress(OSError):
        sys.stdout.write(text + end)
        sys.stdout.flush()


@contextlib.contextmanager
def step(name: str, what: str) -> Iterator[None]:
    """Say what is done before a block does it, and then how long it took."""
    say(f"  {name:<7} {what} … ", end="")
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say("failed")
        raise
    say(f"{time.monotonic() - began:.1f} s")
