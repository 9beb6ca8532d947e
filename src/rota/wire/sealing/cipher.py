"""AES-256-GCM with a key of its own for each text, so that no key ever meets the same nonce twice.

The package `cryptography` is loaded by the first text: most processes encrypt nothing.
"""

import functools
import importlib.util
import os
from typing import Any

from rota.errors import RefusedPayload
from rota.wire.sealing.ring import Hmac

#: The random bytes before each text: those from which its key is derived, and its nonce.
_SALT, _NONCE = 16, 12


def has_cipher() -> bool:
    """Tell whether the extra `encryption` is installed."""
    return importlib.util.find_spec("cryptography") is not None


@functools.cache
def _package() -> tuple[Any, tuple[type[Exception], ...]]:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM, (InvalidTag, ValueError)


def encrypt(secret: Hmac, text: bytes, bound: bytes) -> bytes:
    """Encrypt `text`, which can then be read only together with `bound`."""
    kind, _ = _package()
    random = os.urandom(_SALT + _NONCE)
    cipher = kind(secret.digest(random[:_SALT]))
    encrypted: bytes = cipher.encrypt(random[_SALT:], text, bound)
    return random + encrypted


def decrypt(secret: Hmac, raw: bytes, bound: bytes) -> bytes:
    """Return what `encrypt` was given. Raises RefusedPayload for anything else, and without the package."""
    try:
        kind, faults = _package()
    except ImportError:
        raise RefusedPayload("no_cipher") from None
    cipher = kind(secret.digest(raw[:_SALT]))
    try:
        text: bytes = cipher.decrypt(raw[_SALT : _SALT + _NONCE], raw[_SALT + _NONCE :], bound)
    except faults:
        raise RefusedPayload("bad_signature") from None
    return text
