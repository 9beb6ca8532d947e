"""Cursors: where the next page of a list begins, as an opaque text that is good for that list alone."""

import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pydantic_core import from_json, to_json

from rota.api.problems import Problem, wrong_parameter


def cursor_of(filters: Mapping[str, Any], place: Any) -> str:
    """Return the cursor of a place in the list that these filters make."""
    return base64.urlsafe_b64encode(to_json([_mark(filters), place])).rstrip(b"=").decode()


def place_in(cursor: str, filters: Mapping[str, Any]) -> Any:
    """Return the place that a cursor names. Raises Problem for one that is not of the list of these filters."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark, place = from_json(raw)
    except (ValueError, TypeError):
        mark, place = None, None
    if mark != _mark(filters):
        raise not_of_this_list()
    return place


def not_of_this_list() -> Problem:
    """Return the problem of a cursor that no list with these filters has given."""
    detail = "the cursor is not one of this list; take it from `next`, and change no other parameter"
    return wrong_parameter(detail)


def _mark(filters: Mapping[str, Any]) -> str:
    return sha256(to_json(dict(sorted(filters.items())))).hexdigest()[:8]
