"""Signatures of webhooks, as the Standard Webhooks specification has them: HMAC-SHA256 over id, time and body.

While a secret is being replaced a request has two signatures, so a receiver that knows either of the two takes it.
"""

import base64
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
#: What the request of each message says beside its signature.
PLAIN_HEADERS = {"content-type": "application/json", "user-agent": "rota-webhooks"}
_LENGTH = 32


def new_secret() -> str:
    """Make a secret: 256 random bits behind a prefix by which it is known for what it is."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_LENGTH)).decode()


def signature(secret: str, message: str, at: int, body: bytes) -> str:
    """Return the signature of a message that is sent at a time, in seconds since 1970."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return (
        "v1,"
        + base64.b64encode(hmac.digest(key, b"%s.%d." % (message.encode(), at) + body, "sha256")).decode()
    )


def signed_headers(used: Iterable[str], message: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers by which a receiver knows who sent a message, and that it is not an old one sent again."""
    return {
        "webhook-id": message,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(signature(secret, message, at, body) for secret in used),
    }
