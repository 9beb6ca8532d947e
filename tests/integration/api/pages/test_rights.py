"""Every page of the dashboard, found from its router: whom it refuses, what it shows a tenant, which forms it takes."""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import httpx2
import pytest
from fastapi.params import Depends
from fastapi.routing import APIRoute

from rota import pipeline
from rota.api.pages.routes import ROUTERS
from rota.api.pages.screens.jobs.one.actions import _ACTIONS
from rota.api.pages.visitors import (
    ACTS,
    ADMINISTERS,
    CHANGES,
    OWN_ACTS,
    OWN_ENQUEUES,
    OWN_MAKES,
    OWN_SEES,
    SEES,
)
from rota.client.webhooks.records import WebhookRecords
from rota.flows import looking
from rota.model.flows.handle import FlowHandle
from tests.integration.api.pages.visiting import OWN, Seen
from tests.integration.api.serving import Api
from tests.integration.api.test_access import made
from tests.integration.api.towns import OWNERS, Town, clear_of, secret_of, wait

#: What stands in paths where it is not about a certain thing; other names are none.
PLACES = defaultdict(lambda: "none", queue="email", name="hourly", action="run")
#: How a tenant asks each page that shows it its own for what is another's: the path behind that of the route, and the
#: fields of the form. It is answered as if there were no such thing.
STRANGE: dict[tuple[str, str], list[tuple[str, dict[str, str]]]] = {
    ("GET", "/job"): [("?queue={queue}&id={id}&now=1", {})],
    ("GET", "/job/payload"): [("?queue={queue}&id={id}", {}), ("?queue={queue}&id={id}&part=log", {})],
    ("GET", "/job/beside"): [("?queue={queue}&id={id}&list=queue%3D{queue}%26state%3Ddead&step=next", {})],
    ("POST", "/job/again"): [("", {"queue": "{queue}", "id": "{id}"})],
    ("POST", "/job/fix"): [("", {"queue": "{queue}", "id": "{id}", "payload": "{{}}"})],
    ("POST", "/job/{action}"): [("", {"queue": "{queue}", "id": "{id}"})],
    ("GET", "/bulk/{id}"): [("", {})],
    ("POST", "/bulk/{id}/abort"): [("", {})],
    ("GET", "/flows/{id}"): [("?stage=0", {}), ("", {})],
    ("POST", "/flows/{id}/cancel"): [("", {})],
    ("POST", "/flows/{id}/resume"): [("", {})],
    ("GET", "/webhooks/{webhook}"): [("", {})],
    ("GET", "/webhooks/{webhook}/messages/{message}"): [("", {})],
    ("POST", "/webhooks/{webhook}/{action}"): [("", {"message": "none"})],
}
#: What is put for the names of actions, each of which is tried.
ACTIONS = {
    "/job/{action}": tuple(_ACTIONS),
    "/webhooks/{webhook}/{action}": ("on", "off", "send", "delete", "rotate"),
}
#: The lists that are cut for a tenant, and how each is asked.
CUT: dict[tuple[str, str], list[str]] = {
    ("GET", "/jobs"): [
        "",
        "?status=FAILED",
        "?error=abc",
        *(f"?queue=held&state={state}" for state in ("waiting", "delayed")),
        "?queue=long&state=active",
        "?queue=quick&state=dead",
    ],
    ("GET", "/activity"): [""],
    ("GET", "/flows"): ["", "?state=active", "?state=dead"],
    ("GET", "/webhooks"): [""],
    ("GET", "/search"): ["?q={id}", "?q=quick", "?q={flow}", "?q=secret-of"],
}
#: Those that are tried by tests of their own.
ELSEWHERE = {
    ("GET", "/live"),
    ("GET", "/new"),
    ("POST", "/new"),
    ("POST", "/bulk"),
    ("POST", "/bulk/try"),
    ("POST", "/jobs/columns"),
    ("POST", "/webhooks"),
    ("GET", "/{path}"),
}


#: What the route of a page can depend on.
KINDS = (SEES, ACTS, ADMINISTERS, CHANGES, OWN_SEES, OWN_ACTS, OWN_ENQUEUES, OWN_MAKES)
#: What lets a visitor in and out.
DOOR = {("GET", "/login"), ("POST", "/login"), ("POST", "/logout"), ("GET", "/static/{mark}/{name}")}


def routes(*kinds: Depends) -> set[tuple[str, str]]:
    """Return the method and the path of each page that depends on one of `kinds`; without any, of all pages."""
    found = [one for router in ROUTERS for one in router.routes if isinstance(one, APIRoute)]
    return {
        (method, one.path.removeprefix("/ui").replace(":path", ""))
        for one in found
        for method in one.methods or ()
        if not kinds or any(own is kind for own in one.dependencies for kind in kinds)
    }


