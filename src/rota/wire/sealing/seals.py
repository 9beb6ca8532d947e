"""The seal on a payload or a result: bound to where it belongs, and checked before anything of it is read.

What is sealed stays one JSON object, with the seal as its last field. Signed alone, it is what it would be without:

    {"v":1,"f":"send","t":null,"a":[],"k":{"to":"ann"},"et":1700000000000,"sig":"1.<key>.<HMAC-SHA256, base64>"}

Encrypted, only what scripts and people must see of it stands there, and `enc` holds the whole:

    {"v":1,"f":"send","t":null,"et":1700000000000,"enc":"<base64>","sig":"1e.<key>.<HMAC-SHA256, base64>"}

The HMAC is over every byte before `,"sig"`, over the kind of seal, and over the *place*: what the text is, its queue
and its id. (The tenant is a header, and so among the bytes; the runner compares it with the tenant that the scripts
know.) So a payload that was changed, or moved to another job, queue or tenant, is refused. It is compared byte by byte:
of all texts that base64 would read as the same HMAC one alone fits.
"""

import hmac
import re
from binascii import Error, a2b_base64, b2a_base64
from functools import lru_cache
from typing import NamedTuple

from rota.errors import RefusedPayload
from rota.wire.sealing import cipher
from rota.wire.sealing.ring import PayloadKey, Ring

_SIG, _ENC = b',"sig":"', b',"enc":"'
#: What a seal begins with: signed alone, or encrypted too.
SIGNED, ENCRYPTED = b"1", b"1e"
#: The most bytes of a seal: its kind, 32 of a name, 43 of the HMAC, two dots and `"}` behind `,"sig":"`.
_LONGEST = len(_SIG) + len(ENCRYPTED) + 32 + 43 + 4
_SEAL = re.compile(rb',"sig":"(1e?)\.([A-Za-z0-9][A-Za-z0-9_-]{0,31})\.[A-Za-z0-9+/]{43}"\}')


class Place(NamedTuple):
    """Where a sealed text belongs.

    :param kind: what the text is: "job", "record".
    :param queue: the short name of the queue; empty where the kind has none.
    :param id: the id of the job, as it lies in Redis.
    """

    kind: str
    queue: str
    id: str

    def under(self, seal: bytes) -> bytes:
        """Return what a seal of this kind is bound to. Each part has its length before it: no two places are alike."""
        job_id = self.id.encode("utf-8", "surrogateescape")
        return b"%b%d:%b" % (_before(seal, self.kind, self.queue), len(job_id), job_id)


@lru_cache(maxsize=1024)
def _before(seal: bytes, kind: str, queue: str) -> bytes:
    """Return the part of a place that many share: all but the id."""
    parts = [part.encode("utf-8", "surrogateescape") for part in (kind, queue)]
    return b"rota %b\0%b" % (seal, b"".join(b"%d:%b" % (len(part), part) for part in parts))


class Sealer:
    """Seals what a process writes, and opens what it reads.

    :param ring: the keys.
    :param signs: whether what is written is sealed at all.
    :param encrypts: whether it is encrypted too.
    :param requires: whether what has no seal is refused.
    """

    __slots__ = ("encrypts", "requires", "ring", "signs")

    def __init__(self, ring: Ring, *, signs: bool, encrypts: bool = False, requires: bool = False) -> None:
        self.ring = ring
        self.signs = signs
        self.encrypts = encrypts
        self.requires = requires

    def seal(self, raw: bytes, place: Place, shown: bytes) -> bytes:
        """Return the JSON object `raw` with a seal; the same bytes where this process seals nothing.

        `shown` is the object that stays readable if it is encrypted.
        """
        if not self.signs:
            return raw
        key = self.ring.first
        if not self.encrypts:
            return raw[:-1] + _seal(SIGNED, key, place, raw[:-1])
        secret = cipher.encrypt(key.encrypt, raw, place.under(ENCRYPTED) + shown)
        body = b'%b%b%b"' % (shown[:-1], _ENC, b2a_base64(secret, newline=False))
        return body + _seal(ENCRYPTED, key, place, body)

    def open(self, raw: bytes, place: Place) -> bytes:
        """Check the seal of `raw`, and return the object that was sealed.

        Raises RefusedPayload: `unsigned` where a seal is required, `bad_signature`, `unknown_key`, `no_cipher`.
        """
        start = seal_at(raw)
        if start < 0:
            if self.requires:
                raise RefusedPayload("unsigned")
            return raw
        found = _SEAL.fullmatch(raw, start)
        if found is None:
            raise RefusedPayload("bad_signature")
        kind, name = found.groups()
        key = self.ring.keys.get(name)
        if key is None:
            raise RefusedPayload("unknown_key", name.decode())
        body = raw[:start]
        if not hmac.compare_digest(found[0], _seal(kind, key, place, body)):
            raise RefusedPayload("bad_signature")
        return body + b"}" if kind == SIGNED else _decrypted(key, place, body)

    def signature(self, raw: bytes, place: Place) -> str:
        """Return the seal alone of the JSON object `raw`, to be kept beside it."""
        return _seal(SIGNED, self.ring.first, place, raw[:-1])[len(_SIG) : -2].decode()

    def check(self, raw: bytes, signature: str, place: Place) -> None:
        """Check what `signature` returned, empty for none. Raises RefusedPayload."""
        tail = b'%b%b"}' % (_SIG, signature.encode("utf-8", "replace")) if signature else b"}"
        self.open(raw[:-1] + tail, place)


def seal_at(raw: bytes) -> int:
    """Return where the seal of an object begins, -1 for one without a seal."""
    return raw.rfind(_SIG, max(0, len(raw) - _LONGEST)) if raw.endswith(b'"}') else -1


def is_encrypted(raw: bytes) -> bool:
    """Tell whether an object has the seal of one that is encrypted."""
    start = seal_at(raw)
    return start >= 0 and raw.startswith(_SIG + ENCRYPTED + b".", start)


def _seal(kind: bytes, key: PayloadKey, place: Place, body: bytes) -> bytes:
    code = key.sign.digest(place.under(kind), body)
    return b'%b%b.%b.%b"}' % (_SIG, kind, key.id, b2a_base64(code, newline=False)[:-1])


def _decrypted(key: PayloadKey, place: Place, body: bytes) -> bytes:
    shown, _, text = body[:-1].rpartition(_ENC)
    try:
        secret = a2b_base64(text, strict_mode=True)
    except Error:  # only the holder of a key can have written this, and not by this module
        raise RefusedPayload("bad_signature") from None
    return cipher.decrypt(key.encrypt, secret, place.under(ENCRYPTED) + shown + b"}")
