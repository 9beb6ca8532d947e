"""The gate of the API: the key of a request, and the scope that its route asks for.

Outside production, and while no key was ever made, a caller on this machine may do everything; the name by which it
reaches the API must be one of this machine, or a page of another site could reach it through the caller's browser.
"""

import asyncio
import ipaddress
import logging
import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime

from starlette.requests import HTTPConnection

from rota.api.problems import Problem
from rota.api.quotas import Quotas
from rota.errors import RotaError
from rota.model.access.keys import AccessKey, Scope, is_id, parts_of
from rota.server.faults import ServerError, explained
from rota.settings.settings import Settings
from rota.wire.access import AccessRecords

logger = logging.getLogger("rota.api")

#: How long a key that was read counts, and how long it takes until one that was revoked is refused, in seconds.
TRUST = 2.0
#: How long a ticket is good, in seconds.
TICKET_LIFE = 30.0
#: How long a session of the dashboard is good, in seconds.
SESSION_LIFE = 12 * 3600.0
#: The most keys that are remembered.
_MOST = 10_000
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="rota"'}

#: What a caller without a key may do where everything is open.
EVERYTHING = AccessKey("", "", frozenset({Scope.ADMIN}), name="open")
#: What the holder of a ticket may do that the application around the API has given.
VISITOR = AccessKey("", "", frozenset({Scope.READ}), name="ticket")


class NoKey(RotaError):
    """Raised at the start of an API in production to which no key leads."""

    def __str__(self) -> str:
        return (
            "in production the API needs a key, and there is none: make the first one with "
            "`rota keys make --scope admin`, or set API_KEYS"
        )


