"""Log lines on their way to a reader who is slow, stopped, gone, or in another encoding."""

import io
import logging
import os
import socket
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from rota.process.last_words import last_words
from rota.telemetry.logs import outflow
from rota.telemetry.logs.outflow import Outflow
from tests.waiting import wait_until


class Pipe:
    """A pipe, a handler that writes into it, and who reads it."""

    def __init__(self, room: int = outflow.ROOM) -> None:
        self.reads, writes = os.pipe()
        self.stream: TextIO = os.fdopen(writes, "w", encoding="utf-8")
        self.handler = Outflow(self.stream, room=room)

    def log(self, count: int, size: int = 1000) -> list[str]:
        """Log lines of a size; return what they say."""
        texts = [f"{number} ".ljust(size, ".") for number in range(count)]
        for text in texts:
            self.handler.handle(logging.makeLogRecord({"msg": text}))
        return texts

    def read(self, count: int) -> list[str]:
        """Read until as many lines are there."""
        raw = b""
        while raw.count(b"\n") < count:
            raw += os.read(self.reads, 65536)
        return raw.decode().split("\n")[:-1]

    def close(self) -> None:
        for descriptor in (self.reads, self.stream.fileno()):
            os.close(descriptor)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.reads)


def test_a_line_is_written_before_the_call_returns_and_no_thread_is_needed(pipe: Pipe) -> None:
    before = threading.active_count()
    texts = pipe.log(3)
    assert pipe.read(3) == texts
    assert threading.active_count() == before


def test_nobody_waits_for_a_pipe_that_is_full_and_all_lines_arrive_in_order(pipe: Pipe) -> None:
    texts = pipe.log(300)
    assert pipe.read(300) == texts
    assert pipe.handler.dropped == 0
    # And then lines are written at once again.
    texts = pipe.log(1)
    assert pipe.read(1) == texts


def test_a_line_that_is_longer_than_the_pipe_arrives_whole(pipe: Pipe) -> None:
    texts = pipe.log(2, size=200_000)
    assert pipe.read(2) == texts


def test_what_has_no_room_is_dropped_counted_and_told_of() -> None:
    pipe = Pipe(room=100_000)
    texts = pipe.log(300)
    lost = pipe.handler.dropped
    assert 100 < lost < 250
    lines = pipe.read(300 - lost + 1)
    assert lines[: 300 - lost] == texts[: 300 - lost], "the first are kept, and in order"
    assert lines[300 - lost :] == ["log.dropped"]
    texts = pipe.log(1)
    assert pipe.read(1) == texts
    assert outflow.dropped() >= lost
    os.close(pipe.reads)


def test_a_reader_that_is_gone_stops_nobody() -> None:
    pipe = Pipe()
    pipe.log(300)
    os.close(pipe.reads)
    wait_until(lambda: not pipe.handler._lines, "the thread gives them up")
    pipe.log(1)
    assert pipe.handler.dropped > 100


def test_the_end_waits_for_a_reader_and_not_for_nobody(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outflow, "STILL", 0.05)
    pipe.log(300)
    pipe.handler.flush()
    assert pipe.handler._lines, "nobody reads"
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(pipe.read(300)))
    reader.start()
    reader.join(10)
    pipe.handler.flush()
    assert len(read) == 300


def test_a_socket_such_as_that_of_a_journal_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("w") as stream, theirs.makefile() as reader:
        handler = Outflow(stream)
        texts = [f"{number} ".ljust(1000, ".") for number in range(1000)]
        for text in texts:
            handler.handle(logging.makeLogRecord({"msg": text}))
        assert [reader.readline()[:-1] for _ in texts] == texts


def test_a_pipe_for_ascii_gets_escapes() -> None:
    reads, writes = os.pipe()
    with os.fdopen(writes, "w", encoding="ascii") as stream:
        Outflow(stream).handle(logging.makeLogRecord({"msg": "grüße 🙂"}))
    assert os.read(reads, 1000) == rb"gr\xfc\xdfe \U0001f642" + b"\n"
    os.close(reads)


def test_a_stream_in_memory_and_none_at_all_are_written_as_they_are() -> None:
    stream = io.StringIO()
    Outflow(stream).handle(logging.makeLogRecord({"msg": "a line"}))
    assert stream.getvalue() == "a line\n"
    Outflow(None).handle(logging.makeLogRecord({"msg": "a line"}))


def test_a_forked_child_writes_its_own_lines_and_none_of_its_parent(pipe: Pipe) -> None:
    texts = pipe.log(200)
    child = os.fork()
    if child == 0:
        try:
            pipe.handler.handle(logging.makeLogRecord({"msg": "from the child"}))
            pipe.handler.flush()
        finally:
            os._exit(0)
    lines = pipe.read(201)
    os.waitpid(child, 0)
    assert sorted(lines) == sorted([*texts, "from the child"])


def test_a_process_ends_though_a_handler_of_the_users_waits_for_ever() -> None:
    stuck, released = threading.Event(), threading.Event()

    class Waiting(logging.Handler):
        def flush(self) -> None:
            stuck.set()
            released.wait(30)

    handler = Waiting()
    logging.root.addHandler(handler)
    try:
        last_words(within=0.1)
        assert stuck.is_set()
    finally:
        logging.root.removeHandler(handler)
        released.set()
