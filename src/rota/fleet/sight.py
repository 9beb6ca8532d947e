"""How an autoscaler sees what its fleet needs: by asking an exporter, or Redis itself."""

import asyncio
import base64
import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from http.client import HTTPException
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

from rota.errors import RotaError, UnknownQueue
from rota.fleet.fleet import Fleet, FleetNeed, choose
from rota.fleet.reading import read
from rota.process.ports import is_loopback
from rota.server.outage import FAULTS
from rota.settings.load import ConfigError

#: An answer that takes longer is not waited for, in seconds.
DEADLINE = 3.0

#: The most bytes of an answer, and how many are read at a time.
_MOST, _CHUNK = 4_000_000, 65_536
_ODD = (OSError, HTTPException, ValueError, KeyError, TypeError, ArithmeticError, UnknownQueue)

#: Asks what the fleet needs. Raises what is in BLINDNESS.
Ask = Callable[[], Awaitable[FleetNeed]]


class Unseen(RotaError):
    """Raised where the exporter does not say what the queues need; the number of workers stays as it is."""


BLINDNESS: tuple[type[BaseException], ...] = (*FAULTS, Unseen)


def ask_exporter(url: str, queues: tuple[str, ...] | None) -> Ask:
    """Return a function that asks the exporter at `url`. Raises ConfigError for what cannot be an address."""
    opener, request = _opener(url), _request(f"{url.rstrip('/')}/scaling")
    address = request.full_url

    def fetch() -> FleetNeed:
        try:
            with opener.open(request, timeout=DEADLINE) as answer:
                need = choose(FleetNeed.of_json(json.loads(_body(answer))), queues)
            # Figures that are no numbers show here, and not where workers are to be started.
            return need if need.desired >= 0 and math.isfinite(need.latency) else _nonsense(address)
        except urllib.error.HTTPError as error:
            raise Unseen(f"{address} answers {error.code}") from None
        except RecursionError:
            raise Unseen(f"{address} answers with something else than a fleet's need") from None
        except _ODD as error:
            raise Unseen(f"{address}: {error}") from None

    async def ask() -> FleetNeed:
        return await asyncio.to_thread(fetch)

    return ask


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Return what opens `url`: directly on this machine, and else by HTTP_PROXY and NO_PROXY. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError
        direct = is_loopback(url)
    except ValueError:
        raise ConfigError(["AUTOSCALER_URL is not an address such as http://127.0.0.1:9464"]) from None
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if direct else []))


def _request(address: str) -> urllib.request.Request:
    """Return the request to `address`, with the user and password in it sent as a header and shown nowhere."""
    parts = urlsplit(address)
    login, _, place = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=place).geturl())  # noqa: S310 - http, as checked
    if login:
        token = base64.b64encode(unquote(login).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def _body(answer: Any) -> bytes:
    """Return what a server sends, which may neither be long nor take long."""
    body, until = b"", time.monotonic() + DEADLINE
    while chunk := answer.read1(_CHUNK):
        body += chunk
        if len(body) > _MOST or time.monotonic() > until:
            raise OSError("the answer is too long, or takes too long")
    return body


def _nonsense(address: str) -> NoReturn:
    raise Unseen(f"{address} answers with figures that cannot be")


def ask_redis(redis: Any, fleet: Fleet, queues: tuple[str, ...]) -> Ask:
    """Return a function that reads the queues from Redis."""

    async def ask() -> FleetNeed:
        return fleet.appraise(await read(redis, queues))

    return ask