class Gate:
    """The keys of one application, as its requests are let in.

    :param redis: an asyncio client.
    """

    def __init__(self, redis: object, settings: Settings) -> None:
        self._redis = redis
        self._records = AccessRecords(redis, settings.namespace)
        self.quotas = Quotas(redis, self._records)
        self._given = {key.id: key for key in settings.api_keys or ()}
        self._hosts = frozenset(host.lower() for host in settings.api_allowed_hosts or ())
        self._may_be_open = settings.app_env != "production" and not self._given
        self._known: dict[str, tuple[AccessKey | None, float]] = {}
        self._reading: dict[str, asyncio.Future[AccessKey | None]] = {}
        self._has_keys = bool(self._given)
        self._looked = 0.0

    async def check_start(self) -> None:
        """Say whether the API is open. Raises NoKey in production where no key is there, ServerError."""
        async with explained(self._redis):
            self._has_keys = self._has_keys or await self._records.has_any()
        if self._has_keys:
            return
        if not self._may_be_open:
            raise NoKey
        logger.warning("api.open", extra={"reason": "no key was made, so callers on this machine may do all"})

    async def admit(self, request: HTTPConnection, *scopes: Scope, tenants: bool = False) -> AccessKey:
        """Return the key by which a request is let in that needs one of `scopes`. Raises Problem, ServerError.

        :param tenants: whether the keys of tenants may be used, which the answer then has to be cut for.
        """
        self._check_host(request)
        key = await self._key_of(request)
        await self.quotas.count(key, request)
        self.check(key, *scopes, tenants=tenants)
        asked = request.path_params.get("queue"), request.path_params.get("id")
        if key.job not in (None, asked):
            detail = "the ticket is good for one job, and the request is not about that one"
            raise Problem(403, "of-another-job", "The ticket is for another job", detail)
        return key

    def check(self, key: AccessKey, *scopes: Scope, tenants: bool = False) -> AccessKey:
        """Return `key` if it has one of `scopes`, and where it is a tenant's, `tenants` may be used. Raises Problem."""
        if key.tenant is not None and not tenants:
            detail = (
                f"this is about the jobs of all tenants, and the key {key.id} is of the tenant {key.tenant}"
            )
            raise Problem(403, "of-all-tenants", "The key is of one tenant", detail)
        if not any(map(key.lets, scopes)):
            held = ", ".join(sorted(key.scopes))
            detail = f"this needs the scope {' or '.join(scopes)}; the key {key.id} has {held}"
            raise Problem(403, "forbidden", "The key does not allow this", detail)
        return key

    async def ticket(self, key: AccessKey, job: tuple[str, str] | None = None) -> tuple[str, float]:
        """Return a ticket that stands for `key` once, to look alone, and for how many seconds. Raises ServerError.

        :param job: the queue and the id of the one job that may be looked at by it; None: all that the key may.
        """
        ticket, kept = secrets.token_urlsafe(24), replace(key, scopes=frozenset({Scope.READ}), job=job)
        async with explained(self._redis):
            await self._records.keep_ticket(ticket, kept.id.encode() + b" " + kept.write(), TICKET_LIFE)
        return ticket, TICKET_LIFE

    async def holds(self, key: AccessKey) -> bool:
        """Tell whether a key that has let its holder in would do so again. While Redis is away, it does."""
        try:
            return await self._still_holds(key)
        except ServerError:
            return True

    async def _still_holds(self, key: AccessKey) -> bool:
        """Tell whether a key that has let its holder in is there still, and not over. Raises ServerError."""
        if not key.id:
            return key.name == VISITOR.name or not await self._any()
        return await self._unexpired(key.id) is not None

    async def _unexpired(self, key_id: str) -> AccessKey | None:
        """Return the key of an id; None for one that was revoked, or has expired. Raises ServerError."""
        key = await self._kept(key_id)
        return None if key is None or key.is_expired(datetime.now(UTC)) else key

    async def _kept(self, key_id: str) -> AccessKey | None:
        return self._given.get(key_id) or await self._read(key_id)

    async def session(self, text: str) -> str:
        """Return the token of a session that stands for a key, by the text of that. Raises Problem, ServerError."""
        key = await self._key_by_text(text)
        token = f"{key.id}.{secrets.token_urlsafe(24)}"
        async with explained(self._redis):
            await self._records.keep_session(token, key.id, SESSION_LIFE)
        return token

    async def key_by_session(self, token: str) -> AccessKey | None:
        """Return the key of a session; None for one that has ended, or whose key has. Raises ServerError."""
        # The token names the key, so that both are read in one round trip; the record of the session is what counts.
        key_id = token.partition(".")[0]
        if not is_id(key_id):
            # What is looked up is remembered, and a visitor may send any text.
            return None
        async with explained(self._redis):
            kept, key = await asyncio.gather(self._records.session(token), self._unexpired(key_id))
        return key if kept == key_id else None

    async def end_session(self, token: str, *, everywhere: bool = False) -> None:
        """Let a session end, or with `everywhere` all sessions of its key. Raises ServerError."""
        async with explained(self._redis):
            key_id = await self._records.session(token) if everywhere else None
            await self._records.end_session(token)
            if key_id is not None:
                await self._records.end_sessions(key_id)

    async def _key_by_ticket(self, ticket: str) -> AccessKey:
        async with explained(self._redis):
            record = await self._records.take_ticket(ticket)
        key_id, _, raw = (record or b"").partition(b" ")
        key = AccessKey.read(key_id.decode(), raw)
        if key is None or not await self._still_holds(key):
            raise _refused("the ticket is not known, was used, or has expired, or its key has ended")
        return key

    async def _key_of(self, request: HTTPConnection) -> AccessKey:
        text = _text_of(request)
        if text is None:
            if ticket := request.query_params.get("ticket"):
                return await self._key_by_ticket(ticket)
            if self._may_be_open and is_local(request) and not await self._any():
                return EVERYTHING
            detail = "send a key: Authorization: Bearer rota_…; `rota keys make` makes one"
            raise Problem(401, "no-key", "A key is needed", detail, headers=_CHALLENGE)
        return await self._key_by_text(text)

    async def _key_by_text(self, text: str) -> AccessKey:
        parts = parts_of(text)
        if parts is None:
            raise _refused("it is not a key of this API, or has a typing mistake in it")
        key_id, secret = parts
        key = await self._kept(key_id)
        if key is None or not key.fits(secret, datetime.now(UTC)):
            raise _refused("it is not known, was revoked, or has expired")
        return key

    async def _read(self, key_id: str) -> AccessKey | None:
        now = time.monotonic()
        key, until = self._known.get(key_id, (None, 0.0))
        if until > now:
            return key
        # Requests that come with one key share a look at it, which goes on where the first of them has left.
        reading = self._reading.get(key_id)
        if reading is None:
            reading = self._reading[key_id] = asyncio.ensure_future(self._look_up(key_id, now + TRUST))
            reading.add_done_callback(lambda _: self._reading.pop(key_id))
        return await asyncio.shield(reading)

    async def _look_up(self, key_id: str, until: float) -> AccessKey | None:
        async with explained(self._redis):
            key = AccessKey.read(key_id, await self._records.read(key_id))
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key_id] = key, until
        return key

    async def _any(self) -> bool:
        """Tell whether there is any key, by a look at most every few seconds."""
        now = time.monotonic()
        if not self._has_keys and now >= self._looked + TRUST:
            async with explained(self._redis):
                self._has_keys = await self._records.has_any()
            self._looked = now
        return self._has_keys

    def _check_host(self, request: HTTPConnection) -> None:
        if self._may_be_open and not self._has_keys:
            self.check_name(request)

    def check_name(self, request: HTTPConnection) -> None:
        """Raise Problem for a request that reached the API by a name that is none of this machine."""
        host = _name_of(request.headers.get("host", ""))
        if host not in self._hosts and not _is_loopback(host):
            detail = f"the name {host[:60]!r} is none of this machine; list it in API_ALLOWED_HOSTS"
            raise Problem(421, "wrong-host", "The API is not reached by this name", detail)


def _text_of(request: HTTPConnection) -> str | None:
    """Return the key that a request shows, or None where it shows none. Raises Problem for something else."""
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() not in ("bearer", ""):
        raise _refused("send a key, as Authorization: Bearer rota_…")
    return text.strip() or None


def _refused(why: str) -> Problem:
    return Problem(
        401, "wrong-key", "The key is not accepted", f"the key is not accepted: {why}", headers=_CHALLENGE
    )


def is_local(request: HTTPConnection) -> bool:
    """Tell whether a request comes from this machine, and no server in front has passed it on."""
    # A proxy on this machine would let everybody in.
    forwarded = request.headers.get("forwarded") or request.headers.get("x-forwarded-for")
    return request.client is not None and _is_loopback(request.client.host) and not forwarded


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _name_of(host: str) -> str:
    """Return the name in a Host header, without its port and the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()
