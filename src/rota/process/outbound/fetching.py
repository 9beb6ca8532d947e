"""One request to another machine and its answer, both bounded: in time, in size, and in where it may go.

Redirects are answers like any other and are not followed, and no proxy of the environment is asked.
"""

import asyncio
import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from rota.errors import FetchFailed, FetchRefused
from rota.model.webhooks.destinations import Allowed, check_url

_GUARD = "rota.process.outbound.guard"
#: The seconds that a request may take, from the question for its host's address to the last byte of the answer.
LONGEST = 10.0
#: The bytes that an answer may have.
MOST = 1024 * 1024
#: The longest time for which `Retry-After` is believed, in seconds.
LONGEST_PAUSE = 86_400.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request. The names of its headers are in small letters.

    :param status: what kind of answer it is; 200 to 299 is well.
    :param body: what was sent, as it is.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        """Whether the status says that all went well."""
        return 200 <= self.status < 300  # noqa: PLR2004 - as HTTP has it

    @property
    def retry_after(self) -> float | None:
        """The seconds after which the other side wants to be asked again, a day at most; None: it does not say."""
        said = self.headers.get("retry-after", "").strip()
        if said.isascii() and said.isdigit():
            return min(float(said[:10]), LONGEST_PAUSE)
        try:
            at = parsedate_to_datetime(said)
        except (ValueError, TypeError):
            return None
        left = (at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)
        return min(max(0.0, left.total_seconds()), LONGEST_PAUSE)

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body's value. Raises ValueError for what is not JSON."""
        return json.loads(self.body)


async def send(
    method: str,
    url: str,
    *,
    allowed: Allowed,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout: float = LONGEST,
    most: int = MOST,
) -> Answer:
    """Send a request and return its answer. Raises FetchRefused where it may not be sent, else FetchFailed."""
    check_url(url, allowed)
    await _load()
    import httpx2  # noqa: PLC0415 - an extra

    from rota.process.outbound.guard import GuardedTransport  # noqa: PLC0415 - as above

    named = {
        "accept-encoding": "identity",
        "user-agent": "rota",
        **{k.lower(): v for k, v in (headers or {}).items()},
    }
    try:
        async with (
            asyncio.timeout(timeout),
            httpx2.AsyncClient(
                transport=GuardedTransport(allowed), trust_env=False, follow_redirects=False, timeout=timeout
            ) as client,
            client.stream(method, url, headers=named, content=body) as response,
        ):
            return Answer(response.status_code, dict(response.headers), await _bounded(response, most))
    except TimeoutError:
        raise FetchFailed(f"there was no answer within {timeout:g} s") from None
    except httpx2.InvalidURL as error:
        raise FetchRefused(f"the URL cannot be read: {error}") from None
    except (httpx2.HTTPError, OSError, ValueError) as error:
        raise FetchFailed(f"{type(error).__name__}: {str(error)[:200] or 'the connection broke'}") from None


async def _load() -> None:
    """Load what sends requests before the first one: it takes a second, in which the event loop is to go on."""
    if _GUARD not in sys.modules:
        try:
            guard = await asyncio.to_thread(importlib.import_module, _GUARD)
            await asyncio.to_thread(guard.trusted)
        except ImportError as error:
            raise FetchRefused(f"that needs {error.name}; install rota[worker]") from None


async def _bounded(response: Any, most: int) -> bytes:
    """Return what a response holds, as it was sent. Raises FetchFailed as soon as it is more than `most` bytes."""
    chunks, size = [], 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > most:
            raise FetchFailed(f"the answer is larger than {most} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
