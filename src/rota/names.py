"""Names and ids: which names queues, jobs and tenants may have, which ids users may give, and those that rota makes."""

import os
import re
import time
from collections.abc import Iterator
from itertools import chain, islice, product, repeat
from operator import add
from random import Random
from threading import Lock
from typing import TypeGuard

NAME = re.compile(r"[a-z][a-z0-9_-]*")

#: The ids of webhooks.
WEBHOOK = re.compile(r"wh_[0-9a-f]{16}", re.ASCII)
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)

_NAME_LIMIT = 100
_ID_LIMIT = 200


def check_name(kind: str, name: str) -> str:
    """Return `name`. Raises ValueError when a `kind` ("job", "queue", "limit") cannot have that name."""
    if not isinstance(name, str) or len(name) > _NAME_LIMIT or not NAME.fullmatch(name):
        raise ValueError(
            f"{kind} name {_shown(name)} is not allowed: it starts with a small letter a-z, goes on "
            f"with small letters, digits, _ and -, and has at most {_NAME_LIMIT} characters"
        )
    return name


def check_tenant(name: str) -> str:
    """Return `name`. Raises ValueError when it cannot be a tenant's name.

    It stands in keys, ids and terms of jobs, so it has no blank, and none of ":", "!" and "~".
    """
    if not is_tenant(name):
        raise ValueError(
            f"tenant {_shown(name)} is not allowed: it starts with a letter or a digit, goes on with letters, digits, "
            "_, . and -, and has at most 64 characters"
        )
    return name


def is_tenant(name: object) -> TypeGuard[str]:
    """Tell whether `name` can be a tenant's name."""
    return isinstance(name, str) and _TENANT.fullmatch(name) is not None


def full_name(queue: str, name: str) -> str:
    """Return `queue:name`, as logs and the API write it."""
    return f"{queue}:{name}"


def short_name(queue: str, name: str) -> str:
    """Return the name of a job on `queue` that is given as `name` or as `queue:name`."""
    return name.removeprefix(f"{queue}:")


def check_id(user_id: str) -> str:
    """Return `user_id`. Raises ValueError when it cannot be a job's id.

    Ids reach logs, pages and shells, so invisible characters and those that change the direction of text are refused.
    """
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= _ID_LIMIT:
        raise ValueError(
            f"job id {_shown(user_id)} is not allowed: it is 1 to {_ID_LIMIT} characters of text"
        )
    # isprintable() knows every control, format (bidi), surrogate and separator character but the space.
    if not user_id.isprintable() or user_id != user_id.strip():
        raise ValueError(
            f"job id {_shown(user_id)} is not allowed: its characters are printable and no space is at an end"
        )
    return user_id


def wire_id(queue: str, user_id: str) -> str:
    """Return the id in Redis for an id given by a user: arq's keys are global, so the queue becomes part of it."""
    return f"{queue}:{check_id(user_id)}"


def id_of_tenant(tenant: str, user_id: str) -> str:
    """Return the id of a job whose id was given over the API for a tenant: `acme~order-7`.

    No tenant's name has a "~", so the ids of two tenants are never the same.
    """
    return f"{tenant}~{user_id}"


def ids_of(queue: str, job_id: str) -> tuple[str, str]:
    """Return the ids in Redis that `job_id` can mean: an id in Redis, or one that a user gave."""
    return job_id, f"{queue}:{job_id}"


def check_webhook(webhook: str) -> str:
    """Return `webhook`. Raises ValueError when it cannot be the id of one: it stands in the terms of jobs."""
    if not isinstance(webhook, str) or not WEBHOOK.fullmatch(webhook):
        raise ValueError(f"webhook {_shown(webhook)} is not the id of one, such as wh_0123456789abcdef")
    return webhook


def _shown(value: object) -> str:
    # With ascii(), a refused id cannot change the direction of the message either.
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 (what fits a line beside its reason)


#: The digits of ids. They sort in this order, also in databases that take no notice of case or punctuation.
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
#: Two digits for each ten bits.
_PAIRS = tuple(one + other for one in _DIGITS for other in _DIGITS)


def _eight_digits(number: int) -> str:
    high, low = number >> 20, number
    return f"{_PAIRS[high >> 10 & 1023]}{_PAIRS[high & 1023]}{_PAIRS[low >> 10 & 1023]}{_PAIRS[low & 1023]}"


def _three_digits_from(number: int) -> Iterator[str]:
    """Count up in three digits, from a number on. Threads may share the iterator: all of it is C."""
    first, rest = number >> 10, _PAIRS[number & 1023 :]
    begun = map(add, repeat(_DIGITS[first], len(rest)), rest)
    return chain(begun, map("".join, product(_DIGITS[first + 1 :], _PAIRS)))


class _Ids:
    """Makes ids that sort in the order in which one process made them.

    An id is short, because Redis has it in a job's keys, its queue, its record and its events: with 32 digits, in the
    layout of UUID version 7, a job that waits took 66 bytes more, and one that is over 53.

    Of the 20 digits the first 9 are the milliseconds since 1970, until the year 3084, and 8 are the process: 40 bits
    by chance. The last 3 count up within a millisecond, and when the clock steps back. They begin with a number that is
    chance again, so that two processes of the same digits still make different ids. A millisecond in which they run
    out borrows from the next.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        # A forked child with its parent's digits would make the same ids as its parent, or wait on its lock.
        self._lock = Lock()
        self._getrandbits = Random().getrandbits  # noqa: S311 (unique, not secret)
        self._process = _eight_digits(self._getrandbits(40))
        self._millisecond = 0
        # Until when (ns) ids begin so, with which digits, and the digits that are left behind them. It is one
        # attribute, so that threads need no lock until a millisecond is over: an id took 0.8 µs with it, and takes 0.3.
        self._left: tuple[int, str, Iterator[str]] = (0, "", iter(()))

    def new(self) -> str:
        until, head, tails = self._left
        if time.time_ns() < until and (tail := next(tails, None)) is not None:
            return head + tail
        return self.some(1)[0]

    def some(self, number: int) -> list[str]:
        """Make as many ids as are asked for, in one go."""
        until, head, tails = self._left
        made: list[str] = []
        if time.time_ns() < until:
            made = [head + tail for tail in islice(tails, number)]
        while len(made) < number:
            head, tails = self._begin()
            made += [head + tail for tail in islice(tails, number - len(made))]
        return made

    def _begin(self) -> tuple[str, Iterator[str]]:
        """Go on to another millisecond: that of the clock, or the next where that is not over."""
        with self._lock:
            self._millisecond = now = max(time.time_ns() // 1_000_000, self._millisecond + 1)
            head = f"{_DIGITS[now >> 40 & 31]}{_eight_digits(now)}{self._process}"
            tails = _three_digits_from(self._getrandbits(14))
            self._left = ((now + 1) * 1_000_000, head, tails)
            return head, tails


_ids = _Ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.reset)


def new_id() -> str:
    """Make a job id: 20 digits of 0-9 and a-v that sort in the order in which this process made them."""
    return _ids.new()


def new_ids(number: int) -> list[str]:
    """Make many job ids at once, in their order: what each costs is a quarter of `new_id`."""
    return _ids.some(number)


def printable(job_id: str) -> str:
    """Return `job_id` as text that can be logged and written; bytes that are not UTF-8 are written as escapes."""
    if job_id.isascii():
        return job_id
    return job_id.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