def acting() -> list[tuple[str, str]]:
    """Return the method and the path of each route that changes something, but for those of the door."""
    return sorted(one for one in routes() - DOOR if one[0] != "GET")


async def asked(town: Town, owner: str | None, method: str, path: str, **form: str) -> httpx2.Response:
    headers = town.keys[owner] | OWN
    return await town.api.http.request(
        method, f"/ui{path}", headers=headers, data=form if method == "POST" else None
    )


async def test_pages_about_the_jobs_of_all_are_refused_to_a_tenant(town: Town) -> None:
    found = routes(SEES, ACTS, ADMINISTERS, CHANGES)
    assert len(found) > 10
    for method, path in found:
        answer = await asked(town, "acme", method, path.format_map(PLACES))
        if path.strip("/"):
            assert answer.status_code == 403, (method, path)
            assert "the key" in answer.text
            assert ">Overview<" not in answer.text, "its navigation has its own pages alone"
        else:
            assert answer.headers["location"] == "/ui/jobs"
        clear_of(answer.text, "acme")


async def test_a_tenant_s_key_shows_and_changes_nothing_of_another_s(town: Town) -> None:
    own = routes(OWN_SEES, OWN_ACTS, OWN_ENQUEUES, OWN_MAKES)
    assert own == STRANGE.keys() | CUT.keys() | ELSEWHERE, (
        "say how a tenant asks the page for what is another's"
    )
    before = await town.state()
    for owner in OWNERS[1:]:
        hook = await town.api.client.webhooks.make(
            "https://8.8.8.8/hook", description=secret_of(owner), tenant=owner
        )
        records = WebhookRecords(town.api.client.redis, "rota").of(hook.id)
        await records.add({"msg_1": secret_of(owner).encode()}, 1, "email")
        message = await records.one("msg_1")
        flow = await started(town, owner)
        wanted = {"action": "delete", "filter": {"queue": "none"}}
        operation = (await town.ask(owner, "POST", "/bulk", json=wanted)).json()["id"]
        for queue, job_id, _ in town.jobs[owner]:
            names = {
                **{"queue": queue, "id": job_id, "webhook": hook.id, "operation": operation},
                **{"flow": flow.id, "message": "msg_1"},
            }
            await nothing_is_told(town, names)
        kept = await town.api.client.webhooks.get(hook.id)
        assert (kept.secret, kept.off) == (hook.secret, hook.off)
        assert await records.one("msg_1") == message, "it is not sent again"
    assert await town.state() == before, "nothing was changed"


async def started(town: Town, owner: str | None) -> FlowHandle[None]:
    """Let a pipeline of an owner begin, whose first job waits."""
    plan = pipeline(wait, name=secret_of(owner))
    return await town.api.client.enqueue(plan.options(tenant=owner), secret_of(owner))


async def nothing_is_told(town: Town, names: dict[str, str]) -> None:
    for (method, path), requests in STRANGE.items():
        for action in ACTIONS.get(path, ("",)):
            places = names | {"action": action}
            for part in ("bulk", "flows"):
                if path.startswith(f"/{part}"):
                    places["id"] = names[{"bulk": "operation", "flows": "flow"}[part]]
            for rest, fields in requests:
                form = {name: value.format_map(places) for name, value in fields.items()}
                answer = await asked(town, "acme", method, (path + rest).format_map(places), **form)
                assert answer.status_code == 404, (method, path, places, answer.text)
                clear_of(answer.text.replace(names["id"], "what was asked for"), "acme")
    for (method, path), rests in CUT.items():
        for rest in rests:
            answer = await asked(town, "acme", method, (path + rest).format_map(names))
            assert answer.status_code in (200, 303), (path, rest, answer.text)
            assert not any(
                one in answer.headers.get("location", "") for one in ("job?", "/queues/", "/flows/")
            )
            assert not re.search(r'class="count"|state=\w+"[^>]*>\w+ \d', answer.text), "not even how many"
            clear_of(answer.text.replace(names["id"], "what was asked for"), "acme")


async def test_a_tenant_sees_its_own_and_acts_on_it(town: Town) -> None:
    for queue, job_id, given in town.jobs["acme"]:
        for name in {job_id, given}:
            shown = await asked(town, "acme", "GET", f"/job?queue={queue}&id={name}")
            assert shown.status_code == 200, (name, shown.text)
            assert "tenant <b>acme</b>" in shown.text
            clear_of(shown.text, "acme")
    waiting = await asked(town, "acme", "GET", "/jobs?queue=held&state=waiting")
    assert "acme~waits" in waiting.text
    found = await asked(town, "acme", "GET", "/search?q=waits")
    assert found.headers["location"].startswith("/ui/job?")
    assert (await asked(town, "acme", "GET", "/jobs?tenant=globex")).status_code == 403
    for action, queue, name in (
        ("run-now", "held", "later"),
        ("cancel", "held", "waits"),
        ("retry", "quick", "dead"),
    ):
        answer = await asked(town, "acme", "POST", f"/job/{action}", queue=queue, id=name, reason="mine")
        assert answer.status_code == 303, answer.text
    activity = await asked(town, "acme", "GET", "/activity")
    assert activity.text.count("mine") == 3
    others = await asked(town, "globex", "GET", "/activity")
    assert "mine" not in others.text


