"""The page that makes a job: a form with the name, a payload that fits it, and the options."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from rota.api.bodies import parse
from rota.api.desk import Desk, caller_of, desk_of, record
from rota.api.documents.document import example_payload, payload_schema
from rota.api.enqueueing import call_of
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, job_page, render
from rota.api.pages.visitors import OWN_ENQUEUES, OWN_MAKES
from rota.api.problems import Problem, problem_of
from rota.errors import RotaError

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The options of the form: numbers, and texts.
_NUMBERS, _TEXTS = ("delay", "priority", "timeout", "max_attempts"), ("id", "queue")


@router.get("/new", dependencies=[OWN_ENQUEUES])
async def new(request: Request, name: str = "", payload: str = "") -> Response:
    """Show the form, with an example of the payload, or with one that was given."""
    desk = desk_of(request)
    names = sorted(desk.registry.full_names)
    chosen = name if name in names else (names[0] if names else "")
    fields = {"payload": payload or _example(desk, chosen)}
    return _form(request, chosen, fields)


@router.post("/new", dependencies=[OWN_MAKES])
async def make(request: Request) -> Response:
    """Enqueue the job, or show the form again with what is wrong in it."""
    desk, form = desk_of(request), await form_of(request)
    fields = {name: values[0] for name, values in form.items()}
    name = fields.get("name", "")
    try:
        body = {"payload": _payload(fields), "options": _options(fields)}
        call = call_of(desk.registry, caller_of(request), name, body)
        async with desk.gate.quotas.within(caller_of(request), 1):
            (handle,) = await desk.client.enqueue_many([call])
    except (Problem, RotaError, ValueError) as error:
        problem = problem_of(error)
        if problem is None or problem.status >= 500:  # noqa: PLR2004
            raise
        return _form(request, name, fields, problem)
    await record(request, "enqueue", queue=handle.queue, id=handle.id)
    said = (
        "The job is enqueued."
        if handle.created
        else "A job with this id, or its unique key, was there already."
    )
    return go_to(request, job_page(base_of(request), handle.queue, handle.id), said)


def _form(request: Request, name: str, fields: dict[str, str], problem: Problem | None = None) -> Response:
    desk = desk_of(request)
    known = name in desk.registry.full_names
    schema = to_json(payload_schema(desk.registry.find(name)), indent=2).decode() if known else ""
    return render(
        request,
        "new.html",
        200 if problem is None else problem.status,
        page="new",
        name=name,
        names=sorted(desk.registry.full_names),
        fields=fields,
        schema=schema,
        problem=problem,
        about=(desk.registry.find(name).handler.__doc__ or "").strip() if known else "",
    )


def _example(desk: Desk, name: str) -> str:
    if not name:
        return "{}"
    return to_json(example_payload(desk.registry.find(name)), indent=2).decode()


def _payload(fields: dict[str, str]) -> Any:
    """Return the payload of the form. Raises Problem for text that is not JSON."""
    text = fields.get("payload", "").strip()
    return parse(text.encode("utf-8", "surrogatepass")) if text else {}


def _options(fields: dict[str, str]) -> dict[str, Any]:
    given = {name: fields.get(name, "").strip() for name in (*_NUMBERS, *_TEXTS)}
    return {name: value for name, value in given.items() if value}
