"""The pytest fixtures: `bench`, and three to override in a conftest.py or a test module that say what it is made of."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rota.testing.workbench import LIFESPAN, Bench


@pytest.fixture
def bench_jobs() -> Any:
    """The jobs that a bench runs: a list of them, or a package's name. None means the package of the settings."""
    return None


@pytest.fixture
def bench_deps() -> Any:
    """What handlers get as `run.deps`. By default what the package's lifespan yields."""
    return LIFESPAN


@pytest.fixture
def bench_settings() -> Mapping[str, Any]:
    """Settings that differ from their defaults, by name: {"max_attempts": 2}. The environment is not read."""
    return {}


@pytest.fixture
def bench(bench_jobs: Any, bench_deps: Any, bench_settings: Any) -> Iterator[Bench]:
    """A bench of its own for each test: queues on a fake server, and a clock that jumps."""
    with Bench(bench_jobs, deps=bench_deps, settings=bench_settings) as bench:
        yield bench
