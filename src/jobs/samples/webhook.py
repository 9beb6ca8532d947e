"""A job that sends JSON to a URL which others gave, and cannot be led into the network that it is sent from.

It shows which failures are worth another attempt, and when: the receiver's word goes before the job's own back-off.

A worker that dies between the answer and the settling of its job makes the job run again: delivery is at least once.
Both requests have the same Idempotency-Key, by which a receiver recognises the second one.
"""

from typing import Annotated, Any

from pydantic import StringConstraints

from rota import Answer, FetchRefused, Retry, Run, exponential, fetch, job

#: What may be well a moment later: the receiver is away, busy, or asks to be tried later.
_PASSING = frozenset({408, 425, 429, *range(500, 600)})
Url = Annotated[str, StringConstraints(pattern=r"^https?://[\x21-\x7e]+$", max_length=2048)]


class WebhookRefused(Exception):
    """Raised for an answer that will be the same each time: the receiver does not take this request."""


class WebhookDelayed(Exception):
    """Raised for an answer that may be another one later."""


# The waits are 5 s, 15 s, 45 s, … up to 15 minutes, 40 in all, unless the receiver names another time.
@job(
    timeout=30,
    max_attempts=8,
    backoff=exponential(5, factor=3, ceiling=900),
    give_up_on=(FetchRefused, WebhookRefused),
)
async def webhook(run: Run, url: Url, body: dict[str, Any]) -> int:
    """Send `body` as JSON to `url`, and return the status of the answer."""
    # With the time, because a user's id can be used again, for another request, once its first job is forgotten.
    key = f"{run.id}.{run.enqueued_at.timestamp() * 1000:.0f}"
    answer = await fetch(url, method="POST", json=body, headers={"Idempotency-Key": key})
    if answer.is_success:
        return answer.status
    raise _failure(answer)


def _failure(answer: Answer) -> Exception:
    if answer.status not in _PASSING:
        return WebhookRefused(f"the receiver answers {answer.status}")
    if answer.retry_after is not None:
        return Retry(answer.retry_after, f"the receiver answers {answer.status}")
    return WebhookDelayed(f"the receiver answers {answer.status}")
