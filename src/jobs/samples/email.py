"""A job that sends mail, with files by reference, and gives up at once on errors that no retry can cure.

It shows idempotency where the other side has none. A worker that dies between sending a mail and settling its job makes
the job run again: delivery is at least once. Both mails are the same byte for byte, with one Message-ID, by which mail
programs recognise the second one.

And it shows secrets: they are read when a mail is sent (`mail_settings.py`), and no payload has them.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from jobs.samples.attachments import AttachmentRefused, Reference, collected
from jobs.samples.mail_settings import MailSettingsError, load
from jobs.samples.mailer import Mail, MailNotConfigured, MailRefused, mailer_of
from jobs.samples.media import MediaMissing, MediaNotConfigured
from rota import FetchRefused, Run, exponential, job

_NAME = r'[^\s\p{C}@<>()\[\],;:\\"]+'
#: One plain address, without characters that could begin another address, another header or another SMTP command.
Address = Annotated[str, StringConstraints(pattern=f"^{_NAME}@{_NAME}$", max_length=254)]
#: One line, so that no subject can become another header.
Line = Annotated[str, StringConstraints(pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$", max_length=500)]


#: What no other attempt can cure.
_FOR_GOOD = (
    *(MailRefused, MailNotConfigured, MailSettingsError),
    *(AttachmentRefused, MediaMissing, MediaNotConfigured, FetchRefused),
)


# A server that asks to be tried later means minutes: the waits are 5 s, 15 s, 45 s, … up to 15 minutes, 40 in all.
@job(
    queue="email",
    timeout=120,
    max_attempts=8,
    backoff=exponential(5, factor=3, ceiling=900),
    give_up_on=_FOR_GOOD,
)
async def email(
    run: Run,
    to: Address,
    subject: Line,
    body: str,
    *,
    html: str | None = None,
    attachments: Annotated[Sequence[Reference], Field(max_length=10)] = (),
) -> str:
    """Send a mail of text, and HTML where it is given, and return its Message-ID.

    `attachments` are keys of files in MEDIA_DIR or URLs, at most ten with 10 MiB together.
    """
    # With the time, because a user's id can be used again, for another mail, once its first job is forgotten.
    key = f"{run.id}.{run.enqueued_at.timestamp() * 1000:.0f}"
    files = await collected(attachments)
    mail = Mail(to, subject, body, key, run.enqueued_at, html=html, files=files)
    return await mailer_of(load()).send(mail)
