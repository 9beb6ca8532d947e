"""`make deploy`, as far as it needs no engine: what it calls a release, tells a build, counts and writes down."""

import os
import subprocess
from pathlib import Path

import pytest

from deploy.release.building import options, revision_of
from deploy.release.engine import Container, Failed, Service
from deploy.release.environment import read, write
from deploy.release.rollout import wanted


def git(folder: Path, *words: str) -> str:
    who = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    ran = subprocess.run(
        ["git", *words], cwd=folder, env=os.environ | who, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_a_release_is_called_by_its_commit_and_one_with_changes_by_the_time_too(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    clean = revision_of(tmp_path)
    assert (clean.commit, clean.tag) == (commit, commit[:12])
    (tmp_path / "file").write_text("two")
    changed = revision_of(tmp_path)
    assert changed.commit == commit
    assert changed.tag.startswith(f"{commit[:12]}-")
    git(tmp_path, "checkout", "--quiet", "file")
    git(tmp_path, "tag", "team/v1.4")
    # As a tag of an image may be.
    assert revision_of(tmp_path).tag == "team-v1.4"


def test_a_release_without_git_is_called_by_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = revision_of(tmp_path)
    assert found.commit == "unknown"
    assert found.tag[0].isdigit()


def test_a_build_is_told_what_pip_is_told_here() -> None:
    told = {
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "PIP_CONFIG_FILE": "/etc/team/pip.conf",
        "PIP_CERT": "/etc/team/ca.pem",
        "OTHER": "x",
    }
    assert list(options(told)) == [
        *("--build-arg", "PIP_INDEX_URL=https://mirror.example/simple"),
        *("--secret", "id=pip.conf,src=/etc/team/pip.conf"),
        *("--secret", "id=ca.pem,src=/etc/team/ca.pem"),
    ]
    assert list(options({})) == []
    offline = list(options({"WHEELHOUSE": "wheels"}))
    assert offline == ["--build-context", "wheelhouse=wheels", "--network", "none"]


def test_a_password_in_the_address_of_an_index_is_refused_and_not_repeated() -> None:
    with pytest.raises(Failed, match="PIP_CONFIG_FILE") as caught:
        list(options({"PIP_INDEX_URL": "https://team:canary@mirror.example/simple"}))
    assert "canary" not in str(caught.value)


def test_what_runs_is_written_down_in_place_and_all_else_stays(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# TAG=old\nTAG=old\nWORKERS=5\nSMTP_PASSWORD='a=b'")
    file.chmod(0o640)
    write(tmp_path, {"TAG": "new", "IMAGE": "registry.example/worker"})
    lines = file.read_text().splitlines()
    assert lines == [
        *("# TAG=old", "TAG=new", "WORKERS=5", "SMTP_PASSWORD='a=b'", "IMAGE=registry.example/worker")
    ]
    assert file.stat().st_mode & 0o777 == 0o640
    assert (read(tmp_path)["TAG"], read(tmp_path)["SMTP_PASSWORD"]) == ("new", "a=b")
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_the_first_release_makes_the_file(tmp_path: Path) -> None:
    assert read(tmp_path) == {}
    write(tmp_path, {"TAG": "new"})
    assert (tmp_path / ".env").read_text() == "TAG=new\n"


def containers(image: str, count: int, *, run: bool = True) -> list[Container]:
    return [Container(f"{image}{number}", "worker", image, run, "healthy", 0) for number in range(count)]


@pytest.mark.parametrize(
    ("old", "stated", "expected"),
    [
        ([], 3, 3),
        # Scaled by hand or by the autoscaler.
        (containers("a", 5), 1, 5),
        # `.env` says more than ran.
        (containers("a", 2), 4, 4),
        # A deploy that was killed has left containers, which are not counted as well.
        (containers("a", 3) + containers("b", 3), 1, 3),
        (containers("a", 3) + containers("b", 8, run=False), 1, 3),
    ],
)
def test_there_are_as_many_of_a_release_as_of_the_one_before(
    old: list[Container], stated: int, expected: int
) -> None:
    service = Service("worker", "image", stated)
    assert wanted(service, old) == expected
