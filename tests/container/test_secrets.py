"""The folder `secrets` beside the compose file: its files are in the containers, and nowhere else."""

import json
import os
import shutil

import pytest

from tests.container.engine import CommandFailed
from tests.container.stack import Stack

VALUE = "pa$$word with a canary"
#: Reads a secret as the code of a job may.
READS = "import pathlib; print(pathlib.Path('/run/secrets/SMTP_PASSWORD').read_text().rstrip(), end='')"


@pytest.fixture(scope="module")
def handed(stack: Stack) -> Stack:
    """Return the stack with two secrets that only their owner may read on the host, another user than root."""
    folder = stack.folder / "secrets"
    folder.mkdir(exist_ok=True)
    for name, value in (("SMTP_PASSWORD", VALUE), ("SENTRY_DSN", "http://canary@localhost:9/1")):
        path = folder / name
        path.write_text(f"{value}\n")
        path.chmod(0o600)
        os.chown(path, 1000, 1000)
    folder.chmod(0o700)
    os.chown(folder, 1000, 1000)
    stack.up(1)
    return stack


def test_a_job_reads_a_secret_that_only_its_owner_may_read_on_the_host(handed: Stack) -> None:
    command = ("exec", "-T", "worker", "python", "-c", READS)
    assert handed.compose(*command) == VALUE


def test_doctor_says_where_secrets_are_from_and_no_value(handed: Stack) -> None:
    said = json.loads(handed.compose("exec", "-T", "worker", "rota", "doctor", "--json"))
    about = {finding["said"] for finding in said if finding["about"] == "secrets"}
    assert {"SENTRY_DSN is from: secrets", "for the jobs: SMTP_PASSWORD"} <= about
    assert "canary" not in json.dumps(said)


def test_a_secret_is_in_nothing_that_the_engine_shows(handed: Stack) -> None:
    shown = [handed.compose("config"), handed.compose("logs", "--no-color")]
    containers = handed.compose("ps", "--all", "--quiet", "--no-trunc").split()
    assert len(containers) >= 4
    shown += [json.dumps(handed.inspect(one)) for one in containers]
    assert not any("canary" in text for text in shown)
    with pytest.raises(CommandFailed):
        handed.compose("exec", "-T", "worker", "sh", "-c", "echo guessed > /run/secrets/SMTP_PASSWORD")


def test_what_hands_them_over_may_read_all_and_nothing_else(handed: Stack) -> None:
    (container,) = handed.ids("secrets", stopped=True)
    host = handed.inspect(container)["HostConfig"]
    assert (host["CapDrop"], host["NetworkMode"], host["ReadonlyRootfs"]) == (["ALL"], "none", True)
    assert [name.removeprefix("CAP_") for name in host["CapAdd"]] == ["DAC_READ_SEARCH"]
    mounts = handed.inspect(container)["Mounts"]
    assert [one["RW"] for one in mounts if one["Type"] == "bind"] == [False]


def test_a_changed_secret_arrives_by_up_and_one_that_is_gone_is_gone(handed: Stack) -> None:
    worker = handed.ids("worker")
    (handed.folder / "secrets" / "SMTP_PASSWORD").write_text("another\n")
    (handed.folder / "secrets" / "SENTRY_DSN").unlink()
    (handed.folder / "secrets" / "a-folder").mkdir()
    with pytest.raises(CommandFailed):
        handed.up(1)
    assert "secrets/a-folder is no file here" in handed.compose("logs", "secrets")
    (handed.folder / "secrets" / "a-folder").rmdir()
    handed.up(1)
    read = handed.compose("exec", "-T", "worker", "sh", "-c", "cd /run/secrets && head *")
    assert read == "another"
    assert handed.ids("worker") == worker


def test_without_the_folder_there_are_none_and_none_is_made(handed: Stack) -> None:
    shutil.rmtree(handed.folder / "secrets")
    handed.up(1)
    assert handed.compose("exec", "-T", "worker", "ls", "/run/secrets") == ""
    assert not (handed.folder / "secrets").exists()
