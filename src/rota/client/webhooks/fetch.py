"""Fetches a URL that others chose, without reaching anything inside the network that it is sent from."""

import functools
import json as json_text
from collections.abc import Mapping
from typing import Any

from rota.model.webhooks.destinations import NOTHING, Allowed
from rota.process.outbound.fetching import LONGEST, Answer, send
from rota.settings.load import load

_JSON = {"content-type": "application/json"}


async def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    json: Any = None,
    timeout: float = LONGEST,
    allow: str | None = None,
) -> Answer:
    """Send a request to a URL that others chose, and return its answer, whatever its status is.

    It goes over https to public addresses alone, is not redirected, and takes `timeout` seconds and 1 MiB at most.
    WEBHOOK_ALLOW, or `allow` in its place, names networks and hosts of your own that it may go to as well. `json` is
    sent as the body, in place of `body`.

    Raises FetchRefused for a request that is not sent, which no retry cures; FetchFailed where no answer came.
    """
    allowed = _of_settings() if allow is None else Allowed.parse(allow)
    if json is not None:
        body, headers = json_text.dumps(json).encode(), _JSON | dict(headers or {})
    return await send(method, url, allowed=allowed, headers=headers, body=body, timeout=timeout)


@functools.cache
def _of_settings() -> Allowed:
    return load().webhook_allow or NOTHING
