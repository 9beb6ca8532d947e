"""The life of a job as a diagram: the moments that are known of it, and between two of them how long which took."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from markupsafe import Markup

from rota.api.pages import words
from rota.client.hands.closeup import Closeup
from rota.model.state import State

Kind = Literal["enqueued", "due", "started", "failed", "lost", "ended"]
#: What a time between two moments was: of waiting, of running, of both where the moment between is not known.
Edge = Literal["wait", "run", "both"]

_OPEN = frozenset({State.WAITING, State.DELAYED, State.ACTIVE})
#: A job without a delay is due when it is enqueued, by two clocks, in seconds.
_SAME = 0.05
#: Units of the strip's width, and the least that a part of it has.
_WIDE, _LEAST = 1000.0, 6.0
#: The most characters that are shown of an error beside its moment.
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment of a life, and the time before it, `words` of which say what it was."""

    kind: Kind
    words: str
    at: datetime
    level: str = ""
    more: str = ""
    edge: Edge | None = None
    seconds: float = 0.0
    passed: str = ""


@dataclass(frozen=True, slots=True)
class Life:
    """The life of a job as far as it is known: its moments, and what it does since the last, if it is not over.

    :param missing: what is not known, in words; empty where all is.
    """

    moments: Sequence[Moment]
    since: str
    missing: str
    strip: Markup


def life_of(close: Closeup) -> Life:
    """Return the life of a job as far as it is known."""
    found = sorted(_points(close), key=lambda one: one.at)
    # By the clock of the client that enqueued it this may seem to be later than what came of it.
    found.sort(key=lambda one: one.kind != "enqueued")
    moments: list[Moment] = []
    for one in found:
        moments.append(_after(moments[-1], one) if moments else one)
    return Life(moments, _since(close, moments), _missing(close), _strip(close, moments))


def starts_of(close: Closeup) -> dict[int, list[datetime]]:
    """Return when the attempts started of which that is known: those that have logged something, and the last."""
    found: dict[int, set[datetime]] = {}
    for line in close.lines:
        found.setdefault(line.attempt, set()).add(line.started_at)
    if close.info.started_at is not None:
        found.setdefault(close.info.attempts, set()).add(close.info.started_at)
    return {attempt: sorted(times) for attempt, times in found.items()}


def _points(close: Closeup) -> Iterator[Moment]:
    info = close.info
    if info.enqueued_at is not None:
        yield Moment("enqueued", "enqueued", info.enqueued_at)
    for attempt, times in starts_of(close).items():
        for number, at in enumerate(times):
            more = "; the one before did not count: put off, interrupted or lost" if number else ""
            again = " again" if number else ""
            yield Moment("started", f"attempt {attempt} started{again}", at, "busy", more.lstrip("; "))
    for failure in info.failures:
        told = str(failure.error).partition("\n")[0][:_LONGEST]
        yield Moment("failed", f"attempt {failure.attempt} failed", failure.at, "bad", told)
    if close.taken_back_at is not None:
        by = f"the worker {close.lost_by} fell silent" if close.lost_by else "its worker fell silent"
        yield Moment("lost", "lost and taken back", close.taken_back_at, "late", by)
    if _is_due_apart(close) and info.due_at is not None:
        is_again = any(failure.at <= info.due_at for failure in info.failures)
        what = "due again" if is_again else "due"
        yield Moment("due", what, info.due_at, "late" if info.state is State.DELAYED else "")
    if info.finished_at is not None:
        good = {State.COMPLETED: "good", State.DEAD: "bad"}.get(info.state, "")
        yield Moment("ended", info.state.value, info.finished_at, good, info.reason)


def _is_due_apart(close: Closeup) -> bool:
    """Tell whether the time at which a job is due says more than its other moments."""
    info = close.info
    if info.due_at is None or info.enqueued_at is None:
        return info.due_at is not None
    apart = (info.due_at - info.enqueued_at).total_seconds() > _SAME
    # What was due again after a failure stands in the table as that, beside the start which it led to.
    return apart and (info.state in _OPEN or info.started_at is None or info.due_at <= info.started_at)


def _after(before: Moment, one: Moment) -> Moment:
    seconds = max(0.0, (one.at - before.at).total_seconds())
    edge, passed = _passed(before.kind, one.kind)
    told = f"{passed} {words.duration(seconds)}".strip()
    return Moment(one.kind, one.words, one.at, one.level, one.more, edge, seconds, told)


def _passed(before: Kind, after: Kind) -> tuple[Edge, str]:
    """Return what the time between two moments was, as the beginning of a sentence that its length ends."""
    if before == "started":
        return ("both", "started again after") if after == "started" else ("run", "ran")
    if after == "failed" or (before == "failed" and after == "ended"):
        return "both", "waited and ran"
    if before in ("failed", "lost"):
        return "wait", "back-off of" if after == "due" else "waited"
    if after == "due":
        return "wait", "put off for"
    return "wait", "waited"


def _since(close: Closeup, moments: Sequence[Moment]) -> str:
    """Say what a job that is not over does since its last moment."""
    info = close.info
    if info.state not in _OPEN or not moments:
        return ""
    seconds = (close.now - moments[-1].at).total_seconds()
    if seconds < 0:
        return f"due in {words.duration(-seconds)}"
    return f"{'running' if info.state is State.ACTIVE else 'waiting'} for {words.duration(seconds)}"


def _missing(close: Closeup) -> str:
    info = close.info
    known = {failure.attempt for failure in info.failures} | set(starts_of(close))
    before = info.attempts - (info.state is not State.DELAYED and info.state is not State.WAITING)
    # No list of them: a job may have had millions.
    first = next((number for number in range(1, before + 1) if number not in known), None)
    if first is None:
        return ""
    last = next(number for number in range(before, 0, -1) if number not in known)
    named = f"attempt {first}" if first == last else f"attempts {first} to {last}"
    return f"Of {named} nothing is kept any more."


def _strip(close: Closeup, moments: Sequence[Moment]) -> Markup:
    """Return a life as one bar from left to right, in which each time has its share; the shortest are still seen."""
    parts = [(one.edge, one.seconds, one.passed) for one in moments if one.edge is not None]
    if moments and close.info.state in _OPEN and close.now > moments[-1].at:
        is_running = close.info.state is State.ACTIVE
        last = (close.now - moments[-1].at).total_seconds()
        parts.append(("run" if is_running else "wait", last, _since(close, moments)))
    total = sum(seconds for _, seconds, _ in parts)
    if not total:
        return Markup("")
    at, drawn = 0.0, []
    widths = [max(_LEAST, _WIDE * seconds / total) for _, seconds, _ in parts]
    scale = _WIDE / sum(widths)
    for (edge, _, told), width in zip(parts, widths, strict=True):
        drawn.append(
            Markup(
                '<rect class="{edge}" x="{x}" y="0" width="{width}" height="10"><title>{told}</title></rect>'
            ).format(edge=edge, x=round(at, 1), width=round(width * scale, 1), told=told)
        )
        at += width * scale
    head = Markup('<svg class="strip" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">')
    return head + Markup("").join(drawn) + Markup("</svg>")
