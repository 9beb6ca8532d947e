"""Files by reference, attachments of mail, and the nightly clean-up: what is reached, and what is left alone."""

import os
import time
from pathlib import Path

import pytest

from jobs.samples import attachments
from jobs.samples import tidy as tidying
from jobs.samples.attachments import AttachmentRefused, collected
from jobs.samples.email import email
from jobs.samples.mailer import File
from jobs.samples.media import MediaMissing, MediaNotConfigured, exists, folder, path_of, read, written
from jobs.samples.tidy import Tidied, tidy
from rota import Cancel, FetchFailed, FetchRefused, InvalidPayload, Run
from rota.client.webhooks import fetch as fetching
from rota.model.webhooks.destinations import Allowed
from rota.testing import Bench
from tests.receivers import Receiver

OLD = 40 * 86_400


@pytest.fixture(autouse=True)
def media(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Name a folder for files, and return it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDIA_DIR", str(tmp_path / "media"))
    monkeypatch.delenv("APP_ENV", raising=False)
    return tmp_path / "media"


def write(path: Path, text: str = "x", *, age: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    at = time.time() - age
    os.utime(path, (at, at))
    os.utime(path.parent, (at, at))
    return path


# Files


def test_the_folder_is_that_of_the_variable_also_from_the_file_for_development(
    monkeypatch: pytest.MonkeyPatch, media: Path
) -> None:
    assert folder() == media
    for nothing in ("", " "):
        monkeypatch.setenv("MEDIA_DIR", nothing)
        assert folder() == Path(".rota/media")
    monkeypatch.delenv("MEDIA_DIR")
    assert folder() == Path(".rota/media")
    Path(".env").write_text("MEDIA_DIR=/srv/media\n")
    assert folder() == Path("/srv/media")
    monkeypatch.setenv("APP_ENV", "production")
    with pytest.raises(MediaNotConfigured, match="MEDIA_DIR is not set"):
        folder()


def test_a_file_is_there_when_it_is_whole_and_not_before(media: Path) -> None:
    broken = written("films/1/a.png")
    broken.__enter__().write_bytes(b"half")
    assert not exists("films/1/a.png")
    assert not broken.__exit__(RuntimeError, RuntimeError(), None)
    assert list(media.rglob("*.png")) == []
    with written("films/1/a.png") as path:
        path.write_bytes(b"whole")
    assert read("films/1/a.png", 100) == b"whole"
    assert [path.name for path in (media / "films" / "1").iterdir()] == ["a.png"]


def test_no_link_leads_out_of_the_folder(media: Path, tmp_path: Path) -> None:
    write(tmp_path / "secret")
    media.mkdir()
    (media / "a").symlink_to(tmp_path / "secret")
    for key in ("a", "../secret"):
        with pytest.raises(MediaMissing, match="is not in the folder"):
            path_of(key)


# Attachments


@pytest.mark.parametrize(
    "reference", ["../secret", "/etc/passwd", "a/../b", ".env", "a//b", "ftp://a.org", "a b", ""]
)
def test_what_is_no_reference_is_refused_at_the_enqueue(reference: str) -> None:
    with pytest.raises(InvalidPayload, match="attachments"):
        email.call("ann@example.org", "Hello", "Hello", attachments=[reference])


def test_a_mail_has_ten_attachments_at_most() -> None:
    with pytest.raises(InvalidPayload, match="attachments"):
        email.call("ann@example.org", "Hello", "Hello", attachments=["a"] * 11)


async def test_attachments_are_fetched_by_key_and_by_url(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_of_settings", lambda: Allowed.parse("127.0.0.1"))
    write(media / "reports" / "week.csv", "1,2")
    async with Receiver(["200"], body=b"%PDF") as receiver:
        url = f"http://127.0.0.1:{receiver.port}/bills/7%2F.pdf?signed=1"
        files = await collected(["reports/week.csv", url])
    assert files == (File("week.csv", b"1,2"), File(".pdf", b"%PDF"))


async def test_an_attachment_that_is_not_there_is_told_from_one_that_may_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(MediaMissing, match=r"week\.csv cannot be read: No such file"):
        await collected(["reports/week.csv"])
    monkeypatch.setattr(fetching, "_of_settings", lambda: Allowed.parse("127.0.0.1"))
    async with Receiver(["404", "503"]) as receiver:
        with pytest.raises(AttachmentRefused, match="answers 404"):
            await collected([receiver.url])
        with pytest.raises(FetchFailed, match="answers 503"):
            await collected([receiver.url])
    monkeypatch.setattr(fetching, "_of_settings", lambda: Allowed.parse("example.org"))
    with pytest.raises(FetchRefused):
        await collected(["https://127.0.0.1/inner"])
    assert {MediaMissing, AttachmentRefused, FetchRefused} < set(email.give_up_on)


async def test_all_attachments_of_a_mail_have_a_limit_together(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "MOST", 10)
    write(media / "a", "12345")
    assert len(await collected(["a", "a"])) == 2
    write(media / "b", "6" * 1_000_000)
    for references in (["a", "a", "a"], ["b"]):
        with pytest.raises(AttachmentRefused, match="more than 10 bytes together"):
            await collected(references)


# The clean-up


def clean(days: int = 30) -> Tidied:
    done: Tidied = tidy(Run(id="1", job="tidy", queue="media"), days=days)
    return done


def test_old_files_of_the_samples_are_deleted_and_nothing_else(media: Path, tmp_path: Path) -> None:
    others = write(tmp_path / "others" / "old", age=OLD)
    old = write(media / "films" / "1" / "a.png", "12345", age=OLD)
    kept = [
        *(write(media / "films" / "2" / "a.png"), write(media / "mine" / "old", age=OLD)),
        *(write(media / "old", age=OLD), others),
    ]
    (media / "films" / "link").symlink_to(others)
    (media / "films" / "folder").symlink_to(others.parent)
    assert clean() == Tidied(1, 5, more=False)
    assert not old.exists()
    assert all(path.exists() for path in kept)
    assert (media / "films" / "link").is_symlink()
    assert clean() == Tidied(0, 0, more=False)


def test_folders_that_have_been_empty_for_as_long_go_too(media: Path) -> None:
    (old := write(media / "films" / "1" / "a.png", age=OLD)).unlink()
    os.utime(old.parent, (time.time() - OLD,) * 2)
    (new := write(media / "films" / "2" / "a.png")).unlink()
    clean()
    assert not old.parent.exists()
    assert new.parent.exists()


def test_a_night_has_a_portion_and_the_next_goes_on(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidying, "MOST", 2)
    for number in range(3):
        write(media / "reports" / f"{number}.csv", age=OLD)
    assert clean() == Tidied(2, 2, more=True)
    assert clean() == Tidied(1, 1, more=False)


def test_without_a_folder_there_is_nothing_to_tidy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clean() == Tidied(0, 0, more=False)
    monkeypatch.delenv("MEDIA_DIR")
    monkeypatch.setenv("APP_ENV", "production")
    with pytest.raises(Cancel, match="MEDIA_DIR is not set"):
        clean()


async def test_it_runs_each_night(media: Path) -> None:
    from datetime import timedelta

    write(media / "reports" / "old.csv", age=OLD)
    with Bench([tidy]) as bench:
        await bench.drain(until=bench.now + timedelta(days=3), schedules=True)
        assert [found.files for found in bench.results(tidy)] == [1, 0, 0]
