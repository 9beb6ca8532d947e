"""arq's own tests pass with `QueueWorker` in `Worker`'s place, but for the few that read arq's inner workings.

They come from arq's source distribution, with the libraries that they need, all locked by hashes in
`requirements/arq-suite.txt`. Where the package registry cannot be reached, and the tests were never fetched, this is
skipped.
"""

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from arq.version import VERSION

from tests.processes import ENGINE, ROOT
from tests.servers import RedisServer

REQUIREMENTS = ROOT / "requirements" / "arq-suite.txt"
PLUGIN = Path(__file__).parent / "arq_suite"
#: How long the registry may take, in seconds.
PATIENCE = 60
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
timeout = 60
"""


@pytest.fixture
def suite(request: pytest.FixtureRequest) -> Path:
    """Return the folder with arq's tests, and what they need beside it; fetched once for each lock file."""
    lock = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    cache = getattr(request.config, "cache", None)
    home = cache.mkdir("arq-suite") if cache else Path(tempfile.mkdtemp(prefix="arq-suite"))
    folder = home / f"{lock}-{sys.version_info.major}.{sys.version_info.minor}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=home) as temporary:
            made = Path(temporary) / "suite"
            fetch(Path(temporary) / "fetched", made)
            with contextlib.suppress(OSError):  # another run was faster
                made.rename(folder)
    return Path(folder)


def fetch(into: Path, suite: Path) -> None:
    """Fetch what the lock file names, and unpack it to `suite`: arq's tests and the libraries beside them."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--no-binary", "arq", "--no-build-isolation", "--timeout", "10", "--retries", "1"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(into), "--requirement", str(REQUIREMENTS)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"the package registry did not give arq's tests within {PATIENCE} s")
    if "DO NOT MATCH THE HASHES" in done.stderr:
        pytest.fail(done.stderr)
    if done.returncode:
        pytest.skip(f"the package registry cannot be reached for arq's tests: {done.stderr.strip()[-300:]}")
    for wheel in into.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(suite / "site")
    (source,) = into.glob("arq-*.tar.gz")
    safe: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(source) as archive:
        archive.extractall(into, **safe)
    shutil.move(into / source.name.removesuffix(".tar.gz") / "tests", suite / "tests")
    (suite / "pytest.ini").write_text(SETTINGS)


@pytest.mark.timeout(400)
def test_arqs_own_tests_pass_on_our_worker(suite: Path, own_server: RedisServer, tmp_path: Path) -> None:
    done = run(suite, own_server, tmp_path)
    (passed,) = re.findall(r"(\d+) passed", done.stdout) or ("0",)
    assert int(passed) > 150, done.stdout[-12_000:] + done.stderr[-2_000:]
    for _ in range(2):
        # Some of arq's tests expect that a job has ended after a tenth of a second: a busy machine has more tries.
        if done.returncode:
            done = run(suite, own_server, tmp_path, "--last-failed")
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2_000:]


def run(suite: Path, server: RedisServer, results: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run arq's tests on our worker; what failed is remembered in `results`."""
    places = (ENGINE, PLUGIN, suite / "site")
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, places)),
        "ARQ_SUITE_PORT": str(server.port),
    }
    command = [sys.executable, "-m", "pytest", "-c", "pytest.ini", "--rootdir", ".", "-p", "in_our_place"]
    command += ["-o", f"cache_dir={results}", "-q", "--tb=short", "-W", "ignore", "-p", "no:schemathesis"]
    return subprocess.run(
        [*command, *options],
        cwd=suite,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_tests_are_of_the_arq_that_is_installed() -> None:
    assert f"\narq=={VERSION} " in REQUIREMENTS.read_text("utf-8")
