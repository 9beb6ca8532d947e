"""The systems of the comparison: where each runs, with what settings, and how fast it is about."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers import environments
from benchmarks.peers.environments import Environment

ADAPTERS = Path(__file__).parent / "adapters"
OURS, FLOOR = "rota", "floor"


@dataclass(frozen=True)
class Peer:
    """One system.

    `speed` and `nap_speed` are its no-op and its 5 ms jobs a second, about: a round of each takes as long. `packages`
    are those whose versions are told. `at_ten`: whether it has a concurrency to set.
    """

    key: str
    title: str
    adapter: str
    environment: Environment
    speed: int
    nap_speed: int
    packages: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    at_ten: bool = True

    def worker(self, concurrency: int) -> list[str]:
        """Return the command of a worker that runs `concurrency` jobs at once."""
        if self.adapter == "own":
            return [sys.executable, "-m", "rota", "worker"]
        return [*self._adapter(), "worker", str(concurrency)]

    def client(self) -> list[str]:
        """Return the command of a process that enqueues."""
        return [*self._adapter(), "client"]

    def variables(self, concurrency: int) -> dict[str, str]:
        """Return what the environment of its processes has beside what all have."""
        return {**self.env, **self.environment.env(), "QUEUE_CONCURRENCY": str(concurrency)}

    def _adapter(self) -> list[str]:
        program = self.environment.program()
        if self.adapter.endswith(".mjs"):
            return [program, str(ADAPTERS / self.adapter)]
        return [program, "-m", f"benchmarks.peers.adapters.{self.adapter}"]


def _own() -> Peer:
    env = {"JOBS_PACKAGE": "benchmarks.jobs", "LOG_LEVEL": "warning"}
    packages = ("rota", "redis", "hiredis", "pydantic", "uvloop")
    return Peer(OURS, "rota", "own", environments.Own(), 40_000, 14_000, packages, env)


def _python(
    key: str,
    title: str,
    adapter: str,
    speeds: tuple[int, int],
    packages: str,
    *,
    kind: str = "",
    at_ten: bool = True,
) -> Peer:
    """Make a system whose adapter and environment have the same name."""
    environment, env = environments.Python(adapter), {"BENCH_KIND": kind}
    return Peer(key, title, adapter, environment, *speeds, tuple(packages.split()), env, at_ten)


_TASKIQ = "taskiq taskiq-redis redis hiredis uvloop"
_CELERY = "celery redis hiredis"
_FLOOR = "redis hiredis uvloop"
_NODE = Peer(
    "bullmq", "BullMQ, Node", "bullmq.mjs", environments.Node(), 26_000, 13_000, ("bullmq", "ioredis")
)

PEERS = (
    _own(),
    _python("arq", "arq, defaults", "arq", (200, 40), "arq redis", kind="defaults", at_ten=False),
    _python("arq-tuned", "arq, tuned", "arq", (2_400, 2_000), "arq redis hiredis", kind="tuned"),
    _NODE,
    _python("bullmq-python", "BullMQ, Python", "bullmq", (1_900, 1_900), "bullmq redis hiredis"),
    _python("saq", "SAQ", "saq", (1_600, 1_500), "saq redis hiredis"),
    _python("streaq", "streaq", "streaq", (1_100, 1_000), "streaq coredis"),
    _python("taskiq-list", "taskiq, list", "taskiq", (1_700, 1_700), _TASKIQ, kind="list"),
    _python("taskiq-stream", "taskiq, stream", "taskiq", (1_600, 1_600), _TASKIQ, kind="stream"),
    _python("dramatiq", "dramatiq", "dramatiq", (5_500, 3_500), "dramatiq redis hiredis"),
    _python("huey", "huey", "huey", (2_600, 2_000), "huey redis hiredis"),
    _python("celery", "celery, 2 processes", "celery", (800, 300), _CELERY, kind="prefork", at_ten=False),
    _python("celery-threads", "celery, threads", "celery", (800, 700), _CELERY, kind="threads"),
    _python("rq", "RQ", "rq", (300, 130), "rq redis hiredis", at_ten=False),
    _python(FLOOR, "floor, redis-py", "floor", (90_000, 15_000), _FLOOR, kind="redis-py"),
    _python("floor-protocol", "floor, hiredis", "floor", (100_000, 15_000), _FLOOR, kind="protocol"),
)
