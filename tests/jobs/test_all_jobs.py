"""Tests of all your jobs together: a worker finds them, and what they say of queues and settings fits."""

import json
import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


def test_the_doctor_finds_nothing_wrong(tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "rota", "doctor", "--offline", "--json"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    found = {one["about"]: one for one in json.loads(asked.stdout)}
    assert {found[about]["level"] for about in ("jobs", "settings")} == {"ok"}, asked.stdout
