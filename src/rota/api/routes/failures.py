"""The routes of failures: dead letters by the cause of their death."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from rota.api import shapes
from rota.api.answers import answer
from rota.api.desk import READS, Desk, desk_of
from rota.api.problems import Problem, wrong_parameter
from rota.model.info import FailureGroup
from rota.wire.keys import check_queue

router = APIRouter(tags=["failures"], default_response_class=Response)


@router.get("/failures", summary="Failures by cause", dependencies=[READS])
async def failures(request: Request, queue: Annotated[str | None, Query()] = None) -> Response:
    """Return the dead letters of one queue, or of all, grouped by cause, the most numerous first."""
    return answer({"items": [_group(one) for one in await _groups(desk_of(request), queue)]})


@router.get("/failures/{cause}", summary="One cause", dependencies=[READS])
async def failure(request: Request, cause: str) -> Response:
    """Return the dead letters of one cause, by queue."""
    found = [_group(one) for one in await _groups(desk_of(request), None) if one.cause == cause]
    if not found:
        detail = f"no dead letter that is kept has the cause {cause[:80]!r}"
        raise Problem(404, "no-such-cause", "There is no such cause", detail)
    return answer({"items": found})


async def _groups(desk: Desk, queue: str | None) -> list[FailureGroup]:
    if queue is not None:
        try:
            check_queue(queue)
        except ValueError as error:
            raise wrong_parameter(str(error)) from None
    return await desk.client.failures(queue)


def _group(group: FailureGroup) -> dict[str, Any]:
    known = {name: getattr(group, name) for name in group.__slots__}
    return known | {"error": shapes.error(group.error)}
