"""Which lines of an attempt are kept, and what of them Redis is told."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from rota.attempts.log.kept import FIRST_BYTES, FIRST_LINES, MOST_BYTES, MOST_LINES, AttemptLog
from rota.model.log.lines import LogLine, later, lines_of
from rota.wire.log.pieces import NOTHING_NEW, received


class Told:
    """An attempt's log, and what Redis holds of it."""

    def __init__(self) -> None:
        self.log = AttemptLog(5, 10, 1)
        self.pieces: dict[bytes, bytes] = {}

    def add(self, *numbers: int, size: int = 0) -> None:
        """Log a line for each of these numbers."""
        for number in numbers:
            self.log.add(b'[%d,"info","line %d%b"]' % (number, number, b"x" * size))

    def tell(self, said: bytes) -> None:
        """Do what the scripts do with what is sent."""
        for name, content in received(said):
            if content:
                self.pieces[name] = content
            else:
                del self.pieces[name]

    def flush(self) -> None:
        """Do what the pulse does once a second."""
        self.tell(self.log.unwritten())
        self.log.answered(True)

    @property
    def lines(self) -> list[LogLine]:
        """The lines that a reader sees."""
        names = later(self.pieces)
        return lines_of(names, map(self.pieces.get, names))

    @property
    def numbers(self) -> list[int]:
        """The numbers of these lines."""
        return [line.number for line in self.lines]


@pytest.fixture
def told() -> Told:
    return Told()


def test_what_was_written_is_not_sent_again_and_nothing_new_is_nothing(told: Told) -> None:
    told.add(1, 2)
    told.flush()
    assert told.log.unwritten() == b""
    told.add(3)
    assert len(received(told.log.unwritten())) == 1
    told.flush()
    assert told.numbers == [1, 2, 3]
    assert told.log.close() == NOTHING_NEW


def test_what_was_sent_and_not_answered_is_sent_again_as_it_was(told: Told) -> None:
    told.add(1)
    first = told.log.unwritten()
    told.add(2)
    again = told.log.unwritten()
    assert again.startswith(first)
    told.tell(first)
    told.tell(told.log.close())
    assert told.numbers == [1, 2]


def test_what_a_full_redis_has_refused_need_not_be_removed_from_it(told: Told) -> None:
    told.add(*range(1, 301))
    told.flush()
    for number in range(301, 2001):
        told.add(number)
        told.log.unwritten()
        told.log.answered(False)
    names = [name for name, content in received(told.log.unwritten()) if not content]
    assert names
    assert set(names) <= set(told.pieces)
    told.flush()
    assert told.numbers == [*range(1, 21), *range(2001 - len(told.numbers[20:]), 2001)]


@pytest.mark.parametrize("every", [1, 7, 20, 333, 10_000], ids=lambda every: f"written each {every}")
def test_of_many_lines_the_first_and_the_newest_are_kept(told: Told, every: int) -> None:
    for number in range(1, 1001):
        told.add(number)
        if number % every == 0:
            told.flush()
            assert len(told.pieces) <= MOST_LINES
    told.tell(told.log.close())
    numbers = told.numbers
    assert numbers[:FIRST_LINES] == list(range(1, FIRST_LINES + 1))
    assert numbers[-1] == 1000
    assert MOST_LINES - 20 <= len(numbers) <= MOST_LINES
    assert sum(line.left_out for line in told.lines) == 1000 - len(numbers)


@pytest.mark.parametrize("every", [1, 7, 10_000])
def test_of_long_lines_no_more_bytes_are_kept_than_the_bound(told: Told, every: int) -> None:
    for number in range(1, 101):
        told.add(number, size=3000)
        if number % every == 0:
            told.flush()
    told.tell(told.log.close())
    assert MOST_BYTES * 0.8 <= sum(map(len, told.pieces.values())) <= MOST_BYTES
    numbers = told.numbers
    assert numbers[:4] == [1, 2, 3, 4]
    assert numbers[-1] == 100
    assert numbers[: FIRST_BYTES // 3100] == list(range(1, FIRST_BYTES // 3100 + 1))


def test_a_line_that_is_logged_after_the_end_comes_too_late(told: Told) -> None:
    told.add(1)
    told.tell(told.log.close())
    told.add(2)
    told.flush()
    assert told.numbers == [1]


def test_threads_may_log_beside_each_other(told: Told) -> None:
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: told.add(*range(40)), range(4)):
            told.flush()
    told.tell(told.log.close())
    assert told.numbers == list(range(1, 161))
