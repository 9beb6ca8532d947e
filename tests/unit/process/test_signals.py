"""Signals: several workers hear one, and each may stop hearing without making the others deaf."""

import asyncio
import os
import signal
from collections.abc import Callable

import pytest
import uvloop

from rota.process.signals import forget, hearing, is_echo, listen, to_stop
from tests.processes import end_fork
from tests.waiting import until

SIGNAL = signal.SIGUSR1


@pytest.fixture(autouse=True)
def harmless() -> object:
    """Keep the signal from ending the tests, whatever goes wrong."""
    before = signal.signal(SIGNAL, lambda *_: None)
    yield
    signal.signal(SIGNAL, before)


async def heard(*logs: list[signal.Signals]) -> None:
    os.kill(os.getpid(), SIGNAL)
    await until(lambda: any(logs), "the signal is heard")


async def test_everybody_who_listens_hears() -> None:
    loop = asyncio.get_running_loop()
    first: list[signal.Signals] = []
    second: list[signal.Signals] = []
    listen(loop, SIGNAL, first.append)
    listen(loop, SIGNAL, second.append)
    try:
        await heard(first, second)
    finally:
        forget(loop, SIGNAL, first.append)
        forget(loop, SIGNAL, second.append)
    assert first == second == [SIGNAL]


async def test_who_forgets_hears_no_more_and_the_others_still_do() -> None:
    loop = asyncio.get_running_loop()
    first: list[signal.Signals] = []
    second: list[signal.Signals] = []
    listen(loop, SIGNAL, first.append)
    listen(loop, SIGNAL, second.append)
    forget(loop, SIGNAL, first.append)
    try:
        await heard(second)
    finally:
        forget(loop, SIGNAL, second.append)
    assert (first, second) == ([], [SIGNAL])


async def test_with_the_last_listener_gone_the_loop_keeps_no_handler() -> None:
    loop = asyncio.get_running_loop()
    log: list[signal.Signals] = []
    listen(loop, SIGNAL, log.append)
    forget(loop, SIGNAL, log.append)
    assert not loop.remove_signal_handler(SIGNAL), "there was none left to remove"


async def test_to_forget_what_never_listened_is_nothing() -> None:
    forget(asyncio.get_running_loop(), SIGNAL, print)


def test_a_closed_loop_can_still_be_forgotten() -> None:
    loop = asyncio.new_event_loop()
    listen(loop, SIGNAL, print)
    loop.close()
    forget(loop, SIGNAL, print)


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_forked_process_ends_by_its_signals_and_its_parent_does_not_hear_them(
    make: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    told: list[signal.Signals] = []

    async def main() -> None:
        with hearing(told.append):
            assert await asyncio.to_thread(end_fork) == -signal.SIGTERM
            assert end_fork() == -signal.SIGTERM
            await asyncio.sleep(0.05)  # a signal that the parent heard would be told by now
            assert told == []
            os.kill(os.getpid(), signal.SIGTERM)
            await until(lambda: told == [signal.SIGTERM])

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())


@pytest.mark.parametrize(
    ("first", "second", "since", "passed_on", "same"),
    [
        (signal.SIGHUP, signal.SIGHUP, 0.2, False, True),
        (signal.SIGHUP, signal.SIGTERM, 0.2, False, True),
        (signal.SIGTERM, signal.SIGHUP, 0.2, False, True),
        (signal.SIGTERM, signal.SIGTERM, 0.2, False, False),
        (signal.SIGINT, signal.SIGINT, 0.2, True, True),
        (signal.SIGHUP, signal.SIGHUP, 1.2, False, False),
        (signal.SIGINT, signal.SIGINT, 1.2, True, False),
    ],
)
def test_a_signal_that_a_terminal_or_a_parent_repeats_at_once_counts_once(
    first: signal.Signals, second: signal.Signals, since: float, passed_on: bool, same: bool
) -> None:
    assert is_echo(second, first, since, passed_on=passed_on) is same


def test_a_signal_that_was_ignored_from_the_start_stops_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert to_stop() == (signal.SIGTERM, signal.SIGINT)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert signal.SIGHUP in to_stop()
