"""What the page of a job says first: what the job does, or what became of it; and its attempts, one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rota.api.pages.screens.jobs.one.errors import Told, told
from rota.api.pages.screens.jobs.one.moments import starts_of
from rota.api.pages.words import counted, duration
from rota.client.hands.closeup import Closeup
from rota.model.state import State

Level = Literal["", "good", "busy", "late", "bad"]

_DEATHS = {
    "failed": "It failed for good",
    "timeout": "It took longer than its attempts may take",
    "lost": "Its workers fell silent while they had it, too often",
    "unknown": "No worker that serves its queue knows this job",
    "expired": "Its payload had expired before it could start",
    "invalid": "Its payload does not fit the job",
    "invalid_result": "Its result is not of the type that the job says",
    "result_too_large": "Its result is too large to be kept",
    "unreadable": "Its payload cannot be read",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, as far as it is known; `waited` and `ran` are in seconds."""

    number: int
    outcome: str
    started_at: datetime | None
    ended_at: datetime | None
    waited: float | None
    ran: float | None
    worker: str
    error: Told | None


def said_of(close: Closeup, most: int | None) -> tuple[Level, str]:
    """Return how a job stands, in a sentence, and how good that is; `most` is how many attempts it has."""
    attempt = f"attempt {close.info.attempts}" + (f" of {most}" if most else "")
    match close.info.state:
        case State.WAITING:
            return _waiting(close)
        case State.DELAYED:
            return _delayed(close, attempt.capitalize())
        case State.ACTIVE:
            return "busy", _active(close, attempt.capitalize())
        case State.COMPLETED:
            return "good", _completed(close)
        case State.CANCELLED:
            why = close.info.reason
            return "late", "It was cancelled" + (f": {why}." if why not in ("", "cancelled") else ".")
        case State.DEAD:
            why = _DEATHS.get(close.info.reason, "It died")
            kept = "" if close.has_letter else " No dead letter of it is kept."
            return "bad", f"{why}, with {attempt}.{kept}"


def _delayed(close: Closeup, attempt: str) -> tuple[Level, str]:
    due = close.info.due_at
    left = "some time" if due is None else duration(max(0.0, (due - close.now).total_seconds()))
    if close.info.failures:
        return "late", f"{attempt} failed; the next one is due in {left}."
    return "", f"It is due in {left}."


def _active(close: Closeup, attempt: str) -> str:
    started = close.info.started_at
    ran = "" if started is None else f" for {duration((close.now - started).total_seconds())}"
    told = " It was told to stop." if close.is_stopping else ""
    return f"{attempt} runs{ran}" + (f" on {close.worker}." if close.worker else ".") + told


def _waiting(close: Closeup) -> tuple[Level, str]:
    if close.is_paused:
        return "late", "It waits for its queue, which is paused."
    if close.is_parked:
        return "late", "It waits for its turn: a limit keeps it back."
    if close.lost_by or close.taken_back_at:
        return "late", "The worker that had it fell silent; it waits to run again."
    if close.before:
        were = "was" if close.before == 1 else "were"
        return (
            "",
            f"It waits for a free slot of a worker; {counted(close.before, 'job')} {were} due before it.",
        )
    return "", "It waits for a free slot of a worker."


def _completed(close: Closeup) -> str:
    info = close.info
    if info.started_at is None or info.finished_at is None:
        return "It is completed."
    ran = duration(max(0.0, (info.finished_at - info.started_at).total_seconds()))
    which = f", at attempt {info.attempts}" if info.attempts > 1 else ""
    return f"It is completed: ran {ran}{which}."


def attempts_of(close: Closeup) -> Sequence[Attempt]:
    """Return the attempts of a job that are known, the last first."""
    info, starts = close.info, starts_of(close)
    found, before = [], info.due_at if info.failures == () and info.due_at else info.enqueued_at
    for failure in info.failures:
        started = _last(starts.get(failure.attempt), failure.at)
        found.append(
            Attempt(
                failure.attempt,
                "failed",
                started,
                failure.at,
                _between(before, started),
                _between(started, failure.at),
                "",
                told(failure.error),
            )
        )
        before = failure.at
    if info.state in (State.ACTIVE, State.COMPLETED, State.DEAD, State.CANCELLED) and info.attempts:
        started = info.started_at or _last(starts.get(info.attempts), info.finished_at)
        ended = info.finished_at
        error = told(info.error) if info.error is not None and info.state is State.DEAD else None
        outcome = "runs" if info.state is State.ACTIVE else info.state.value
        ran = _between(started, ended or close.now)
        found.append(
            Attempt(
                info.attempts, outcome, started, ended, _between(before, started), ran, close.worker, error
            )
        )
    return found[::-1]


def _last(times: Sequence[datetime] | None, end: datetime | None) -> datetime | None:
    """Return the last of these starts that is not after an end."""
    known = [one for one in times or () if end is None or one <= end]
    return known[-1] if known else None


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())
