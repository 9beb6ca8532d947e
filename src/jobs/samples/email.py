"""A job that sends mail, and gives up at once on errors that no retry can cure.

A worker that dies between sending a mail and settling its job makes the job run again: delivery is at least once. Both
mails have the same Message-ID, by which mail programs recognise the second one.
"""

from typing import Annotated

from pydantic import StringConstraints

from jobs.samples.mail_settings import MailSettingsError, load
from jobs.samples.mailer import MailNotConfigured, MailRefused, mailer_of
from rota import Run, exponential, job

_NAME = r'[^\s\p{C}@<>()\[\],;:\\"]+'
#: One plain address, without characters that could begin another address, another header or another SMTP command.
Address = Annotated[str, StringConstraints(pattern=f"^{_NAME}@{_NAME}$", max_length=254)]
#: One line, so that no subject can become another header.
Line = Annotated[str, StringConstraints(pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$", max_length=500)]


# A server that asks to be tried later means minutes: the waits are 5 s, 15 s, 45 s, … up to 15 minutes, 40 in all.
@job(
    queue="email",
    timeout=60,
    max_attempts=8,
    backoff=exponential(5, factor=3, ceiling=900),
    give_up_on=(MailRefused, MailNotConfigured, MailSettingsError),
)
async def email(run: Run, to: Address, subject: Line, body: str) -> str:
    """Send a mail of plain text and return its Message-ID."""
    # With the time, because a user's id can be used again, for another mail, once its first job is forgotten.
    key = f"{run.id}.{run.enqueued_at.timestamp() * 1000:.0f}"
    return await mailer_of(load()).send(to=to, subject=subject, body=body, key=key, at=run.enqueued_at)
