"""What the benches of these tests are made of."""

from typing import Any

import pytest

from tests.unit.testing.jobs import JOBS, Deps


@pytest.fixture
def bench_jobs() -> Any:
    return JOBS


@pytest.fixture
def bench_deps() -> Deps:
    return Deps([])
