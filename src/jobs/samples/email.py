"""A job that sends mail: dependencies from the lifespan, and faults that retry told apart from those that do not.

A worker that dies between sending and saying so sends the mail again: delivery is at least once. Both mails carry the
same Message-ID, by which mail programs know the second one.
"""

from typing import Annotated

from pydantic import StringConstraints

from jobs.lifespan import Dependencies
from jobs.mailer import MailNotConfigured, MailRefused
from rota import Run, exponential, job

_NAME = r'[^\s\p{C}@<>()\[\],;:\\"]+'
#: One plain address: nothing in it can begin another address, another header or another SMTP command.
Address = Annotated[str, StringConstraints(pattern=f"^{_NAME}@{_NAME}$", max_length=254)]
#: One line: no subject can become another header.
Line = Annotated[str, StringConstraints(pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$", max_length=500)]


# A server that says "come back later" means minutes: 5 s, 15 s, 45 s, … up to 15 minutes, some 40 in all.
@job(
    queue="email",
    timeout=60,
    max_attempts=8,
    backoff=exponential(5, factor=3, ceiling=900),
    give_up_on=(MailRefused, MailNotConfigured),
)
async def email(run: Run, to: Address, subject: Line, body: str) -> str:
    """Send a mail of plain text; the result is its Message-ID."""
    deps: Dependencies = run.deps
    # The time too: an id of the user's own may come again once its job is forgotten, with another mail.
    key = f"{run.id}.{run.enqueued_at.timestamp() * 1000:.0f}"
    return await deps.mailer.send(to=to, subject=subject, body=body, key=key, at=run.enqueued_at)
