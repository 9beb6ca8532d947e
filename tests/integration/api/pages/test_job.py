"""The screen of one job, and what its forms do."""

import asyncio
import re
import shlex
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import rota
from rota import Run, job
from rota.app.resources import stack_teller
from rota.cli.main import cli
from rota.client.bulk.actions import Actions
from rota.model.state import State
from rota.server.place import Server
from rota.server.target import RedisTarget
from rota.settings.database_url import DatabaseTarget
from rota.store import audit, migrations
from rota.store.engine import Database
from rota.wire.envelopes import encode_job
from tests.integration.api.pages.trips import counting
from tests.integration.api.pages.visiting import (
    OWN,
    Seen,
    dead_letters,
    entered,
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

LIST = "&list=queue%3Demail%26state%3Ddead"


async def test_a_job_is_cancelled_run_now_and_put_off_by_the_forms_of_its_page(api: Api) -> None:
    late = await api.client.enqueue(greet.options(delay=3600))
    forms = [form.get("action") for form in Seen(await page(api, job_path("email", late.id))).forms]
    assert {"/ui/job/run-now", "/ui/job/put-off", "/ui/job/cancel"} < set(forms)
    answer = await sent(api, "/job/run-now", queue="email", id=late.id)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/ui/job?queue=email&id={late.id}")
    assert (await late.status()).state is State.WAITING
    await sent(api, "/job/put-off", queue="email", id=late.id, delay="2h")
    info = await late.status()
    assert info.due_at is not None
    assert timedelta(minutes=119) < info.due_at - datetime.now(UTC) < timedelta(minutes=121)
    assert (await sent(api, "/job/put-off", queue="email", id=late.id, delay="soon")).status_code == 422
    await sent(api, "/job/cancel", queue="email", id=late.id, reason="a mistake")
    assert (await late.status()).state is State.CANCELLED
    actions = await Actions(api.client.redis, "rota").page(limit=3)
    assert [one.action for one in actions] == ["cancel", "reschedule", "run_now"]
    assert actions[0].detail == {"reason": "a mistake"}


async def test_a_job_that_waits_says_what_for(api: Api) -> None:
    *_, last = await api.client.enqueue_many([greet.call() for _ in range(3)])
    path = job_path("email", last.id)
    assert "free slot of a worker; 2 jobs were due before it" in await page(api, path)
    await api.client.pause("email")
    assert "It waits for its queue, which is paused." in await page(api, path)


async def test_a_job_that_was_told_to_stop_says_so_and_is_told_once(server: RedisServer) -> None:
    async with answering(server.url, sleeps, works=False) as api:
        handle = await api.client.enqueue(sleeps)
        claimed = {"arq:queue:email:active": 9e12, "arq:queue:email": 9e12}
        for key, score in claimed.items():
            await api.client.redis.zadd(key, {handle.id: score})
        await api.client.redis.hset("arq:queue:email:runs", handle.id, "host-1:1:1:1 1 1 0 0")
        assert "/ui/job/cancel" in await page(api, job_path("email", handle.id))
        answer = await sent(api, "/job/cancel", queue="email", id=handle.id)
        assert answer.status_code == 303
        shown = await page(api, job_path("email", handle.id))
        assert "on host-1. It was told to stop." in shown
        assert "/ui/job/cancel" not in shown


async def test_a_job_of_a_batch_leads_to_the_batch(api: Api) -> None:
    batch = await api.client.batch([greet.call()])
    (member,) = batch.handles
    assert f'href="/ui/flows/{batch.id}"' in await page(api, job_path("email", member.id))
    assert batch.id in await page(api, f"/flows/{batch.id}")


async def test_who_comes_too_late_is_told_so_and_by_whom_and_sees_the_job_as_it_is(api: Api) -> None:
    late = await api.client.enqueue(greet.options(delay=3600))
    answer, _ = await entered(api, "operate", "read")
    assert answer.status_code == 303
    await sent(api, "/job/cancel", queue="email", id=late.id)
    for action in ("cancel", "run-now", "retry", "put-off"):
        refused = await sent(api, f"/job/{action}", queue="email", id=late.id, delay="1h")
        assert refused.status_code == 409, action
        assert "Nothing was done" in refused.text
        assert re.search(r"<b>cancel</b> by \w+", refused.text), "who was faster"
        assert "It was cancelled" in refused.text, "the job as it is now"
        assert "/ui/job/cancel" not in refused.text


async def test_a_dead_letter_is_deleted_by_one_who_is_sure_and_only_once(server: RedisServer) -> None:
    async with answering(server.url, greet, fails) as api:
        (dead,) = await dead_letters(api, 1)
        assert (await sent(api, "/job/delete", queue="email", id=dead)).status_code == 422
        assert "/ui/job/delete" in await page(api, job_path("email", dead)), "it is still there"
        gone = await sent(api, "/job/delete", queue="email", id=dead, sure="1")
        assert gone.headers["location"] == "/ui/jobs?queue=email&state=dead"
        again = await sent(api, "/job/delete", queue="email", id=dead, sure="1")
        assert again.status_code == 409
        assert "no dead letter of it is kept" in again.text
        await api.client.redis.delete(f"arq:result:{dead}")
        lost = await sent(api, "/job/retry", queue="email", id=dead)
        assert lost.status_code == 404
        assert "Redis keeps nothing of the job any more" in lost.text


async def test_the_payload_of_a_dead_letter_is_fixed_by_the_form_of_its_page(server: RedisServer) -> None:
    async with answering(server.url, greet, fails) as api:
        (dead,) = await dead_letters(api, 1)
        assert "Fix and retry" in await page(api, job_path("email", dead))
        wrong = await sent(api, "/job/fix", queue="email", id=dead, payload='{"name": 7}')
        assert wrong.status_code == 422
        assert "/payload/name" in wrong.text
        assert "&#34;name&#34;: 7" in wrong.text
        assert (await sent(api, "/job/fix", queue="email", id=dead, payload="{")).status_code == 400
        form = {"queue": "email", "id": dead, "payload": '{"name": "y"}', "reason": "no such name"}
        answer = await sent(api, "/job/fix", **form)
        assert answer.status_code == 303
        handle = api.client.handle("email", dead, fails)
        await until_in(handle, State.DEAD)
        assert (await handle.status()).payload == {"name": "y"}
        (action,) = await Actions(api.client.redis, "rota").page(limit=1)
        assert (action.action, action.detail["reason"]) == ("fix_and_retry", "no such name")


@job(queue="email", max_attempts=1)
async def signs(run: Run, number: int, api_token: str, keys: dict[str, Any]) -> Any:
    if number == 0:
        raise ValueError("no number")
    return {"token": api_token, "number": number}


async def test_secrets_are_not_shown_stay_where_another_edits_and_numbers_are_exact(
    server: RedisServer,
) -> None:
    async with answering(server.url, signs) as api:
        given: dict[str, Any] = {"api_token": "open-sesame", "keys": {"password": {"pin": 1234, "old": None}}}
        dead = await api.client.enqueue(signs, 0, **given)
        await until_in(dead, State.DEAD)
        shown = unescape(await page(api, job_path("email", dead.id)))
        form = re.search(r"<textarea[^>]*>(.*?)</textarea>", shown, re.DOTALL)
        assert form
        assert "open-sesame" not in shown
        assert "1234" not in shown
        edited = form[1].replace('"number": 0', '"number": 12345678901234567890123')
        answer = await sent(api, "/job/fix", queue="email", id=dead.id, payload=edited)
        assert answer.status_code == 303, answer.text
        await until_in(dead, State.COMPLETED)
        assert (await dead.status()).result == {"token": "open-sesame", "number": 12345678901234567890123}
        done = unescape(await page(api, job_path("email", dead.id)))
        assert '"number": 12345678901234567890123' in done
        other = edited.replace('"***"', '"another"')
        late = await sent(api, "/job/fix", queue="email", id=dead.id, payload=other)
        assert late.status_code == 409
        assert "/ui/job/again" in late.text
        assert "open-sesame" not in done + late.text
        for part in ("payload", "result"):
            file = await api.http.get(
                f"/ui{job_path('email', dead.id)}&part={part}".replace("job?", "job/payload?")
            )
            assert file.headers["content-type"].startswith("application/json")
            assert file.headers["content-disposition"] == f'attachment; filename="{dead.id}.{part}.json"'
            assert file.headers["x-content-type-options"] == "nosniff"
            assert "12345678901234567890123" in file.text
            assert "open-sesame" not in file.text
        (action,) = (await api.http.get("/activity")).json()["items"]
        hidden = {"api_token": "***", "keys": {"password": {"pin": "***", "old": None}}}
        assert action["detail"] == {
            "before": {"number": 0, **hidden},
            "after": {"number": 12345678901234567890123, **hidden},
        }


async def test_a_long_payload_is_cut_and_kept_whole_by_its_link(server: RedisServer) -> None:
    async with answering(server.url, greet, works=False, PAYLOAD_LIMIT="2MB") as api:
        strange = greet.options(id='a/"b"')
        long = await api.client.enqueue(strange, name="x" * 1_000_000)
        shown = await page(api, job_path("email", long.id))
        assert len(shown) < 120_000
        assert "of which this is the beginning" in shown
        (link,) = [one for one in Seen(shown).links if "part=payload" in one]
        file = await api.http.get(link)
        assert file.text.count("x") == 1_000_000
        assert file.headers["content-disposition"] == 'attachment; filename="email_a_b_.payload.json"'


async def test_a_job_that_is_over_is_run_again_as_a_new_one(server: RedisServer) -> None:
    async with answering(server.url, greet) as api:
        done = await api.client.enqueue(greet.options(timeout=77, tenant="acme"), name="ann")
        await until_in(done, State.COMPLETED)
        assert "/ui/job/again" in await page(api, job_path("email", done.id))
        answer = await sent(api, "/job/again", queue="email", id=done.id, reason="lost in the post")
        assert answer.status_code == 303, answer.text
        new = answer.headers["location"].rpartition("=")[2]
        assert new != done.id
        assert await api.client.handle("email", new).result(10) == "ann"
        assert (await api.client.status("email", new)).tenant == "acme"
        (action,) = await Actions(api.client.redis, "rota").page(limit=1)
        assert (action.action, action.target["like"]) == ("enqueue", done.id)
        assert action.detail == {"reason": "lost in the post"}
        header = (await entered(api, "read", "operate"))[0]
        assert header.status_code == 303
        assert "/ui/job/again" not in await page(api, job_path("email", done.id))
        assert (await sent(api, "/job/again", queue="email", id=done.id)).status_code == 403


async def test_where_a_running_job_is_now_stands_on_its_page_which_then_stands_still(
    server: RedisServer,
) -> None:
    target = Server(RedisTarget.from_url(server.url))
    async with serving(server.url, sleeps) as works, answering(server.url, sleeps, works=False) as api:
        teller = asyncio.create_task(stack_teller(target, works.workers).run())
        handle = await api.client.enqueue(sleeps)
        await until_in(handle, State.ACTIVE)
        shown = await page(api, job_path("email", handle.id))
        assert "What is it doing now?" in shown
        assert f"/live?page=jobs&queue=email&id={handle.id}&runs=1" in unescape(shown)
        now = await page(api, f"{job_path('email', handle.id)}&now=1")
        assert "await asyncio.sleep(60)" in now
        assert "As of <time" in now
        assert "hx-sse:connect" not in now, "or each change of any job would ask the worker again"
        await handle.cancel()
        teller.cancel()
        await until_in(handle, State.CANCELLED)
        assert "is cancelled; only a job that runs has a stack" in await page(
            api, f"{job_path('email', handle.id)}&now=1"
        )


async def test_a_page_asks_redis_three_times_the_session_included(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with answering(server.url, greet, fails, DASHBOARD_TRACE_URL="https://t.example/{trace_id}") as api:
        (dead,) = await dead_letters(api, 1)
        await entered(api, "admin")
        path = f"{job_path('email', dead)}{LIST}"
        await page(api, path)
        monkeypatch.setattr("rota.api.access.TRUST", 0.0)
        async with counting(monkeypatch) as trips:
            await page(api, path)
        assert trips.count <= 3


@job(queue="email", max_attempts=3, backoff=rota.fixed(0.1))
async def breaks(run: Run) -> None:
    secrets = {"token": "t0k", "private_key": "t0k\nt0k", "user": {"password": "t0k"}}
    run.log.warning("so far", extra={"rows": 7, **secrets})
    try:
        raise KeyError("smtp")
    except KeyError as error:
        raise ConnectionError("no server") from error


async def test_each_attempt_is_told_with_its_times_its_causes_and_own_places_in_the_code(
    server: RedisServer,
) -> None:
    async with answering(server.url, breaks) as api:
        dead = await api.client.enqueue(breaks)
        await until_in(dead, State.DEAD)
        shown = unescape(await page(api, job_path("email", dead.id)))
        life = shown.partition('id="life"')[2].partition("</ol>")[0]
        told = re.findall(r'<li class="[^"]*">(?:<b>)?([a-z]+[^<]*)', life)
        kinds = [re.sub(r"[\d.]+ m?s$", "…", one) for one in told]
        assert kinds[:5] == ["enqueued", "waited …", "attempt 1 started", "ran …", "attempt 1 failed"]
        assert kinds[-3:] == ["attempt 3 started", "ran …", "dead"]
        assert shown.count("raised from KeyError: 'smtp'") == 3
        assert shown.count('<code>raise ConnectionError("no server") from error</code>') == 3
        assert "It failed for good, with attempt 3 of 3." in shown
        log = await api.http.get(f"/ui/job/payload?queue=email&id={dead.id}&part=log")
        assert "rows=</span>7" in shown
        assert "rows=7" in log.text
        assert "t0k" not in shown + log.text


async def test_the_last_lines_of_a_long_log_are_shown_and_the_others_a_page_away(
    server: RedisServer,
) -> None:
    @job(queue="email")
    async def talks(run: Run) -> None:
        for number in range(150):
            run.log.warning("line <%d>", number)

    async with answering(server.url, talks) as api:
        handle = await api.client.enqueue(talks)
        await until_in(handle, State.COMPLETED)
        lines = await api.client.log("email", handle.id)
        assert len(lines) == 150
        shown = await page(api, job_path("email", handle.id))
        assert "150 lines, of which these are 51 to 150" in re.sub(r"\s+", " ", shown)
        assert "line &lt;149&gt;" in shown
        assert "line &lt;49&gt;" not in shown
        (older,) = [one for one in Seen(shown).links if "log=2" in one]
        before = await page(api, older.removeprefix("/ui"))
        assert "line &lt;49&gt;" in before
        assert "line &lt;50&gt;" not in before
        log = await api.http.get(f"/ui/job/payload?queue=email&id={handle.id}&part=log")
        assert log.headers["content-type"].startswith("text/plain")
        assert log.text.count("line <") == 150


async def test_one_goes_on_through_the_list_of_dead_letters_also_when_some_were_brought_back(
    server: RedisServer,
) -> None:
    async with answering(server.url, greet, fails) as api:
        oldest, middle, newest = [(await dead_letters(api, 1))[0] for _ in range(3)]
        links = Seen(await page(api, "/jobs?queue=email&state=dead")).links
        (own,) = [one for one in links if f"id={middle}" in one]
        shown = await page(api, own.removeprefix("/ui"))
        assert "dead jobs on email" in shown
        steps = {
            step: next(one for one in Seen(shown).links if f"step={step}" in one) for step in ("prev", "next")
        }
        for step, other in (("prev", newest), ("next", oldest)):
            answer = await api.http.get(steps[step])
            assert f"id={other}" in answer.headers["location"]
            assert "list=queue%3Demail%26state%3Ddead" in answer.headers["location"]
        end = await api.http.get(steps["prev"].replace(middle, newest))
        assert f"id={newest}" in end.headers["location"]
        assert "This%20is%20the%20first" in end.headers["set-cookie"]
        await sent(api, "/job/delete", queue="email", id=middle, sure="1")
        assert f"id={oldest}" in (await api.http.get(steps["next"])).headers["location"]


AT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


def row(number: int, **other: Any) -> dict[str, Any]:
    payload = encode_job("greet", b'{"name":"%d"}' % number, enqueued_ms=1, headers={"x-request": "r7"})
    return {
        "id": f"email:{number}",
        "queue": "email",
        "name": "greet",
        "status": "COMPLETED",
        "event": f"{number:015}-0000000000.00000",
        "attempts": 1,
        "payload": payload.decode(),
        "result": '"1.10"',
        "log": "attempt 1\nhello",
        "worker": "host-1",
        "version": "1.4.2",
        "flow": "rota:flow:f1",
        "enqueued_at": AT + timedelta(seconds=number),
        "started_at": AT + timedelta(seconds=number + 3),
        "finished_at": AT + timedelta(seconds=number + 5),
        **other,
    }


@pytest.fixture
async def recorded(server: RedisServer, tmp_path: Path) -> AsyncIterator[Api]:
    """Yield an API whose table has three jobs, of which Redis has none."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    database = Database(DatabaseTarget.from_url(url))
    await migrations.migrate(database)
    failed = row(2, status="FAILED", result=None, error="ValueError: no", error_key="abc")
    async with database.write() as connection:
        await audit.upsert(connection, [row(1), failed, row(3)])
    await database.close()
    async with answering(server.url, greet, works=False, DATABASE_URL=url) as found:
        yield found


async def test_a_job_that_redis_has_forgotten_is_shown_from_its_row(recorded: Api) -> None:
    shown = unescape(await page(recorded, job_path("email", "1")))
    assert "Redis has forgotten it" in shown
    assert "It is completed: ran 2 s." in shown
    assert "waited 3 s" in shown
    for told in ("host-1", "1.4.2", "r7", '"1.10"', "hello", '"name": "1"', "/ui/flows/f1"):
        assert told in shown, told
    assert "/ui/job/again" in shown
    assert "/ui/failures/abc" in await page(recorded, job_path("email", "email:2"))


async def test_the_last_runs_of_the_name_are_drawn_and_this_one_is_marked(recorded: Api) -> None:
    shown = await page(recorded, job_path("email", "email:2"))
    chart = shown.partition('<svg class="runs"')[2].partition("</svg>")[0]
    assert re.findall(r'class="([^"]*)"', chart) == ["completed", "dead this", "completed"]
    assert shown.count("<b>this one</b>") == 1
    assert "took less than 2 s" in shown


async def test_one_goes_on_through_a_list_of_the_table(recorded: Api) -> None:
    listed = "&list=name%3Demail%253Agreet%26queue%3Demail%26status%3DCOMPLETED"
    links = Seen(await page(recorded, job_path("email", "email:3") + listed)).links
    (following,) = [one for one in links if "step=next" in one]
    answer = await recorded.http.get(following)
    assert "id=email%3A1&" in answer.headers["location"], "the failed one is not in the list"
    back = following.replace("email%3A3", "email%3A1").replace("step=next", "step=prev")
    assert "id=email%3A3&" in (await recorded.http.get(back)).headers["location"]


async def test_without_its_table_a_page_says_less_and_still_shows_the_job(server: RedisServer) -> None:
    async with answering(
        server.url, greet, works=False, DATABASE_URL="postgresql://ann:open-sesame@127.0.0.1:1/x"
    ) as api:
        handle = await api.client.enqueue(greet)
        shown = await page(api, job_path("email", handle.id))
        assert "The audit table cannot be asked" in shown
        assert "It waits for a free slot" in shown
        assert "open-sesame" not in shown


async def test_the_page_leads_to_the_trace_and_to_sentry_where_there_is_one(server: RedisServer) -> None:
    variables = {
        "DASHBOARD_TRACE_URL": "https://t.example/{trace_id}",
        "DASHBOARD_SENTRY_URL": "https://s.example/?query=trace%3A{trace_id}&id={id}",
    }
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    payload = encode_job(
        "greet", b"{}", enqueued_ms=1, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    )
    async with answering(server.url, greet, works=False, **variables) as api:
        await api.client.redis.set("arq:job:a b", payload)
        await api.client.redis.zadd("arq:queue:email", {"a b": 1})
        traced = unescape((await api.http.get("/ui/job?queue=email&id=a+b", headers=OWN)).text)
        assert f'href="https://t.example/{trace}"' in traced
        assert f'href="https://s.example/?query=trace%3A{trace}&id=a%20b"' in traced
        plain = await api.client.enqueue(greet)
        assert ".example" not in await page(api, job_path("email", plain.id))


async def test_each_command_that_a_page_shows_does_what_its_form_does(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setenv("JOBS_PACKAGE", "tests.integration.api.pages.visiting")
    monkeypatch.setenv("EDITOR", "sed -i s/x/y/")

    async def commands(api: Api, job_id: str) -> dict[str, list[str]]:
        shown = await page(api, job_path("email", job_id))
        found = [unescape(one) for one in re.findall(r'<p class="cli"><code>(.*?)</code>', shown, re.DOTALL)]
        return {"edit" if "--edit" in one else one.split()[1]: shlex.split(one)[1:] for one in found}

    async def run(words: list[str]) -> str:
        done = await asyncio.to_thread(CliRunner().invoke, cli, words, input="y\n")
        assert done.exit_code == 0, (words, done.output)
        return done.output

    async with answering(server.url, greet, fails, works=False) as api:
        late = await api.client.enqueue(greet.options(delay=3600, id="-an o'dd id"))
        told = await commands(api, late.id)
        assert set(told) == {"reschedule", "cancel"}
        await run(told["reschedule"])
        await run(told["cancel"])
        assert (await late.status()).state is State.CANCELLED
        again = await commands(api, late.id)
        assert set(again) == {"enqueue"}
        assert (await run(again["enqueue"])).startswith("email ")
    async with answering(server.url, greet, fails) as api:
        (dead,) = await dead_letters(api, 1)
        told = await commands(api, dead)
        assert set(told) == {"retry", "edit", "delete"}
        handle = api.client.handle("email", dead, fails)
        await run([*told["edit"], "--yes"])  # it asks before, on a terminal
        await until_in(handle, State.DEAD)
        assert (await handle.status()).payload == {"name": "y"}
        await run(told["retry"])
        await until_in(handle, State.DEAD)
        await run(told["delete"])
        assert "No dead letter of it is kept" in await page(api, job_path("email", dead))
