"""Results, and the inputs of flows, under their seals: one JSON text each, so that scripts can put them into lists.

    "rota-sealed:1:<key>:<kind>:<id, base64>:<value, base64>:<HMAC-SHA256, base64>"

A value is bound to the job that returned it, and says which that is. Who reads a list knows which job each place is of.
"""

import hmac
import re
from binascii import Error, a2b_base64, b2a_base64
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json, to_json

from rota.errors import RefusedPayload
from rota.wire.sealing import cipher
from rota.wire.sealing.ring import PayloadKey
from rota.wire.sealing.seals import ENCRYPTED, SIGNED, Place, Sealer

#: What a value is: the input that a flow begins with; what a job returned; what the last job of its pipeline returned;
#: the arguments of a job, in the list of actions.
Kind = Literal["in", "result", "last", "arguments"]

_BEGIN = "rota-sealed:"
_TEXT = re.compile(
    rf"{_BEGIN}(1e?):([A-Za-z0-9][A-Za-z0-9_-]{{0,31}}):(in|result|last|arguments)"
    r":([A-Za-z0-9+/]*={0,2}):([A-Za-z0-9+/]*={0,2}):([A-Za-z0-9+/]{43})",
    re.ASCII,
)


class Opened(NamedTuple):
    """A value without its seal, which fits: of which kind it is, of which job or flow, and the value as JSON."""

    kind: str
    id: str
    raw: bytes


def seal_value(sealer: Sealer | None, raw: bytes, kind: Kind, job_id: str) -> bytes:
    """Return the JSON value `raw` with its seal; the same bytes where this process seals nothing."""
    if sealer is None or not sealer.signs:
        return raw
    key, place = sealer.ring.first, Place(kind, "", job_id)
    version = ENCRYPTED if sealer.encrypts else SIGNED
    body = cipher.encrypt(key.encrypt, raw, place.under(version)) if sealer.encrypts else raw
    whose = _base64(job_id.encode("utf-8", "surrogateescape"))
    text = b"%b%b:%b:%b:%b:%b" % (_BEGIN.encode(), version, key.id, kind.encode(), whose, _base64(body))
    return b'"%b:%b"' % (text, _code(key, place, version, text))


def is_sealed(value: Any) -> bool:
    """Tell whether a value of JSON is one that `seal_value` wrote, or is to pass for one."""
    return isinstance(value, str) and value.startswith(_BEGIN)


def sealed_in(text: str) -> str | None:
    """Return the sealed value that a JSON text is; None for any other."""
    return text[1:-1] if text.startswith(f'"{_BEGIN}') and text.endswith('"') else None


def open_value(sealer: Sealer, text: str) -> Opened:
    """Check the seal of a text of which `is_sealed` is true. Raises RefusedPayload."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise RefusedPayload("bad_signature")
    version, name, kind, whose, body, code = (part.encode() for part in found.groups())
    key = sealer.ring.keys.get(name)
    if key is None:
        raise RefusedPayload("unknown_key", name.decode())
    try:
        job_id = a2b_base64(whose, strict_mode=True).decode("utf-8", "surrogateescape")
        place = Place(kind.decode(), "", job_id)
        if not hmac.compare_digest(code, _code(key, place, version, text[: -1 - len(code)].encode())):
            raise RefusedPayload("bad_signature")
        raw = a2b_base64(body, strict_mode=True)
    except Error:
        raise RefusedPayload("bad_signature") from None
    if version == ENCRYPTED:
        raw = cipher.decrypt(key.encrypt, raw, place.under(version))
    return Opened(kind.decode(), job_id, raw)


def open_own(sealer: Sealer | None, raw: bytes, kind: Kind, job_id: str) -> bytes:
    """Return the value of one job or flow as JSON. Raises RefusedPayload."""
    return _one(sealer, raw, re.escape(job_id), kind)


def open_stage(sealer: Sealer | None, raw: bytes, flow_id: str, stage: int, *, is_list: bool) -> bytes:
    """Return what a stage of a flow returned, as JSON: one value, or a list by item. Raises RefusedPayload."""
    ids = rf"{re.escape(flow_id)}\.{stage}"
    return _all(sealer, raw, ids, "result") if is_list else _one(sealer, raw, rf"{ids}\.0", "result")


def open_last(sealer: Sealer | None, raw: bytes, flow_id: str, *, is_list: bool) -> bytes:
    """Return what the last stage of a flow returned, as JSON: one value, or a list by item. Raises RefusedPayload."""
    ids = rf"{re.escape(flow_id)}\.\d+"
    return _all(sealer, raw, ids, "last") if is_list else _one(sealer, raw, rf"{ids}\.0", "last")


def unsigned(raw: bytes) -> bytes:
    """Return a value without its seal, which is not checked; one that is encrypted, or was not sealed, as it is."""
    found = (
        _TEXT.fullmatch(raw[1:-1].decode("ascii", "replace"))
        if raw.startswith(b'"' + _BEGIN.encode())
        else None
    )
    if found is None or found[1] != SIGNED.decode():
        return raw
    try:
        return a2b_base64(found[5])
    except Error:
        return raw


def _one(sealer: Sealer | None, raw: bytes, ids: str, kind: Kind) -> bytes:
    if sealer is None or not (sealer.requires or _may_be_sealed(raw)):
        return raw
    value = from_json(raw)
    if sealer.requires and not is_sealed(value):
        raise RefusedPayload("unsigned")
    return _element(sealer, value, ids, kind) if is_sealed(value) else raw


def _all(sealer: Sealer | None, raw: bytes, ids: str, kind: Kind) -> bytes:
    if sealer is None or not (sealer.requires or _may_be_sealed(raw)):
        return raw
    parts = (_element(sealer, one, rf"{ids}\.{number}", kind) for number, one in enumerate(from_json(raw)))
    return b"[%b]" % b",".join(parts)


def _may_be_sealed(raw: bytes) -> bool:
    return _BEGIN.encode() in raw


def _element(sealer: Sealer, value: Any, ids: str, kind: Kind) -> bytes:
    """Return as JSON what lies in the place of the job whose id `ids` matches, or of a pipeline of this id.

    Of an item that failed, and was to be passed over, a script writes null.
    """
    if is_sealed(value):
        found = open_value(sealer, value)
        is_own = found.kind == kind and re.fullmatch(ids, found.id)
        if is_own or (found.kind == "last" and re.fullmatch(rf"{ids}\.\d+\.0", found.id)):
            return found.raw
        raise RefusedPayload("bad_signature")
    if isinstance(value, list):
        parts = (_element(sealer, one, rf"{ids}\.\d+\.{number}", "last") for number, one in enumerate(value))
        return b"[%b]" % b",".join(parts)
    if sealer.requires and value is not None:
        raise RefusedPayload("unsigned")
    return to_json(value)


def _base64(raw: bytes) -> bytes:
    return b2a_base64(raw, newline=False)


def _code(key: PayloadKey, place: Place, version: bytes, text: bytes) -> bytes:
    return _base64(key.sign.digest(place.under(version), text))[:-1]
