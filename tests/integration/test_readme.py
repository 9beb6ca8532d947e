"""The README's Python is run: its job by a worker, its clients by a program beside it."""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

from tests.integration.project import Project
from tests.servers import RedisServer

BLOCKS = re.findall(
    r"(?ms)^```python\n(.*?)^```$", (Path(__file__).parents[2] / "README.md").read_text("utf-8")
)


def program(block: str) -> str:
    """Make a program of a block that awaits at its top level."""
    imports = [line for line in block.splitlines() if line.startswith(("from ", "import "))]
    body = "\n".join(line for line in block.splitlines() if line not in imports)
    return (
        "\n".join(imports)
        + f"\nimport asyncio\nasync def main():\n{indent(body, '    ')}\nasyncio.run(main())\n"
    )


def test_the_job_is_worked_off_however_it_was_enqueued(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], server: RedisServer
) -> None:
    jobs, client, stock = BLOCKS
    assert "# src/jobs/greetings.py" in jobs
    project = Project(tmp_path, capfd, server.url)
    project.write("jobs/__init__.py", '"""The jobs."""\n')
    project.write("jobs/greetings.py", jobs)
    project.write("client.py", program(client))
    # An application has arq's settings already.
    settings = (
        f"from arq.connections import RedisSettings\nsettings = RedisSettings.from_dsn({server.url!r})\n"
    )
    project.write("stock.py", settings + program(stock))
    worker = project.process("worker", METRICS_PORT="off")
    try:
        ran = [
            subprocess.run(
                [sys.executable, file],
                cwd=tmp_path,
                env=project.environment(),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            for file in ("client.py", "stock.py")
        ]
        assert [(one.returncode, one.stdout) for one in ran] == [(0, "Hello, Ann\n"), (0, "")], ran
        waited = project.rota("enqueue", "greet", '{"name": "Ann"}', "--wait", "10")
        assert waited.out.splitlines()[-1] == '"Hello, Ann"'
        listed = project.rota("jobs", "email", "--state", "delayed")
        assert "ann" in listed.out
    finally:
        worker.terminate()
        _, log = worker.communicate(timeout=30)
    # Its own, the stock client's and the command's; the fourth is due in a minute.
    assert log.count("job.completed") == 3, log
