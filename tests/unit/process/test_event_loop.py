"""The event loop of a busy process is uvloop's where that is installed, and asyncio's own elsewhere."""

import asyncio
import gc
import sys

import pytest
import uvloop

from rota.api.process import Api
from rota.process.event_loop import loop_factory
from rota.settings.settings import Settings
from tests.workers import registry_of


def test_without_uvloop_it_is_asyncio_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None


def test_the_api_runs_on_uvloop_and_seldom_collects_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    loops, thresholds = [], []

    async def serve(*_: object) -> None:
        loops.append(asyncio.get_running_loop())
        thresholds.append(gc.get_threshold())

    monkeypatch.setattr(Api, "serve", serve)
    before = gc.get_threshold()
    try:
        assert Api(Settings(), registry_of([])).run() == 0
    finally:
        gc.set_threshold(*before)
    assert isinstance(loops[0], uvloop.Loop)
    assert thresholds == [(10_000, *before[1:])]
