"""What may be called what: names of queues and jobs, ids that we make, ids that users bring."""

import os
import re
import time
from random import Random
from threading import Lock

NAME = re.compile(r"[a-z][a-z0-9_-]*")

_NAME_LIMIT = 100
_ID_LIMIT = 200


def check_name(kind: str, name: str) -> str:
    """`name`, when it may name a `kind` ("job", "queue"); raises ValueError otherwise."""
    if not isinstance(name, str) or len(name) > _NAME_LIMIT or not NAME.fullmatch(name):
        raise ValueError(
            f"{kind} name {_shown(name)} is not allowed: it starts with a small letter a-z, goes on "
            f"with small letters, digits, _ and -, and has at most {_NAME_LIMIT} characters"
        )
    return name


def full_name(queue: str, name: str) -> str:
    """`queue:name`, as logs and the API say it."""
    return f"{queue}:{name}"


def check_id(user_id: str) -> str:
    """`user_id`, when it may be a job's id; raises ValueError otherwise.

    Ids reach logs, pages and shells, so characters that do not show, or that turn text around, are refused.
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
    """The id of Redis' keys for an id that a user brought: arq's keys are global, so it carries its queue."""
    return f"{queue}:{check_id(user_id)}"


def _shown(value: object) -> str:
    # ascii() so that what is refused cannot turn the message around either.
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 (what fits a line beside its reason)


class _Ids:
    """Makes ids of the layout of UUID version 7 that sort in the order in which one process made them.

    Random bits open each millisecond; within one, and when the clock steps back, the last 61 count up.
    """

    def __init__(self) -> None:
        self.start_afresh()

    def start_afresh(self) -> None:
        # A forked child that kept its parent's generator would make its parent's ids, or wait on its lock.
        self._lock = Lock()
        self._getrandbits = Random().getrandbits  # noqa: S311 (unique, not secret)
        self._millisecond = 0
        self._head = ""
        self._tail = 0

    def new(self) -> str:
        """A fresh id: 32 hexadecimal digits."""
        now = time.time_ns() // 1_000_000
        with self._lock:
            if now > self._millisecond:
                self._millisecond = now
                self._head = f"{now:012x}7{self._getrandbits(12):03x}"
                # Bit 63 is the layout's variant; bit 61 stays free, so that counting cannot run over.
                self._tail = 1 << 63 | self._getrandbits(61)
            else:
                self._tail += 1
            return f"{self._head}{self._tail:016x}"


_ids = _Ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.start_afresh)


def new_id() -> str:
    """A fresh job id: 32 hexadecimal digits that sort in the order in which this process made them."""
    return _ids.new()


def printable(job_id: str) -> str:
    """`job_id` as text that can be logged and written; what is no UTF-8 in a queue's member is spelt out."""
    if job_id.isascii():
        return job_id
    return job_id.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
