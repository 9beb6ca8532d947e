"""Signals: several workers hear one, and each may stop hearing without making the others deaf."""

import asyncio
import os
import signal

import pytest

from rota.process.signals import forget, listen
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
