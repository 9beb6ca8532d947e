"""How a mail is made, and which mailer sends it; `test_in_a_worker.py` has real mail servers."""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest

from jobs.samples.mail_settings import MailSettings
from jobs.samples.mailer import (
    File,
    LogMailer,
    Mail,
    MailNotConfigured,
    NoMailer,
    SmtpMailer,
    compose,
    mailer_of,
    message_id,
)

AT = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
MAIL = Mail("ann@example.org", "Hello", "How are you?", key="1.2", at=AT)
WHOLE = replace(MAIL, html="<p>How are you?</p>", files=(File("a.csv", b"1,2\n"), File("x", b"\0\xff")))


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (MailSettings(APP_ENV="development"), LogMailer),
        (MailSettings(APP_ENV="test"), LogMailer),
        (MailSettings(APP_ENV="production"), NoMailer),
        (MailSettings(APP_ENV="production", host="mail", SMTP_FROM="shop@example.org"), SmtpMailer),
        (MailSettings(APP_ENV="development", host="mail", SMTP_FROM="shop@example.org"), SmtpMailer),
    ],
)
def test_the_settings_choose_the_mailer(settings: MailSettings, kind: type) -> None:
    assert type(mailer_of(settings)) is kind


async def test_without_a_server_the_whole_mail_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "jobs.mail")
    await LogMailer().send(MAIL)
    (record,) = caplog.records
    fields = {name: getattr(record, name) for name in ("to", "subject", "body", "files")}
    assert record.getMessage() == "mail.logged"
    assert fields == {"to": "ann@example.org", "subject": "Hello", "body": "How are you?", "files": []}


async def test_in_production_without_a_server_a_mail_fails_and_says_what_to_set() -> None:
    with pytest.raises(MailNotConfigured, match="SMTP_HOST is not set"):
        await NoMailer().send(MAIL)


def test_a_mail_has_all_its_headers() -> None:
    mail = compose("Shop <shop@example.org>", MAIL)
    assert dict(mail.items()) == {
        "From": "Shop <shop@example.org>",
        "To": "ann@example.org",
        "Subject": "Hello",
        "Date": "Wed, 02 Jan 2030 03:04:05 +0000",
        "Message-ID": "<1.2@example.org>",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
        "MIME-Version": "1.0",
    }
    assert mail.get_content() == "How are you?\n"


def test_the_same_key_makes_the_same_mail_byte_for_byte() -> None:
    once = compose("shop@example.org", WHOLE).as_bytes()
    assert once == compose("shop@example.org", WHOLE).as_bytes()
    assert once != compose("shop@example.org", replace(WHOLE, key="1.3")).as_bytes()


def test_text_and_html_are_two_forms_of_one_mail_and_files_go_beside() -> None:
    sent = compose("shop@example.org", WHOLE).as_bytes()
    mail = message_from_bytes(sent, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert mail.get_content_type() == "multipart/mixed"
    forms, *files = mail.iter_parts()
    assert forms.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in forms.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content().strip() for part in forms.iter_parts()] == [
        "How are you?",
        "<p>How are you?</p>",
    ]
    assert [(part.get_filename(), part.get_content_type()) for part in files] == [
        ("a.csv", "text/csv"),
        ("x", "application/octet-stream"),
    ]
    assert files[1].get_content() == b"\0\xff"


@pytest.mark.parametrize("break_", ["\n", "\r", "\r\n", "\u2028"])
@pytest.mark.parametrize("header", ["to", "subject"])
def test_no_text_becomes_another_header(header: str, break_: str) -> None:
    changed: dict[str, Any] = {header: f"ann@example.org{break_}Bcc: all@example.org"}
    with pytest.raises(ValueError, match=r"[Hh]eader|linefeed|address"):
        compose("shop@example.org", replace(MAIL, **changed))


async def test_no_text_becomes_another_header_of_a_logged_mail() -> None:
    with pytest.raises(ValueError, match=r"[Hh]eader|linefeed|address"):
        await LogMailer().send(replace(MAIL, subject="Hello\nBcc: all@example.org"))


def test_a_plain_key_is_read_in_the_message_id() -> None:
    assert message_id("email-7", "shop@example.org") == "<email-7@example.org>"


@pytest.mark.parametrize("key", ["email:7", "a b", "<a>", "a@b", "", ".a", "a..b", "é", "a" * 65, "a\n"])
def test_any_other_key_is_hashed_into_one_that_may_stand_there(key: str) -> None:
    made = message_id(key, "shop@example.org")
    assert made == message_id(key, "shop@example.org")
    assert made != message_id(f"{key}.", "shop@example.org")
    assert len(made) == len("<@example.org>") + 32