async def test_a_tenant_s_flows_are_found_behind_those_of_others(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await started(town, "acme")
    for _ in range(3):
        await started(town, "globex")
    assert secret_of("acme") in (await asked(town, "acme", "GET", "/flows")).text
    monkeypatch.setattr(looking, "_LOOKS", 2)
    first = (await asked(town, "acme", "GET", "/flows")).text
    assert "None of yours is among the newest" in first
    (older,) = [link for link in Seen(first).links if "before=" in link]
    behind = await asked(town, "acme", "GET", older.removeprefix("/ui"))
    assert secret_of("acme") in behind.text
    clear_of(first + behind.text, "acme")
    assert (await asked(town, "acme", "GET", f"/flows/{own.id}")).status_code == 200
    assert (await asked(town, "acme", "POST", f"/flows/{own.id}/cancel")).status_code == 303


async def test_what_a_tenant_makes_is_its_own(town: Town) -> None:
    assert (await asked(town, "acme", "GET", "/new")).status_code == 200
    made_job = await asked(
        town, "acme", "POST", "/new", name="held:wait", payload='{"secret": "x"}', id="fresh"
    )
    assert made_job.status_code == 303, made_job.text
    assert (await town.api.client.status("held", "acme~fresh")).tenant == "acme"
    hook = await asked(town, "acme", "POST", "/webhooks", url="https://8.8.8.8/own")
    assert hook.status_code == 200, hook.text
    (kept,) = await town.api.client.webhooks.all()
    assert kept.tenant == "acme"
    others = ",".join(one for _, one, _ in town.jobs["globex"])
    sheet = await asked(town, "acme", "POST", "/bulk/try", action="cancel", queue="held", ids=others)
    assert "No job is left" in sheet.text
    every = await asked(town, "acme", "POST", "/bulk/try", every="cancel", queue="held", state="waiting")
    assert "2 jobs" in every.text, "the one that it had, and the one that it has made"
    clear_of(every.text, "acme")
    done = await asked(
        town, "acme", "POST", "/bulk", action="cancel", queue="held", state="waiting", count="2"
    )
    assert done.status_code == 303, done.text
    (operation,) = await town.api.client.bulk.all()
    assert operation.tenant == "acme"


async def contents(api: Api) -> dict[bytes, Any]:
    """Return every key that Redis has, with what is in it."""
    found = [key async for key in api.client.redis.scan_iter()]
    return {key: await api.client.redis.dump(key) for key in sorted(found)}


async def sent(api: Api, asks: Iterable[tuple[str, str]], headers: dict[str, str]) -> list[httpx2.Response]:
    return [
        await api.http.request(method, "/ui" + path.format_map(PLACES), data={}, headers=headers)
        for method, path in asks
    ]


async def test_a_viewer_changes_nothing(api: Api) -> None:
    header, _ = await made(api.client.redis, "read")
    before = await contents(api)
    # A choice of columns is kept by the visitor's browser alone.
    asks = [one for one in acting() if one != ("POST", "/jobs/columns")]
    answers = await sent(api, asks, header | OWN)
    assert {one.status_code for one in answers} == {403}
    assert all("this needs the scope" in one.text for one in answers)
    assert await contents(api) == before


async def test_no_form_of_another_site_is_taken(api: Api) -> None:
    header, _ = await made(api.client.redis, "admin")
    before = await contents(api)
    for strange in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        answers = await sent(api, [*acting(), ("POST", "/login"), ("POST", "/logout")], header | strange)
        assert {one.status_code for one in answers} == {403}
        assert all("comes from elsewhere" in one.text for one in answers)
    assert await contents(api) == before
    assert 403 not in {one.status_code for one in await sent(api, acting(), header | OWN)}


async def test_who_has_shown_no_key_meets_the_door_alone(api: Api) -> None:
    assert routes() - routes(*KINDS) == DOOR
    await made(api.client.redis, "read")
    for method, path in routes(*KINDS):
        answer = await api.http.request(method, "/ui" + path.format_map(PLACES), headers=OWN)
        if method == "GET":
            assert answer.headers["location"].startswith("/ui/login?next="), path
        else:
            assert answer.status_code == 401, path
