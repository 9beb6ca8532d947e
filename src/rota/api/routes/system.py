"""The routes about the API itself: whether it is alive, and whether it can serve."""

from fastapi import APIRouter, Request, Response

from rota.api.answers import answer
from rota.api.desk import desk_of
from rota.server.faults import explained

router = APIRouter(tags=["system"])


@router.get("/healthz", summary="Whether the process answers", response_class=Response)
async def healthz() -> Response:
    """Return 200 while the process answers, with Redis there or away."""
    return answer({"status": "ok"})


@router.get("/readyz", summary="Whether requests can be served", response_class=Response)
async def readyz(request: Request) -> Response:
    """Return 200 while Redis answers, else 503."""
    redis = desk_of(request).client.redis
    async with explained(redis):
        await redis.ping()
    return answer({"status": "ok"})
