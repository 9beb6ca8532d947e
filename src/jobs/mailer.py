"""Sends mail, or says why it cannot: over SMTP, to the log where there is no mail server, and not at all in production.

What no further attempt can mend is told apart from what may pass, because jobs retry the one and not the other.
"""

import hashlib
import logging
import re
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import TYPE_CHECKING, Protocol

from jobs.settings import MailSettings

if TYPE_CHECKING:
    from aiosmtplib import SMTP

logger = logging.getLogger("jobs.mail")

#: Seconds that a mail server may take to answer one command.
_PATIENCE = 20.0
_PERMANENT = range(500, 600)
#: A key that may stand in a Message-ID as it is, and that is short enough not to be folded.
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_KEY_LIMIT = 64


class MailRefused(Exception):
    """Raised for a mail that the server refuses for good: to send it again would change nothing."""


class MailDelayed(Exception):
    """Raised for a mail that could not be delivered now: the server is away, busy, or says to come back."""


class MailNotConfigured(Exception):
    """Raised in production where no mail server is set: mail is never dropped without a word."""


class Mailer(Protocol):
    """What handlers get as `run.deps.mailer`."""

    async def send(self, *, to: str, subject: str, body: str, key: str, at: datetime) -> str:
        """Send one mail; the Message-ID it went under.

        The same `key` gives the same Message-ID, so that a mail sent twice can be recognised. `at` becomes its
        date. Raises MailRefused, MailDelayed, MailNotConfigured; ValueError for a text that would break a header.
        """


def mailer_of(settings: MailSettings) -> Mailer:
    """The mailer that `settings` ask for."""
    if settings.host is not None:
        return SmtpMailer(settings)
    return NoMailer() if settings.in_production else LogMailer()


class SmtpMailer:
    """Mail over SMTP, one connection a mail."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings

    async def send(self, *, to: str, subject: str, body: str, key: str, at: datetime) -> str:
        """As `Mailer.send` says."""
        # Whoever only enqueues a mail needs no SMTP library.
        from aiosmtplib import SMTPException  # noqa: PLC0415

        message = compose(self._settings.sender or "", to=to, subject=subject, body=body, key=key, at=at)
        client = self._client()
        try:
            await client.connect()
            await client.send_message(message)
            # The server has it: a farewell that goes wrong must not make it a second mail.
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
        # No code, and no trouble with the connection either: the server cannot do what it was asked to.
        unable = isinstance(fault, SMTPException) and code is None and not isinstance(fault, OSError)
        if unable or code in _PERMANENT:
            return MailRefused(f"{server} refuses this mail: {_coded(code, said)}")
        return MailDelayed(f"{server} does not take this mail now: {_coded(code, said)}")


def _coded(code: int | None, said: str) -> str:
    return said if code is None else f"{code} {said}"


class LogMailer:
    """Mail for a desk without a mail server: it stands in the log, whole."""

    async def send(self, *, to: str, subject: str, body: str, key: str, at: datetime) -> str:
        """As `Mailer.send` says."""
        message = compose("nobody@localhost", to=to, subject=subject, body=body, key=key, at=at)
        logger.info("mail.logged", extra={"to": to, "subject": subject, "body": body})
        return str(message["Message-ID"])


class NoMailer:
    """Mail in production without a mail server: each one fails, and stays to be sent when there is one."""

    async def send(self, *, to: str, subject: str, body: str, key: str, at: datetime) -> str:
        """As `Mailer.send` says."""
        raise MailNotConfigured("SMTP_HOST is not set; set it and SMTP_FROM, and bring this mail's job back")


def compose(sender: str, *, to: str, subject: str, body: str, key: str, at: datetime) -> EmailMessage:
    """The mail as it travels. Raises ValueError for a line break in what becomes a header."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = message_id(key, parseaddr(sender)[1])
    message.set_content(body)
    return message


def message_id(key: str, sender: str) -> str:
    """The Message-ID for `key`: the key itself where it may stand there, else its hash."""
    if len(key) > _KEY_LIMIT or not _PLAIN_KEY.fullmatch(key):
        key = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"<{key}@{sender.rpartition('@')[2]}>"
