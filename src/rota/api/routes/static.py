"""The JavaScript module for pages, which anybody may load."""

import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response

router = APIRouter(tags=["live"], default_response_class=Response)

_MODULE = (Path(__file__).parents[1] / "static" / "rota.js").read_bytes()
_HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "ETag": f'"{hashlib.sha256(_MODULE).hexdigest()[:16]}"',
    "X-Content-Type-Options": "nosniff",
}


@router.get("/static/rota.js", summary="The JavaScript module for pages", include_in_schema=False)
async def module(request: Request) -> Response:
    """Return the module that follows jobs from a page. A browser that has it is told so."""
    if _HEADERS["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=_HEADERS)
    return Response(_MODULE, headers=_HEADERS, media_type="text/javascript; charset=utf-8")
