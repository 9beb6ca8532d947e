"""The pages that may listen: a browser opens a WebSocket to any site for a page of any other, and says which."""

from starlette.requests import HTTPConnection

from rota.api.problems import Problem
from rota.settings.settings import Settings


def check_origin(request: HTTPConnection, settings: Settings) -> None:
    """Raise Problem for a page of another site than the API's own and those of API_ALLOWED_ORIGINS."""
    host = request.headers.get("host", "").lower()
    allowed = {f"http://{host}", f"https://{host}", *(settings.api_allowed_origins or ())}
    for origin in request.headers.getlist("origin"):
        if origin.lower() not in allowed:
            detail = (
                f"pages of {origin[:100]!r} may not open a WebSocket here; list it in API_ALLOWED_ORIGINS"
            )
            raise Problem(403, "wrong-origin", "The page is of another site", detail)
