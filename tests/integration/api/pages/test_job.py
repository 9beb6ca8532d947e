"""The screen of one job, and what its forms do."""

import asyncio

from rota.app.resources import stack_teller
from rota.client.bulk.actions import Actions
from rota.model.state import State
from rota.server.place import Server
from rota.server.target import RedisTarget
from tests.integration.api.pages.visiting import (
    Seen,
    dead_letters,
    fails,
    greet,
    job_path,
    page,
    sent,
    sleeps,
)
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer
from tests.waiting import until_in
from tests.workers import serving


async def test_a_job_is_cancelled_run_now_retried_and_deleted_by_the_forms_of_its_page(api: Api) -> None:
    late = await api.client.enqueue(greet.options(delay=3600))
    forms = [form.get("action") for form in Seen(await page(api, job_path("email", late.id))).forms]
    assert {"/ui/job/run-now", "/ui/job/cancel"} < set(forms)
    answer = await sent(api, "/job/run-now", queue="email", id=late.id)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/job?queue=email&id={late.id}")
    assert (await late.status()).state is State.WAITING
    await sent(api, "/job/cancel", queue="email", id=late.id, reason="a mistake")
    assert (await late.status()).state is State.CANCELLED
    assert "The job is over" in (await sent(api, "/job/cancel", queue="email", id=late.id)).text
    first, second = await Actions(api.client.redis, "rota").page(limit=2)
    assert (first.action, first.detail, second.action) == ("cancel", {"reason": "a mistake"}, "run_now")


async def test_the_payload_of_a_dead_letter_is_fixed_by_the_form_of_its_page(server: RedisServer) -> None:
    async with answering(server.url, greet, fails) as api:
        (dead,) = await dead_letters(api, 1)
        assert "Fix and retry" in await page(api, job_path("email", dead))
        wrong = await sent(api, "/job/fix", queue="email", id=dead, payload='{"name": 7}')
        assert wrong.status_code == 422
        assert "/payload/name" in wrong.text
        assert "&#34;name&#34;: 7" in wrong.text
        assert (await sent(api, "/job/fix", queue="email", id=dead, payload="{")).status_code == 400
        answer = await sent(api, "/job/fix", queue="email", id=dead, payload='{"name": "y"}')
        assert answer.status_code == 303
        handle = api.client.handle("email", dead, fails)
        await until_in(handle, State.DEAD)
        assert (await handle.status()).payload == {"name": "y"}
        (action,) = await Actions(api.client.redis, "rota").page(limit=1)
        assert action.action == "fix_and_retry"


async def test_where_a_running_job_is_now_stands_on_its_page(server: RedisServer) -> None:
    target = Server(RedisTarget.from_url(server.url))
    async with serving(server.url, sleeps) as works, answering(server.url, sleeps, works=False) as api:
        teller = asyncio.create_task(stack_teller(target, works.workers).run())
        handle = await api.client.enqueue(sleeps)
        await until_in(handle, State.ACTIVE)
        assert "What is it doing now?" in await page(api, job_path("email", handle.id))
        assert "await asyncio.sleep(60)" in await page(api, f"{job_path('email', handle.id)}&now=1")
        await handle.cancel()
        teller.cancel()
