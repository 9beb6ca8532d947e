"""Actions on many jobs from the dashboard: shown first, then done, and refused where they no longer fit."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rota.api.pages.screens.jobs.bulk import _times
from rota.model.bulk.actions import Actor
from rota.model.bulk.operation import Operation
from tests.integration.api.pages.visiting import OWN, Seen, dead_letters, fails, greet, page, sent
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer


async def test_what_an_action_on_many_would_do_is_shown_before_it_is_begun(server: RedisServer) -> None:
    async with answering(server.url, greet, fails) as api:
        first, second, third = await dead_letters(api, 3)
        (group,) = await api.client.failures()
        answer = await sent(api, "/bulk/try", action="retry", queue="email", error=group.cause)
        assert "Retry: 3 jobs" in answer.text
        assert third in answer.text
        fields: dict[str, Any] = {
            "action": "delete",
            "queues": "email slow",
            "state": "dead",
            "ids": [first, second],
        }
        answer = await api.http.post("/ui/bulk/try", data=fields, headers=OWN)
        assert "Delete: 2 jobs" in answer.text
        assert "2 marked" in answer.text
        marked = {"name": "greet", "error_contains": "of none"}
        answer = await api.http.post("/ui/bulk/try", data=fields | marked, headers=OWN)
        assert "Delete: 2 jobs" in answer.text, "what was marked is meant, whatever the list was"
        assert "cannot be undone" in answer.text
        assert third not in answer.text
        more = {"count": "2", "why": " the customer has left "}
        answer = await api.http.post("/ui/bulk", data=fields | more, headers=OWN)
        path = answer.headers["location"].removeprefix("/ui")
        shown = await page(api, path)
        assert "of 2 jobs" in shown
        assert "the customer has left" in shown
        assert "No worker leads" in shown, "no leader runs in this test"
        assert f'action="/ui{path}/abort"' in shown
        assert (await sent(api, f"{path}/abort")).status_code == 303
        assert "Stopping" in await page(api, path)


async def test_many_jobs_are_changed_only_where_their_number_is_typed_and_still_holds(api: Api) -> None:
    await api.client.enqueue_many([greet.options(delay=60).call() for _ in range(101)])
    fields = {"every": "cancel", "queues": "email", "state": "delayed"}
    assert "Type 101 to go on" in (await sent(api, "/bulk/try", **fields)).text
    fields |= {"action": "cancel", "count": "101"}
    answer = await sent(api, "/bulk", **fields, why="too late")
    assert answer.status_code == 422
    assert 'value="too late"' in answer.text
    assert (await sent(api, "/bulk", **fields | {"count": "9" * 5000})).status_code == 422
    await api.client.enqueue(greet.options(delay=60))
    assert (await sent(api, "/bulk", **fields, typed="101")).status_code == 409
    fields["count"] = "102"
    assert (await sent(api, "/bulk", **fields, typed="102")).status_code == 303


async def test_an_action_on_all_that_match_has_the_conditions_of_the_list(api: Api) -> None:
    await api.client.enqueue_many([greet.options(tenant=name).call() for name in ("acme", "acme", "other")])
    fields = {"every": "cancel", "queues": "email", "state": "waiting", "name": "greet", "tenant": "acme"}
    assert "Cancel: 2 jobs" in (await sent(api, "/bulk/try", **fields)).text
    begun = await sent(api, "/bulk", **fields, action="cancel", count="2", why="acme has left")
    (operation,) = await api.client.bulk.all()
    assert begun.headers["location"] == f"/ui/bulk/{operation.id}"
    assert (operation.count, operation.reason, operation.told().detail["reason"]) == (
        2,
        "acme has left",
        "acme has left",
    )
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert "No job is left" in (await sent(api, "/bulk/try", **fields, since=later)).text


async def test_an_action_on_none_or_of_no_name_is_refused(api: Api) -> None:
    fields = {"queue": "email", "state": "dead"}
    assert "mark the jobs first" in (await sent(api, "/bulk/try", action="retry", **fields)).text
    assert "choose one of the buttons" in (await sent(api, "/bulk/try", action="explode", **fields)).text
    await page(api, "/bulk/none", 404)


@pytest.mark.parametrize(
    ("action", "leads"),
    [("retry", "/ui/jobs?state=waiting&queue=email"), ("cancel", None), ("delete", None)],
)
async def test_at_the_end_it_leads_to_what_became_of_the_jobs(
    api: Api, action: str, leads: str | None
) -> None:
    operation = {
        "action": action,
        "filter": '{"queue": "email", "state": "dead"}',
        "via": "api",
        "by": "k1",
        "state": "done",
        "count": "3",
        "done": "3",
        "started": "1000",
        "finished": "66000",
    }
    await api.client.redis.hset(f"rota:bulk:{'a' * 32}", mapping=operation)
    shown = await page(api, f"/bulk/{'a' * 32}")
    assert "took 1 min 5 s" in shown
    links = [one for one in Seen(shown).links if one.startswith("/ui/jobs?")]
    assert links == ([leads] if leads else [])
    assert ("They are gone for good" in shown) == (action == "delete")
    assert "/abort" not in shown, "what is over cannot be aborted"


def test_the_rest_is_estimated_by_what_was_done_so_far() -> None:
    begun = datetime.now(UTC) - timedelta(seconds=10)
    known: dict[str, Any] = {"id": "x", "action": "retry", "filter": {}, "actor": Actor("api", "k")}
    running = Operation(**known, state="running", count=100, done=20, skipped=5, started_at=begun)
    passed, rest = _times(running)
    assert passed == pytest.approx(10, abs=2)
    assert rest == pytest.approx(30, abs=6)
    assert _times(Operation(**known, state="waiting", count=100)) == (None, None)
    assert _times(Operation(**known, state="running", started_at=begun, done=5))[1] is None, "not counted"
