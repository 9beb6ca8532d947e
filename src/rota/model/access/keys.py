"""Keys of the API: what one looks like, what it lets its holder do, and what is kept of it.

A key is `rota_<id>_<secret><check>`: 8 characters that name it, 256 random bits, and a checksum, so that a key with a
typing mistake is told apart from one that was revoked. Only the SHA-256 of the secret is kept: of 256 random bits no
slow hash is needed.
"""

import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any

from pydantic_core import from_json, to_json

from rota.model.access.rates import RequestRate, check_most_jobs
from rota.names import check_tenant

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LENGTH, _SECRET_LENGTH, _CHECK_LENGTH = 8, 43, 6
_ID = re.compile(r"[0-9A-Za-z]{8}")
_TEXT = re.compile(r"rota_([0-9A-Za-z]{8})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")
_STORED = re.compile(r"([0-9A-Za-z]{8}):([0-9a-f]{64}):([a-z+]+)(?::([^:]+))?")
#: The longest name of a key.
LONGEST_NAME = 80


class Scope(StrEnum):
    """The permission of a key. `operate` has `read` in it, and `admin` has all."""

    ENQUEUE = "enqueue"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


_HAVE = {
    Scope.ENQUEUE: frozenset({Scope.ENQUEUE}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.OPERATE: frozenset({Scope.READ, Scope.OPERATE}),
    Scope.ADMIN: frozenset(Scope),
}


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key of the API, as it is kept: without its secret.

    :param digest: the SHA-256 of the secret, in hexadecimal.
    :param name: what it is for, in the words of who made it.
    :param expires: the moment from which it is refused; None: never.
    :param tenant: whose jobs its holder enqueues and sees, and no others; None: those of all.
    :param job: of a ticket alone: the queue and the id of the one job that it is good for; None: of all.
    :param rate: how many requests its holder may send; None: any number.
    :param most_jobs: how many jobs, of the key or of its tenant, may be there that are not over; None: any number.
    """

    id: str
    digest: str
    scopes: frozenset[Scope]
    name: str = ""
    created: datetime | None = None
    expires: datetime | None = None
    tenant: str | None = None
    job: tuple[str, str] | None = None
    rate: RequestRate | None = None
    most_jobs: int | None = None

    def sees(self, tenant: str | None) -> bool:
        """Tell whether its holder may see a job of this tenant, or of none."""
        return self.tenant is None or self.tenant == tenant

    def lets(self, scope: Scope) -> bool:
        """Tell whether its holder may do what `scope` is for."""
        return any(scope in _HAVE[own] for own in self.scopes)

    def fits(self, secret: str, now: datetime) -> bool:
        """Tell whether this is its secret, and it has not expired. Takes as long for each wrong secret."""
        return hmac.compare_digest(_digest(secret), self.digest) and not self.is_expired(now)

    def is_expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires

    def ending(self, at: datetime) -> "AccessKey":
        """Return the key as it is until `at`, or until its own end if that is before."""
        return replace(self, expires=at if self.expires is None else min(at, self.expires))

    def bound(
        self,
        *,
        tenant: str | None = None,
        rate: RequestRate | None = None,
        most_jobs: int | None = None,
    ) -> "AccessKey":
        """Return the key within these bounds. Raises ValueError for a tenant, or a quota, that cannot be."""
        if tenant is not None:
            check_tenant(tenant)
        if most_jobs is not None:
            check_most_jobs(most_jobs)
        return replace(self, tenant=tenant, rate=rate, most_jobs=most_jobs)

    def like(self, other: "AccessKey") -> "AccessKey":
        """Return the key within the bounds of another."""
        return self.bound(tenant=other.tenant, rate=other.rate, most_jobs=other.most_jobs)

    def write(self) -> bytes:
        """Return the record of the key, as Redis keeps it."""
        return to_json(
            {
                "digest": self.digest,
                "scopes": sorted(self.scopes),
                "name": self.name,
                "created": self.created,
                "expires": self.expires,
                "tenant": self.tenant,
                **({} if self.job is None else {"job": self.job}),
                "rate": None if self.rate is None else str(self.rate),
                "burst": None if self.rate is None else self.rate.burst,
                "most_jobs": self.most_jobs,
            }
        )

    @classmethod
    def read(cls, key_id: str, raw: bytes | None) -> "AccessKey | None":
        """Return a key as it lies in Redis; None for what is none, or has a scope of a later version."""
        try:
            found: dict[str, Any] = from_json(raw or b"")
            created, expires = (
                None if found.get(name) is None else datetime.fromisoformat(found[name])
                for name in ("created", "expires")
            )
            scopes = frozenset(map(Scope, found["scopes"]))
            queue, job_id = found.get("job") or ("", "")
            job = (str(queue), str(job_id)) if queue else None
            common = (key_id, str(found["digest"]), scopes, str(found["name"]))
            return cls(*common, created, expires, job=job).bound(**_bounds_in(found))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def stored(self) -> str:
        """Return it as a secret store has it, for API_KEYS: `id:digest:scopes`, with its tenant behind, if any.

        Raises ValueError for a key with a rate or a quota, which Redis keeps.
        """
        if self.rate is not None or self.most_jobs is not None:
            raise ValueError("a key of API_KEYS has no rate and no quota; leave out --stored")
        tenant = "" if self.tenant is None else f":{self.tenant}"
        return f"{self.id}:{self.digest}:{'+'.join(sorted(self.scopes))}{tenant}"

    @classmethod
    def of_stored(cls, text: str) -> "AccessKey":
        """Return a key as API_KEYS has it. Raises ValueError."""
        found = _STORED.fullmatch(text)
        if not found:
            raise ValueError("it is not `id:digest:scopes[:tenant]`, as `rota keys make --stored` prints it")
        return cls(found[1], found[2], scopes_of(found[3].split("+")), name="API_KEYS").bound(tenant=found[4])


def scopes_of(names: list[str]) -> frozenset[Scope]:
    """Return the scopes of these names. Raises ValueError for another one, and for none at all."""
    others = [name for name in names if name not in list(Scope)]
    if others or not names:
        wrong = f"there is no scope {others[0]!r}; choose" if others else "choose at least one scope"
        raise ValueError(f"{wrong} from: {', '.join(Scope)}")
    return frozenset(map(Scope, names))


def _bounds_in(found: dict[str, Any]) -> dict[str, Any]:
    """Return the bounds of a key as it lies in Redis; those of an earlier version has none. Raises ValueError."""
    rate = found.get("rate")
    return {
        "tenant": found.get("tenant"),
        "rate": None if rate is None else RequestRate.parse(rate, found.get("burst")),
        "most_jobs": found.get("most_jobs"),
    }


def make(
    scopes: frozenset[Scope], name: str = "", *, life: timedelta | None = None, tenant: str | None = None
) -> tuple[str, AccessKey]:
    """Make a key; return its text, which is nowhere kept, and what is kept of it.

    Raises ValueError for a long name, and for a tenant that cannot be.
    """
    if len(name) > LONGEST_NAME:
        raise ValueError(f"the name has {len(name)} characters; at most {LONGEST_NAME} are kept")
    key_id = _random(_ID_LENGTH)
    secret = _random(_SECRET_LENGTH)
    now = datetime.now(UTC).replace(microsecond=0)
    expires = None if life is None else now + life
    kept = AccessKey(key_id, _digest(secret), scopes, name, now, expires).bound(tenant=tenant)
    begin = f"rota_{key_id}_{secret}"
    return begin + _check(begin), kept


def parts_of(text: str) -> tuple[str, str] | None:
    """Return the id and the secret in the text of a key; None for what is none, or has a mistake in it."""
    found = _TEXT.fullmatch(text)
    if not found or _check(text[:-_CHECK_LENGTH]) != found[3]:
        return None
    return found[1], found[2]


def is_id(text: str) -> bool:
    """Tell whether a text can be the id of a key."""
    return _ID.fullmatch(text) is not None


def _random(length: int) -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(length))


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _check(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(_CHECK_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
