"""The routes about the API itself: whether it is alive, whether it can serve, its document, and whose key this is."""

from fastapi import APIRouter, Request, Response

from rota.api.answers import answer
from rota.api.desk import ANY_KEY, desk_of
from rota.model.access.keys import AccessKey
from rota.server.faults import explained

router = APIRouter(tags=["system"], default_response_class=Response)


@router.get("/healthz", summary="Whether the process answers")
async def healthz() -> Response:
    """Return 200 while the process answers, with Redis there or away."""
    return answer({"status": "ok"})


@router.get("/readyz", summary="Whether requests can be served")
async def readyz(request: Request) -> Response:
    """Return 200 while Redis answers, else 503."""
    redis = desk_of(request).client.redis
    async with explained(redis):
        await redis.ping()
    return answer({"status": "ok"})


@router.get("/openapi.json", include_in_schema=False, dependencies=[ANY_KEY])
async def document(request: Request) -> Response:
    """Return the OpenAPI document of all routes and jobs."""
    return answer(request.app.openapi())


@router.get("/me", summary="The key that is shown", dependencies=[ANY_KEY])
async def me(request: Request) -> Response:
    """Return what the key of the request lets its holder do, and until when."""
    key: AccessKey = request.state.key
    shown = {name: getattr(key, name) for name in ("name", "tenant", "expires")}
    return answer({"id": key.id or None, "scopes": sorted(key.scopes), **shown})
