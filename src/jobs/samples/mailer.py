"""Sends mail over SMTP; without a mail server mail is logged in development, and is an error in production.

A permanent failure is told apart from one that may pass, because jobs retry the second kind only.
"""

import hashlib
import logging
import mimetypes
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING, Protocol

from jobs.samples.mail_settings import MailSettings

if TYPE_CHECKING:
    from aiosmtplib import SMTP

logger = logging.getLogger("jobs.mail")

#: How long a mail server may take to answer one command, in seconds.
_PATIENCE = 20.0
_PERMANENT = range(500, 600)
#: A key that is allowed in a Message-ID unchanged, if it is also short enough not to be folded.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_KEY_LIMIT = 64


class MailRefused(Exception):
    """Raised for a mail that the server refuses permanently: sending it again would change nothing."""


class MailDelayed(Exception):
    """Raised for a mail that could not be delivered now: the server is away, busy, or asks to be tried later."""


class MailNotConfigured(Exception):
    """Raised in production when no mail server is set: no mail is dropped silently."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that goes with a mail, under a name."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that is to be sent.

    :param body: its text, which each mail program can show; `html` is the same for those that can show more.
    :param key: what it is known by: the same key gives the same mail, so that one sent twice can be recognised.
    :param at: its date.
    """

    to: str
    subject: str
    body: str
    key: str
    at: datetime
    html: str | None = None
    files: tuple[File, ...] = ()


class Mailer(Protocol):
    """Anything that sends mail."""

    async def send(self, mail: Mail) -> str:
        """Send one mail and return its Message-ID.

        Raises MailRefused, MailDelayed, MailNotConfigured; ValueError for text that would break a header.
        """


def mailer_of(settings: MailSettings) -> Mailer:
    """Return the mailer that `settings` call for."""
    if settings.host is not None:
        return SmtpMailer(settings)
    return NoMailer() if settings.in_production else LogMailer()


class SmtpMailer:
    """A mailer that sends over SMTP, one connection a mail."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    async def send(self, mail: Mail) -> str:
        """Send as `Mailer.send` says, and wait for the server's answer."""
        # Imported here, so that an application that only enqueues mails needs no SMTP library.
        from aiosmtplib import SMTPException  # noqa: PLC0415

        message = compose(self._settings.sender or "", mail)
        client = self._client()
        try:
            await client.connect()
            await client.send_message(message)
            # The server has the mail: an error while quitting must not send it a second time.
            with suppress(SMTPException, OSError):
                await client.quit(timeout=_PATIENCE)
        except (SMTPException, OSError) as error:
            raise self._fault(error) from error
        finally:
            client.close()
        return str(message["Message-ID"])

    def _client(self) -> "SMTP":
        from aiosmtplib import SMTP  # noqa: PLC0415 - as above

        settings = self._settings
        return SMTP(
            hostname=settings.host,
            port=settings.port_in_use,
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password else None,
            use_tls=settings.tls == "tls",
            start_tls=settings.tls == "starttls",
            timeout=_PATIENCE,
        )

    def _fault(self, error: Exception) -> MailRefused | MailDelayed:
        from aiosmtplib import SMTPException, SMTPRecipientsRefused  # noqa: PLC0415 - as above

        fault = error.recipients[0] if isinstance(error, SMTPRecipientsRefused) else error
        code = getattr(fault, "code", None)
        said = getattr(fault, "message", str(fault))
        server = f"{self._settings.host}:{self._settings.port_in_use}"
        # Neither a code nor an error of the connection: the server lacks what was asked for, such as STARTTLS.
        unable = isinstance(fault, SMTPException) and code is None and not isinstance(fault, OSError)
        if unable or code in _PERMANENT:
            return MailRefused(f"{server} refuses this mail: {_coded(code, said)}")
        return MailDelayed(f"{server} does not take this mail now: {_coded(code, said)}")


def _coded(code: int | None, said: str) -> str:
    return said if code is None else f"{code} {said}"


class LogMailer:
    """A mailer for development without a mail server: it logs the whole mail."""

    async def send(self, mail: Mail) -> str:
        """Log the mail as `mail.logged`, after the same checks as of a mail that is sent."""
        message = compose("nobody@localhost", mail)
        names = [file.name for file in mail.files]
        fields = {"to": mail.to, "subject": mail.subject, "body": mail.body, "files": names}
        logger.info("mail.logged", extra=fields)
        return str(message["Message-ID"])


class NoMailer:
    """A mailer for production without a mail server: each mail fails, and its job can be retried when there is one."""

    async def send(self, mail: Mail) -> str:
        """Raise MailNotConfigured, for each mail."""
        raise MailNotConfigured("SMTP_HOST is not set; set it and SMTP_FROM, and bring this mail's job back")


def compose(sender: str, mail: Mail) -> EmailMessage:
    """Make the mail, byte for byte the same each time. Raises ValueError for a line break in what becomes a header."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = mail.to
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.at)
    message["Message-ID"] = message_id(mail.key, parseaddr(sender)[1])
    message.set_content(mail.body)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    for file in mail.files:
        main, _, sub = (mimetypes.guess_type(file.name)[0] or "application/octet-stream").partition("/")
        message.add_attachment(file.content, maintype=main, subtype=sub, filename=file.name)
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        # In place of a random one. No encoding of a part has "=_" in it.
        part.set_boundary(f"=_{hashlib.sha256(mail.key.encode()).hexdigest()[:32]}-{number}")
    return message


def message_id(key: str, sender: str) -> str:
    """Make the Message-ID for `key`, of the key itself where that is allowed there, else of its hash."""
    if len(key) > _KEY_LIMIT or not _PLAIN_KEY.fullmatch(key):
        key = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"<{key}@{sender.rpartition('@')[2]}>"
