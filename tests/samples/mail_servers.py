"""A real mail server for tests, which answers as a test wants, and keeps the mails it was given."""

import asyncio
from collections import defaultdict
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.servers import free_port


class MailServer:
    """A real mail server, on a free port unless one is given.

    `answers` holds its next answers, in turn, to RCPT, DATA and QUIT.
    """

    def __init__(self, port: int | None = None, **options: Any) -> None:
        self.port = port or free_port()
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answers: dict[str, list[str]] = defaultdict(list)
        self._options = {"hostname": "mail.test", **options}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "MailServer":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, loop=loop, **self._options), "localhost", self.port
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def handle_RCPT(
        self, server: SMTP, _: Session, envelope: Envelope, address: str, __: list[str]
    ) -> str:
        answer = self._answer("RCPT")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _: Session, envelope: Envelope) -> str:
        answer = self._answer("DATA")
        if answer.startswith("250"):
            parsed = message_from_bytes(envelope.original_content or b"", policy=policy.default)
            assert isinstance(parsed, EmailMessage)
            self.mails.append(parsed)
            self.recipients.append(list(map(str, envelope.rcpt_tos)))
        if answer.endswith("and hangs up"):
            hang_up(server)
        return answer

    async def handle_QUIT(self, server: SMTP, _: Session, __: Envelope) -> str:
        answer = self._answer("QUIT")
        if answer.endswith("and hangs up"):
            hang_up(server)
        return answer

    def _answer(self, command: str) -> str:
        return self.answers[command].pop(0) if self.answers[command] else "250 OK"


def hang_up(server: SMTP) -> None:
    """Cut the connection, so that the answer never arrives."""
    assert isinstance(server.transport, asyncio.Transport)
    server.transport.abort()
