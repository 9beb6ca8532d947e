"""Actions on many jobs from the dashboard: shown first, then done, and refused where they no longer fit."""

from typing import Any

from tests.integration.api.pages.visiting import OWN, dead_letters, fails, greet, page, sent
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer


async def test_what_an_action_on_many_would_do_is_shown_before_it_is_begun(server: RedisServer) -> None:
    async with answering(server.url, greet, fails) as api:
        first, second, third = await dead_letters(api, 3)
        shown = await page(api, "/failures")
        assert "Retry 3" in shown
        (group,) = await api.client.failures()
        answer = await sent(api, "/bulk/try", action="retry", queue="email", error=group.cause)
        assert "Retry: 3 jobs" in answer.text
        assert third in answer.text
        fields: dict[str, Any] = {
            "action": "delete",
            "queue": "email",
            "state": "dead",
            "ids": [first, second],
        }
        answer = await api.http.post("/ui/bulk/try", data=fields, headers=OWN)
        assert "Delete: 2 jobs" in answer.text
        assert third not in answer.text
        answer = await api.http.post("/ui/bulk", data=fields | {"count": "2"}, headers=OWN)
        path = answer.headers["location"].removeprefix("/ui")
        assert "of 2 jobs" in await page(api, path)
        assert "No worker leads" in await page(api, path), "no leader runs in this test"
        assert (await sent(api, f"{path}/abort")).status_code == 303
        assert "Stopping" in await page(api, path)


async def test_many_jobs_are_changed_only_where_their_number_is_typed_and_still_holds(api: Api) -> None:
    await api.client.enqueue_many([greet.options(delay=60).call() for _ in range(101)])
    fields = {"every": "cancel", "queue": "email", "state": "delayed"}
    assert "Type 101 to go on" in (await sent(api, "/bulk/try", **fields)).text
    fields |= {"action": "cancel", "count": "101"}
    assert (await sent(api, "/bulk", **fields)).status_code == 422
    await api.client.enqueue(greet.options(delay=60))
    assert (await sent(api, "/bulk", **fields, typed="101")).status_code == 409
    fields["count"] = "102"
    assert (await sent(api, "/bulk", **fields, typed="102")).status_code == 303


async def test_an_action_on_none_or_of_no_name_is_refused(api: Api) -> None:
    fields = {"queue": "email", "state": "dead"}
    assert "mark the jobs first" in (await sent(api, "/bulk/try", action="retry", **fields)).text
    assert "choose one of the buttons" in (await sent(api, "/bulk/try", action="explode", **fields)).text
    await page(api, "/bulk/none", 404)
