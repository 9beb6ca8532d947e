"""What a handler or a middleware raises to choose the outcome of its attempt."""

from datetime import timedelta

from rota.units import LONGEST

_SHORT = 60


class Signal(Exception):
    """The root of the signals, which a handler or a middleware raises to choose the outcome of its attempt."""


class Retry(Signal):
    """Raised by a handler to have its job tried again; the attempt counts.

    `delay` is in seconds or a timedelta; without a delay the job's backoff decides. After its last attempt the job is
    dead. Raises ValueError for an impossible delay, which is an error of the handler like any other.
    """

    def __init__(self, delay: float | timedelta | None = None, reason: object = "") -> None:
        self.delay = None if delay is None else _seconds("Retry", delay)
        self.reason = str(reason)
        super().__init__(self.delay, self.reason)

    def __str__(self) -> str:
        when = "after its back-off" if self.delay is None else f"in {self.delay:g} s"
        return f"retry {when}" + (f": {self.reason}" if self.reason else "")


class Snooze(Signal):
    """Raised by a handler to have its job run again after `delay` (seconds or a timedelta); the attempt is not spent.

    A job that snoozes each time goes on for ever. Its handler sees in `run.snoozes` how often it has snoozed.
    Raises ValueError for an impossible delay, which is an error of the handler like any other.
    """

    def __init__(self, delay: float | timedelta) -> None:
        self.delay = _seconds("Snooze", delay)
        super().__init__(self.delay)

    def __str__(self) -> str:
        return f"snooze for {self.delay:g} s"


class Cancel(Signal):
    """Raised by a handler whose job should not be done: the job ends as cancelled and is never retried.

    `reason` is text, or any object with a text form, such as an exception.
    """

    def __init__(self, reason: object = "") -> None:
        self.reason = str(reason)
        super().__init__(self.reason)

    def __str__(self) -> str:
        return self.reason or "cancelled by its handler"


def _seconds(signal: str, delay: object) -> float:
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= LONGEST:
        return float(seconds)
    raise ValueError(
        f"{signal} got the delay {_short(delay)}; it takes seconds from 0 to ten years, or a timedelta"
    )


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def culprit(error: BaseException | None) -> BaseException | None:
    """Return the error behind the signal that ended an attempt, if there is one; any other error is its own."""
    while isinstance(error, Signal):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error
