"""The test kit: a job's handler run alone, a queue worked off on a clock that jumps, what was enqueued to look at.

With pytest, a conftest.py that says `pytest_plugins = ["rota.testing"]` has the fixture `bench`; without, use
`with Bench(...) as bench`. The scripts, the client, the registry and the runner are the real ones.

PYTEST_DONT_REWRITE: nothing in here uses a bare assert, and a test may import it before pytest does.
"""

from importlib.util import find_spec

for _needed in ("fakeredis", "lupa", "pytest"):
    if find_spec(_needed) is None:
        raise ImportError(f"rota.testing needs {_needed}; install the extra: rota[testing]")

from rota.testing.enqueued import Enqueued, clear, recorded  # noqa: E402 - after the check
from rota.testing.fixtures import bench, bench_deps, bench_jobs, bench_settings  # noqa: E402
from rota.testing.workbench import Bench  # noqa: E402

__all__ = ["Bench", "Enqueued", "bench", "bench_deps", "bench_jobs", "bench_settings", "clear", "recorded"]
