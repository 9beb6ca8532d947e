"""The command that scales: what is refused, how it is run, and how it ends."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from rota.fleet.command import command_of, run_command
from rota.settings.load import ConfigError, load
from tests.waiting import until


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "AUTOSCALER_COMMAND is not set"),
        ({"AUTOSCALER_COMMAND": "scale up"}, "has no {n}"),
        ({"AUTOSCALER_COMMAND": "scale '{n}"}, "cannot be taken apart"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(variables: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("{", r"\{")):
        command_of(load(variables))


def test_a_dry_run_needs_no_command() -> None:
    assert command_of(load({"AUTOSCALER_DRY_RUN": "true"})) == []


async def test_no_shell_sees_the_command(tmp_path: Path) -> None:
    target = tmp_path / "x"
    status, said = await run_command(["echo", f"$HOME; touch {target} > {target} `date`"], 10)
    assert (status, target.exists()) == (0, False)
    assert said.startswith("$HOME; touch")


async def test_a_command_that_is_not_there_is_said_so() -> None:
    status, said = await run_command(["/no/such/command"], 10)
    assert status == "not started"
    assert "/no/such/command" in said


async def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path / 'pid'}; echo begun; wait"
    began = time.monotonic()
    status, said = await run_command(["sh", "-c", script], 1.5)
    assert (status, said) == ("not in time", "begun")
    assert time.monotonic() - began < 30
    child = int((tmp_path / "pid").read_text())
    await until(lambda: _ended(child))


def _ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except OSError:
        return True


async def test_what_a_command_leaves_in_the_background_keeps_nobody_waiting(tmp_path: Path) -> None:
    script = "import subprocess; child = subprocess.Popen(['sleep', '60']); print(child.pid)"
    status, said = await run_command([sys.executable, "-c", script], 50)
    assert status == 0
    os.kill(int(said), signal.SIGKILL)  # it still runs
