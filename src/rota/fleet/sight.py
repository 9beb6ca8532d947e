"""How an autoscaler sees what its fleet needs: by asking an exporter, or Redis itself."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

from rota.errors import RotaError, UnknownQueue
from rota.fleet.fleet import Fleet, FleetNeed, choose
from rota.fleet.reading import read
from rota.server.outage import FAULTS
from rota.settings.load import ConfigError

#: An answer that takes longer is not waited for, in seconds.
DEADLINE = 3.0

#: Asks what the fleet needs. Raises what is in BLINDNESS.
Ask = Callable[[], Awaitable[FleetNeed]]


class Unseen(RotaError):
    """Raised where the exporter does not say what the queues need; the number of workers stays as it is."""


BLINDNESS: tuple[type[BaseException], ...] = (*FAULTS, Unseen)


def ask_exporter(url: str, queues: tuple[str, ...] | None) -> Ask:
    """Return a function that asks the exporter at `url`. Raises ConfigError for what cannot be an address."""
    if not url.startswith(("http://", "https://")):
        raise ConfigError(["AUTOSCALER_URL is not an address such as http://127.0.0.1:9464"])
    address = f"{url.rstrip('/')}/scaling"

    def fetch() -> FleetNeed:
        try:
            with urllib.request.urlopen(address, timeout=DEADLINE) as answer:  # noqa: S310 - http, as checked
                return choose(FleetNeed.of_json(json.load(answer)), queues)
        except urllib.error.HTTPError as error:
            raise Unseen(f"{address} answers {error.code}") from None
        except (OSError, ValueError, KeyError, TypeError, UnknownQueue) as error:
            raise Unseen(f"{address}: {error}") from None

    async def ask() -> FleetNeed:
        return await asyncio.to_thread(fetch)

    return ask


def ask_redis(redis: Any, fleet: Fleet, queues: tuple[str, ...]) -> Ask:
    """Return a function that reads the queues from Redis."""

    async def ask() -> FleetNeed:
        return fleet.appraise(await read(redis, queues))

    return ask
