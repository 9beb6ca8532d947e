"""What a host's systemd is given: the autoscaler, and patience with the engine."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SYSTEMD = ROOT / "deploy" / "systemd"
UNIT = (SYSTEMD / "rota-autoscaler.service").read_text("utf-8")
#: Where the command by which the autoscaler starts and stops workers is written.
COMMANDS = {
    "deploy/systemd/rota-autoscaler.service": r'^Environment="AUTOSCALER_COMMAND=(.*)"$',
    "docs/scaling.md": r'^ {4}AUTOSCALER_COMMAND="(.*)"$',
    ".env.example": r"^# AUTOSCALER_COMMAND=(.*)$",
}
verifier = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not on PATH (Debian: apt-get install systemd)",
)


def command_in(name: str) -> str:
    (command,) = re.findall(COMMANDS[name], (ROOT / name).read_text("utf-8"), re.MULTILINE)
    return str(command).replace("--file", "-f").replace("--detach", "-d")


def complaints(unit: Path) -> str:
    """Return what systemd says of a unit, and of what is dropped in beside it."""
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    # A line of this machine's own units is none about ours.
    return "\n".join(line for line in ran.stderr.splitlines() if unit.name in line)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_autoscaler_has_one_command_wherever_it_is_written(name: str) -> None:
    assert command_in(name) == command_in(".env.example")
    # With it, Compose would make containers of another configuration than `up` does, which then replaces them.
    assert "--no-deps" not in command_in(name)


def test_the_autoscaler_asks_the_exporter_where_the_compose_file_puts_it() -> None:
    compose = (ROOT / "docker-compose.prod.worker.yml").read_text("utf-8")
    (port,) = re.findall(r"\$\{EXPORTER_PORT:-(\d+)\}", compose)
    assert f"Environment=AUTOSCALER_URL=http://127.0.0.1:{port}\n" in UNIT


@verifier
def test_systemd_takes_the_unit_of_the_autoscaler_as_it_is(tmp_path: Path) -> None:
    here = UNIT.replace("/opt/rota/.venv/bin/python", sys.executable).replace("/opt/rota", str(tmp_path))
    unit = tmp_path / "rota-autoscaler.service"
    unit.write_text(here)
    assert complaints(unit) == ""
    unit.write_text(here.replace("Restart=always", "Restart=allways"))
    assert "allways" in complaints(unit)


@verifier
def test_systemd_takes_the_patience_with_the_engine(tmp_path: Path) -> None:
    unit = tmp_path / "docker.service"
    unit.write_text(f"[Service]\nExecStart={sys.executable}\n")
    shutil.copytree(SYSTEMD / "docker.service.d", tmp_path / "docker.service.d")
    assert complaints(unit) == ""
    dropped = tmp_path / "docker.service.d" / "patience.conf"
    dropped.write_text(dropped.read_text().replace("TimeoutStopSec=", "TimeoutStopSecs="))
    assert "TimeoutStopSecs" in complaints(unit)
