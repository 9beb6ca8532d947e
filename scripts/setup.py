"""Make this checkout ready to run: a virtual environment with the locked requirements and the engine in it.

It needs nothing but Python's standard library. Run again, it finishes what an interrupted run has left.
"""

import fcntl
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".rota-setup"
MISSING_VENV = (
    f"{sys.executable} has no module '{{}}': install it (Debian, Ubuntu: apt install python3-venv), "
    "or name another Python: make PYTHON=/path/to/python3"
)
MISSING_PIP = (
    f"{VENV} has no pip and {sys.executable} cannot put one there: install it "
    "(Debian, Ubuntu: apt install python3-venv python3-pip), or remove .venv and name another Python: "
    "make PYTHON=/path/to/python3"
)


def say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def works(*arguments: str) -> bool:
    """Tell whether the environment's Python runs this without an error."""
    try:
        return subprocess.run([PYTHON, *arguments], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def make_environment() -> None:
    """Make a virtual environment with pip, unless there is one that works."""
    if not works("-c", "import sys; sys.exit(sys.version_info < (3, 11))"):
        for module in ("venv", "ensurepip"):
            if importlib.util.find_spec(module) is None:
                sys.exit(MISSING_VENV.format(module))
        import venv  # noqa: PLC0415 - only here is it known to be there

        venv.create(VENV, clear=True, symlinks=True)
    if not works("-m", "pip", "--version") and not works("-m", "ensurepip"):
        sys.exit(MISSING_PIP)


def install(*arguments: str) -> None:
    """Let pip install, silently unless it fails."""
    quiet = ("-qq", "--disable-pip-version-check", "--no-input")
    if subprocess.run([PYTHON, "-m", "pip", "install", *quiet, *arguments], cwd=ROOT, check=False).returncode:
        sys.exit(f"pip could not install {arguments[-1]}; what it said is above")


def main() -> None:
    # Two targets that are made at the same time wait for each other, until this process ends and closes the file.
    fcntl.flock(os.open(__file__, os.O_RDONLY), fcntl.LOCK_EX)
    say("setting up .venv (about a minute, once) …")
    STAMP.unlink(missing_ok=True)
    make_environment()
    install("--require-hashes", "-r", "requirements/dev.txt")
    install("--no-deps", "--no-build-isolation", "-r", "requirements/engine.txt")
    STAMP.touch()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; `make setup` goes on from here")
