"""What a worker process opens: the lifespan of the user's jobs, which may fail."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any

import pytest

from rota.app.resources import lifespan
from rota.errors import LifespanFailed
from rota.model.registry import Registry


def registry(own: Callable[[], AbstractAsyncContextManager[Any]] | None) -> Registry:
    return Registry((), "default", own, MappingProxyType({}))


@contextlib.asynccontextmanager
async def fails_at_the_start() -> AsyncIterator[None]:
    raise OSError("no database")
    yield


@contextlib.asynccontextmanager
async def fails_at_the_end() -> AsyncIterator[str]:
    yield "deps"
    raise OSError("not closed")


async def test_what_it_yields_is_what_handlers_get() -> None:
    async with lifespan(registry(None)) as nothing:
        assert nothing is None
    own = contextlib.nullcontext("deps")
    async with lifespan(registry(lambda: own)) as deps:
        assert deps == "deps"


async def test_one_that_raises_at_the_start_is_one_sentence_with_the_place() -> None:
    with pytest.raises(
        LifespanFailed, match=r"to start: OSError at .*test_resources\.py:\d+: no database"
    ) as failed:
        async with lifespan(registry(fails_at_the_start)):
            raise AssertionError("not reached")
    assert isinstance(failed.value.__cause__, OSError)


async def test_one_that_raises_at_the_end_too() -> None:
    with pytest.raises(LifespanFailed, match=r"to end: OSError at .*: not closed"):
        async with lifespan(registry(fails_at_the_end)):
            pass


async def test_what_the_process_raises_meanwhile_is_not_the_lifespan_s() -> None:
    with pytest.raises(ZeroDivisionError):
        async with lifespan(registry(contextlib.nullcontext)):
            1 / 0  # noqa: B018


async def test_one_that_is_no_context_manager_is_refused() -> None:
    with pytest.raises(LifespanFailed, match="decorate it with asynccontextmanager"):
        async with lifespan(registry(lambda: 5)):  # type: ignore[arg-type, return-value]
            raise AssertionError("not reached")
