"""Bodies of requests: JSON in UTF-8 of a bounded size and depth, and nothing that another reader would refuse."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from rota.api.problems import Problem, pointer

#: The deepest nesting of arrays and objects.
DEEPEST = 64
#: What a body may have beside its payload, in bytes.
ROOM = 16_384
_TITLE = "The body cannot be read"
#: A number that may be too large for a float: many digits, or a large exponent.
_LARGE_NUMBER = re.compile(rb"[0-9]{300}|[eE]\+?[0-9]{3}")


async def read_object(request: Request, limit: int) -> dict[str, Any]:
    """Return the JSON object in the body. Raises Problem for a body that is none, or has more than `limit` bytes."""
    _check_type(request.headers.get("content-type", ""))
    raw = await _read(request, limit)
    value = parse(raw) if raw else {}
    if not isinstance(value, dict):
        raise Problem(422, "invalid-body", _TITLE, "the body is to be a JSON object")
    return value


def parse(raw: bytes) -> Any:
    """Return the value of JSON bytes. Raises Problem for bytes that are not JSON, or too deep or large."""
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, "invalid-json", _TITLE, f"the body is not JSON in UTF-8: {error}") from None
    if raw.count(b"[") + raw.count(b"{") > DEEPEST:
        _check_depth(value)
    if _LARGE_NUMBER.search(raw):
        _check_numbers(value)
    return value


def refuse_others(given: Mapping[str, Any], allowed: tuple[str, ...], *place: str | int) -> None:
    """Raise Problem for a name in an object that is not among those that it may have."""
    others = [name for name in given if name not in allowed]
    if others:
        errors = [{"pointer": pointer(*place) + f"/{name}", "detail": "is not known"} for name in others[:10]]
        detail = f"there is no {json.dumps(others[0])}; choose from: {', '.join(allowed)}"
        raise Problem(422, "invalid-body", "The body has a field that is not known", detail, errors=errors)


def _check_type(content_type: str) -> None:
    kind, _, parameters = content_type.lower().partition(";")
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(' "')
    if kind.strip() not in ("application/json", "") or charset not in ("utf-8", "utf8", ""):
        detail = "the body is to be JSON in UTF-8: send Content-Type: application/json"
        raise Problem(415, "unsupported-type", "The type of the body is not supported", detail)


async def _read(request: Request, limit: int) -> bytes:
    """Return the whole body. Raises Problem as soon as it is larger than `limit`."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise Problem(413, "too-large", "The body is too large", f"at most {limit} bytes are taken here")
        chunks.append(chunk)
    return b"".join(chunks)


def _check_depth(value: Any, depth: int = 1) -> None:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        return
    if depth > DEEPEST:
        raise Problem(422, "invalid-body", _TITLE, f"the body is nested more than {DEEPEST} levels deep")
    for one in inner:
        _check_depth(one, depth + 1)


def _check_numbers(value: Any) -> None:
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,):
        if isinstance(one, dict | list):
            _check_numbers(one)
        elif isinstance(one, float) and not math.isfinite(one):
            raise Problem(
                422, "invalid-body", _TITLE, "a number in the body is larger than any JSON reader takes"
            )
