"""The pytest fixtures: `bench`, and three that a conftest.py or a test module overrides to say what it is made of."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rota.testing.workbench import LIFESPAN, Bench


@pytest.fixture
def bench_jobs() -> Any:
    """Return the jobs that a bench runs: a list, or a package's name. None means the package of the settings."""
    return None


@pytest.fixture
def bench_deps() -> Any:
    """Return what handlers get as `run.deps`; by default, what the package's lifespan yields."""
    return LIFESPAN


@pytest.fixture
def bench_settings() -> Mapping[str, Any]:
    """Return the settings that differ from the defaults, by name: {"max_attempts": 2}. The environment is not read."""
    return {}


@pytest.fixture
def bench(bench_jobs: Any, bench_deps: Any, bench_settings: Any) -> Iterator[Bench]:
    """Yield a bench of its own for each test: queues on a fake server, and a clock that jumps."""
    with Bench(bench_jobs, deps=bench_deps, settings=bench_settings) as bench:
        yield bench
