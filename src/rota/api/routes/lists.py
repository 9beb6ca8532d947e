"""The list of jobs: those in a state from Redis, all others from the audit table."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from rota.api import shapes
from rota.api.answers import answer
from rota.api.asking.filters import Filters, understood
from rota.api.asking.language import Mistake
from rota.api.asking.pages import page_of
from rota.api.desk import OWN_READS, caller_of, desk_of
from rota.api.problems import check_names, wrong_parameter
from rota.model.access.keys import AccessKey

router = APIRouter(tags=["jobs"], default_response_class=Response)


@router.get("/jobs", summary="List jobs", dependencies=[OWN_READS])
async def jobs(request: Request, filters: Annotated[Filters, Query()]) -> Response:
    """Return a page of jobs: with `state` as Redis has them, else from the audit table, newest first."""
    key = caller_of(request)
    filters = of_caller(filters, key)
    try:
        asking = understood(filters)
    except Mistake as mistake:
        raise wrong_parameter(f"q: {mistake}") from None
    if filters.id is not None and filters.queue is not None:
        return answer(await one(request, filters.queue, filters.id))
    known = filters.known()
    page = await page_of(desk_of(request), key, asking, known)
    headers = {}
    if page.next is not None:
        again = {name: str(value) for name, value in known.items()} | {
            "limit": filters.limit,
            "cursor": page.next,
        }
        headers["Link"] = f'<{request.scope.get("root_path", "")}/jobs?{urlencode(again)}>; rel="next"'
    return answer({"items": page.items, "next": page.next}, headers=headers)


async def one(
    request: Request, queue: str, job_id: str, include: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return a job from Redis, or where it has left that from the audit table. Raises JobNotFound."""
    found = await desk_of(request).find(caller_of(request), queue, job_id)
    return shapes.row(found, include) if isinstance(found, dict) else shapes.job(found, include)


def of_caller(filters: Filters, key: AccessKey) -> Filters:
    """Return the filters of the list that the holder of a key gets. Raises Problem for the list of another tenant."""
    if filters.tenant is not None:
        check_names(key, filters.tenant)
    return filters if key.tenant is None else filters.model_copy(update={"tenant": key.tenant})
