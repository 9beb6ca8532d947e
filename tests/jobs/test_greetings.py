"""Tests of the first job: a handler is a function that a test calls, and a bench runs it as a worker would."""

import pytest

from jobs.greetings import greet
from rota import Cancel, Run
from rota.testing import Bench


async def test_it_greets() -> None:
    with Bench([greet]) as bench:
        await bench.client.enqueue(greet, name="Ann")
        await bench.drain()
        assert bench.results(greet) == ["Hello, Ann"]


async def test_nobody_is_not_greeted() -> None:
    with pytest.raises(Cancel):
        await greet(Run(id="1", job="greet", queue="email"), name="")
