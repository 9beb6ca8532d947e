"""The page that makes a job: its arguments as fields or as JSON, the options, and the lines that do the same."""

import shlex
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from rota.api.bodies import parse
from rota.api.desk import Desk, caller_of, desk_of, record
from rota.api.documents.document import example_payload, payload_schema
from rota.api.enqueueing import call_of
from rota.api.pages.frame import ROOT, Page, base_of, form_of, go_to, job_page, render
from rota.api.pages.screens.jobs.fields import Field, fields_of, payload_of
from rota.api.pages.visitors import OWN_ENQUEUES, OWN_MAKES
from rota.api.problems import Problem, pointer, problem_of
from rota.errors import RotaError

router = APIRouter(route_class=Page, prefix=ROOT, include_in_schema=False)

#: The options of the form, each with its words and what is shown while it is empty.
_OPTIONS = (
    ("id", "Id", "made up"),
    ("queue", "Queue", "that of the job"),
    ("tenant", "Tenant", "none"),
    ("delay", "Delay, in seconds", "at once"),
    ("priority", "Priority, 0 to 9", "that of the job"),
    ("timeout", "Timeout, in seconds", "that of the job"),
    ("max_attempts", "Attempts", "that of the job"),
)


@router.get("/new", dependencies=[OWN_ENQUEUES])
async def new(request: Request, name: str = "", payload: str = "") -> Response:
    """Show the form, with an example of the payload, or with one that was given."""
    desk = desk_of(request)
    names = sorted(desk.registry.full_names)
    chosen = name if name in names else (names[0] if names else "")
    return _form(request, chosen, {"payload": payload or _example(desk, chosen)})


@router.post("/new", dependencies=[OWN_MAKES])
async def make(request: Request) -> Response:
    """Enqueue the job, or show the form again: with what is wrong in it, or the fields as JSON where that was asked."""
    desk = desk_of(request)
    form = {name: values[0] for name, values in (await form_of(request)).items()}
    name = form.get("name", "")
    if form.get("by") == "json":
        form = {key: value for key, value in form.items() if not key.startswith("payload.")}
    try:
        payload = _payload(desk, name, form)
        if form.get("by") == "show":
            return _form(request, name, form | {"payload": to_json(payload, indent=2).decode()})
        call = call_of(
            desk.registry, caller_of(request), name, {"payload": payload, "options": _options(form)}
        )
        async with desk.gate.quotas.within(caller_of(request), 1):
            (handle,) = await desk.client.enqueue_many([call])
    except (Problem, RotaError, ValueError) as error:
        problem = problem_of(error)
        if problem is None or problem.status >= 500:  # noqa: PLR2004
            raise
        return _form(request, name, form, problem)
    await record(request, "enqueue", queue=handle.queue, id=handle.id)
    said = (
        "The job is enqueued."
        if handle.created
        else "A job with this id, or its unique key, was there already."
    )
    return go_to(request, job_page(base_of(request), handle.queue, handle.id), said)


def _payload(desk: Desk, name: str, form: Mapping[str, str]) -> Any:
    """Return the payload of the form: of its fields, or of its JSON. Raises Problem for what cannot be read."""
    if form.get("by") == "json" or not any(key.startswith("payload.") for key in form):
        text = form.get("payload", "").strip()
        return parse(text.encode("utf-8", "surrogatepass")) if text else {}
    payload, wrong = payload_of(_fields(desk, name), form)
    if wrong:
        errors = [{"pointer": pointer("payload", one), "detail": why} for one, why in wrong.items()]
        raise Problem(
            422, "invalid-payload", "The request does not fit the job", "a field is not JSON", errors=errors
        )
    return payload


def _form(request: Request, name: str, form: Mapping[str, str], problem: Problem | None = None) -> Response:
    desk = desk_of(request)
    known, fields = name in desk.registry.full_names, _fields(desk, name)
    written, payload = _written(fields, form)
    wrong, rest = _wrong(fields, problem)
    options = [one for one in _OPTIONS if one[0] != "tenant" or caller_of(request).tenant is None]
    return render(
        request,
        "new.html",
        200 if problem is None else problem.status,
        page="new",
        name=name,
        names=sorted(desk.registry.full_names),
        fields=fields,
        written=written,
        payload=payload,
        options=options,
        form=form,
        schema=to_json(payload_schema(desk.registry.find(name)), indent=2).decode() if known else "",
        problem=problem,
        wrong=wrong,
        rest=rest,
        about=(desk.registry.find(name).handler.__doc__ or "").strip() if known else "",
        lines=_lines(request, name, payload, _options(form)) if known else (),
    )


def _written(fields: list[Field], form: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Return what stands in each field, and the same as JSON; what was written there stays, also where it is wrong."""
    if any(one.input in form for one in fields):
        payload, _ = payload_of(fields, form)
        return {one.name: form.get(one.input, "") for one in fields}, to_json(payload, indent=2).decode()
    text = form.get("payload", "")
    try:
        known = parse(text.encode("utf-8", "surrogatepass"))
    except Problem:
        known = {}
    known = known if isinstance(known, dict) else {}
    return {one.name: one.written(known[one.name]) for one in fields if one.name in known}, text


def _wrong(fields: list[Field], problem: Problem | None) -> tuple[dict[str, str], list[str]]:
    """Return what is wrong, by the name of the field or of the option, and what belongs to none of them."""
    if problem is None:
        return {}, []
    places = {f"/payload/{one.name}": one.name for one in fields} | {
        f"/options/{one}": f"options.{one}" for one, _, _ in _OPTIONS
    }
    wrong: dict[str, str] = {}
    rest = []
    for error in problem.errors:
        place = "/".join(error["pointer"].split("/")[:3])
        below = error["pointer"].removeprefix(place)
        if place in places:
            wrong.setdefault(places[place], f"{below} {error['detail']}".strip())
        else:
            rest.append(f"{error['pointer']} {error['detail']}")
    return wrong, rest if problem.errors else [problem.detail]


def _lines(request: Request, name: str, payload: str, options: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the lines that do the same: of the command line, and of curl with a key in `$ROTA_KEY`."""
    try:
        given = parse(payload.encode("utf-8", "surrogatepass")) if payload.strip() else {}
    except Problem:
        return []
    body = {"payload": given, "options": options} if options else {"payload": given}
    flags = [part for one, value in options.items() for part in (f"--{one.replace('_', '-')}", value)]
    address = f"{str(request.base_url).rstrip('/')}/jobs/{name}"
    headers = "-H \"Authorization: Bearer $ROTA_KEY\" -H 'Content-Type: application/json'"
    return [
        ("On the command line", shlex.join(["rota", "enqueue", name, to_json(given).decode(), *flags])),
        ("With curl", f"curl {headers} {shlex.quote(address)} -d {shlex.quote(to_json(body).decode())}"),
    ]


def _fields(desk: Desk, name: str) -> list[Field]:
    known = name in desk.registry.full_names
    return fields_of(payload_schema(desk.registry.find(name))) if known else []


def _example(desk: Desk, name: str) -> str:
    if not name:
        return "{}"
    return to_json(example_payload(desk.registry.find(name)), indent=2).decode()


def _options(form: Mapping[str, str]) -> dict[str, Any]:
    given = {name: form.get(name, "").strip() for name, _, _ in _OPTIONS}
    return {name: value for name, value in given.items() if value}
