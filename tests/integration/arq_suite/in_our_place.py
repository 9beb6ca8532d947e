"""The plugin under which arq's own tests run: `QueueWorker` in `Worker`'s place, and a server of ours in a container's.

It imports nothing of our tests: here `tests` are arq's.
"""

import asyncio
import os
import sys
import types

import arq
import arq.worker
import pytest

from rota.worker.worker import QueueWorker

#: arq's tests that do not apply, each with its reason. One that passes after all fails the run, and so does one that
#: arq no longer has.
DO_NOT_APPLY = {
    "tests/test_worker.py::test_handle_sig": "puts mocks where arq keeps its tasks, and counts their cancellations",
    "tests/test_worker.py::test_handle_no_sig": "puts mocks where arq keeps its tasks, and counts their cancellations",
    "tests/test_worker.py::test_job_retry_race_condition": "calls start_jobs, a part of arq's loop that ours has not",
    "tests/test_worker.py::test_worker_crash[exception_thrown0]": "mocks redis-py's read_response, which ours is not",
    "tests/test_worker.py::test_worker_crash[exception_thrown1]": "mocks redis-py's read_response, which ours is not",
    "tests/test_worker.py::test_worker_retry[exception_thrown0]": "counts the calls of one turn of arq's loop",
    "tests/test_worker.py::test_worker_retry[exception_thrown1]": "counts the calls of one turn of arq's loop",
}

setattr(arq, "Worker", QueueWorker)  # noqa: B010 - a type is not to be assigned to
setattr(arq.worker, "Worker", QueueWorker)  # noqa: B010


class RedisContainer:
    """The part of testcontainers that arq's tests use."""

    port = 6379

    def __init__(self, image: str) -> None:
        self._port = int(os.environ["ARQ_SUITE_PORT"])

    def __enter__(self) -> "RedisContainer":
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the server: it is the test's."""

    def get_container_host_ip(self) -> str:
        return "127.0.0.1"

    def get_exposed_port(self, port: int) -> int:
        return self._port


for name in ("testcontainers", "testcontainers.redis"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__["RedisContainer"] = RedisContainer


@pytest.fixture
async def event_loop() -> asyncio.AbstractEventLoop:
    """Return the loop in which the test's fixtures run, as pytest-asyncio once did under this name."""
    return asyncio.get_running_loop()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Expect those tests to fail that do not apply."""
    found = {item.nodeid: item for item in items}
    gone = DO_NOT_APPLY.keys() - found.keys()
    if gone and not config.getoption("lf"):
        raise pytest.UsageError(f"arq has these tests no longer: {', '.join(sorted(gone))}")
    for nodeid in DO_NOT_APPLY.keys() & found.keys():
        found[nodeid].add_marker(pytest.mark.xfail(reason=DO_NOT_APPLY[nodeid], strict=True))
