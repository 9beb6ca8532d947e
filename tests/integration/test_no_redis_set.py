"""Where no Redis is set, a server is started for the project: who enqueues there is told that no worker is."""

import warnings
from pathlib import Path

import pytest

from rota import connect
from rota.settings.load import load
from tests.integration.project import Project


@pytest.mark.parametrize(
    "command",
    [
        ("enqueue", "greet", '{"name": "ann"}'),
        ("queues",),
        ("desired", "--over", "0"),
        ("redis-cli", "ping"),
    ],
)
def test_a_command_says_that_a_server_was_started_and_where(
    command: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = Project(tmp_path, capsys)
    ran = project.rota(*command)
    assert ran.status == 0
    assert "REDIS_URL" not in ran.out
    (line,) = ran.err.splitlines()
    assert line.startswith("rota: warning: REDIS_URL is not set, so a server was started in ")
    assert f"{tmp_path}/.rota, and no worker is there" in line


async def test_an_application_is_warned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=f"started in {tmp_path}/.rota, and no worker is there") as caught:
        client = await connect(load({}))
    assert caught[0].filename == __file__
    async with client:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with await connect(load({})) as other:
                assert await other.counts("default")
