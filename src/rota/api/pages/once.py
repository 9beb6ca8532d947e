"""Forms that make something which is shown once: a mark in each is good once, so sent again they make nothing more.

The answer to this form is the page with the secret itself, as nothing else keeps it. A browser that is told to load
that page again sends the form again; the mark in it is known by then.
"""

import secrets

from fastapi import Request

from rota.api.desk import desk_of
from rota.server.faults import explained
from rota.wire.access import AccessRecords

#: How long a mark is remembered, in seconds: a page that is open for longer has lost its session too.
_REMEMBERED = 12 * 3600.0


def new_mark() -> str:
    """Return the mark of a form that is shown now."""
    return secrets.token_urlsafe(12)


async def is_first(request: Request, form: dict[str, list[str]]) -> bool:
    """Tell whether a form was not sent before; one without a mark is taken each time. Raises ServerError."""
    mark = form.get("once", [""])[0]
    desk = desk_of(request)
    if not mark:
        return True
    async with explained(desk.client.redis):
        return await AccessRecords(desk.client.redis, desk.settings.namespace).is_first(mark, _REMEMBERED)
