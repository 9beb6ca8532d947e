"""A ring of keys: the first signs, and all of them verify, so that a key can be replaced while jobs wait."""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

#: The bytes of a key's secret.
SECRET_BYTES = 32
#: What a key may be called.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", re.ASCII)

#: The bytes that SHA-256 takes at a time.
_BLOCK = 64
_SIGNS, _ENCRYPTS = b"rota 1 sign", b"rota 1 encrypt"


class Hmac:
    """HMAC-SHA256 with one secret, whose two hashes are begun once: that is half of the time that a payload takes."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        padded = secret.ljust(_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def digest(self, *parts: bytes) -> bytes:
        """Return the code of `parts`, one behind the other."""
        inner, outer = self._inner.copy(), self._outer.copy()
        for part in parts:
            inner.update(part)
        outer.update(inner.digest())
        return outer.digest()


@dataclass(frozen=True, slots=True)
class PayloadKey:
    """One key of a ring: its name, which stands in every seal, and a code with a secret for each of its two uses."""

    id: bytes
    sign: Hmac = field(repr=False)
    encrypt: Hmac = field(repr=False)

    @classmethod
    def of(cls, name: str, secret: bytes) -> Self:
        """Derive the two secrets of a key from its one. Raises ValueError for a name or a secret that is none."""
        if not NAME.fullmatch(name):
            raise ValueError(f"{name[:40]!a} names no key: up to 32 letters, digits, '-' and '_'")
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"the key {name} has {len(secret)} bytes and must have {SECRET_BYTES}")
        sign, encrypt = (Hmac(hmac.digest(secret, use, "sha256")) for use in (_SIGNS, _ENCRYPTS))
        return cls(name.encode(), sign, encrypt)


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys that a process has.

    :param first: signs and encrypts what the process writes.
    :param keys: all keys by their names, which verify and decrypt what it reads.
    :param texts: the secrets as they were given, which no log may show.
    """

    first: PayloadKey
    keys: dict[bytes, PayloadKey]
    texts: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, text: str) -> Self:
        """Read keys, `name:base64` each, with blanks, commas or line ends between. Raises ValueError."""
        found: dict[bytes, PayloadKey] = {}
        texts = []
        for one in re.split(r"[\s,]+", text.strip()):
            name, colon, secret = one.partition(":")
            if not colon:
                raise ValueError("a key is not `name:base64`, as `rota payload-key` prints it")
            key = PayloadKey.of(name, _decoded(name, secret))
            if key.id in found:
                raise ValueError(f"the key {name} is there twice; a new key needs a new name")
            found[key.id] = key
            texts.append(secret)
        return cls(next(iter(found.values())), found, tuple(texts))


def new_key(name: str) -> str:
    """Make a key, as PAYLOAD_KEYS takes it. Raises ValueError for a name that is none."""
    secret = secrets.token_bytes(SECRET_BYTES)
    PayloadKey.of(name, secret)
    return f"{name}:{base64.b64encode(secret).decode()}"


def _decoded(name: str, text: str) -> bytes:
    padded = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except ValueError:
        raise ValueError(f"the secret of the key {name[:40]!a} is not base64") from None
