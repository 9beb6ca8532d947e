"""The Makefile, with a stand-in for the virtual environment."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
#: Stands for Python: says how it was called, and ends well when it is told to, as a worker does. Make complains of a
#: child that ends before make itself has met the signal. No worker is as quick as that, and neither is this.
PYTHON = f"""#!{sys.executable}
import os, signal, sys, time

def end(*_):
    while not os.path.exists("make-has-met-the-signal"):
        time.sleep(0.01)
    sys.exit(0)

signal.signal(signal.SIGINT, end)
print(sys.argv[1:], os.environ.get("MODE"), flush=True)
signal.pause()
"""


def has_a_signal_before_it(pid: int) -> bool:
    """Tell whether a process was sent a signal that it has not met yet; False where there is no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return any(
        int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd"))
    )


@pytest.mark.parametrize(
    ("target", "called"), [("worker", "['-m', 'rota'] worker"), ("dev", "['-m', 'rota', 'dev'] None")]
)
def test_ctrl_c_ends_it_without_a_complaint(tmp_path: Path, target: str, called: str) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make")
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    log = tmp_path / "log"
    with log.open("wb") as output:
        # `make test` tells the makes below it that they are, and they would say where they work.
        inherited = {"MODE", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
        environment = {name: value for name, value in os.environ.items() if name not in inherited}
        # The stand-in is not to be set up, whatever is newer.
        process = subprocess.Popen(
            [make, "-o", ".venv/.rota-setup", target],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    wait_until(lambda: called in log.read_text(), "it runs")
    # As a terminal does: to make, and to all that it has started.
    os.killpg(process.pid, signal.SIGINT)
    wait_until(lambda: not has_a_signal_before_it(process.pid), "make has met the signal")
    (tmp_path / "make-has-met-the-signal").touch()
    process.wait(10)
    assert log.read_text() == f"{called}\n"
