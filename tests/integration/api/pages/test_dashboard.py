"""The pages of the dashboard: what they show, what their forms do, who is let in, and that text stays text."""

import asyncio
import gzip
import hashlib
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2
import pytest

import rota.api
from rota import Run, every, job
from rota.app.resources import stack_teller
from rota.client.bulk.actions import Actions
from rota.model.state import State
from rota.server import connections
from rota.server.place import Server
from rota.server.target import RedisTarget
from rota.settings.load import ConfigError, load
from rota.wire.access import AccessRecords
from scripts import vendor
from tests.integration.api.serving import Api, answering
from tests.integration.api.test_access import made
from tests.servers import RedisServer
from tests.waiting import until_in
from tests.workers import serving

MARKUP = "<script>alert(1)</script>"
OWN = {"Sec-Fetch-Site": "same-origin"}
PAGES = (
    "",
    "/",
    "/queues",
    "/queues/email",
    "/failures",
    "/schedules",
    "/workers",
    "/system",
    "/activity",
    "/new",
)


@every("1h", name="hourly")
@job(queue="email")
async def greet(run: Run, name: str = "") -> str:
    run.log.warning(name)
    return name


@job(queue="email", max_attempts=1)
async def fails(run: Run, name: str = "") -> None:
    raise ValueError(name)


@job(queue="email")
async def sleeps(run: Run) -> None:
    await asyncio.sleep(60)


class Seen(HTMLParser):
    """A page as a browser reads it: its forms and links, and what its policy would forbid."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.forbidden: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.forms.append(given)
        if tag == "a":
            self.links.append(given.get("href") or "")
        if tag == "style" or (tag == "script" and not (given.get("src") or "").startswith("/")):
            self.forbidden.append(tag)
        self.forbidden += [name for name in given if name == "style" or name.startswith(("on", "hx-on"))]
        for name in ("src", "href", "action"):
            if (given.get(name) or "/").startswith(("http:", "https:", "//")):
                self.forbidden.append(f"{name}={given[name]}")


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with answering(server.url, greet, fails, works=False) as found:
        yield found


async def page(api: Api, path: str, status: int = 200, **given: Any) -> str:
    """Return a page, of which a browser would refuse nothing."""
    answer = await api.http.get(f"/ui{path}", **given)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert Seen(answer.text).forbidden == []
    return answer.text


async def sent(api: Api, path: str, **fields: str) -> httpx2.Response:
    return await api.http.post(f"/ui{path}", data=fields, headers=OWN)


def job_path(queue: str, job_id: str) -> str:
    return f"/job?queue={queue}&id={job_id}"


@pytest.mark.parametrize("path", PAGES)
async def test_each_page_is_there_before_anything_was_ever_enqueued(api: Api, path: str) -> None:
    await page(api, path)


async def test_a_first_visitor_is_shown_how_to_make_a_job(api: Api) -> None:
    assert "rota enqueue email:fails" in await page(api, "/")


async def test_the_first_line_says_in_words_how_all_of_it_stands(api: Api) -> None:
    await api.client.enqueue(greet)
    assert "has 1 job and no worker that serves it: start one" in await page(api, "/")
    await api.client.pause("email")
    assert "is paused, and 1 job waits for it to be resumed" in await page(api, "/")
    await api.client.cancel_all("email")
    await api.client.enqueue(greet.options(delay=60))
    assert "On time." in await page(api, "/")


async def test_text_of_strangers_stays_text_on_every_page(server: RedisServer) -> None:
    async with answering(server.url, greet, fails) as api:
        done = await api.client.enqueue(greet, name=MARKUP)
        dead = await api.client.enqueue(fails.options(id=f"id-{MARKUP}"), name=MARKUP)
        await done.result(10)
        await until_in(dead, State.DEAD)
        for path in (
            *PAGES,
            job_path("email", done.id),
            f"/job?queue=email&id=id-{MARKUP}",
            "/jobs?queue=email&state=dead",
            f"/search?q={MARKUP}{MARKUP}",
        ):
            assert MARKUP not in await page(api, path), path
        shown = await page(api, job_path("email", done.id))
        assert shown.count("&lt;script&gt;alert(1)") >= 3, "payload, result and log"


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


async def dead_letters(api: Api, count: int) -> list[str]:
    """Let some jobs die; return their ids."""
    handles = [await api.client.enqueue(fails, name="x") for _ in range(count)]
    for handle in handles:
        await until_in(handle, State.DEAD)
    return [handle.id for handle in handles]


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


async def test_a_queue_and_a_schedule_are_paused_and_resumed(api: Api) -> None:
    await sent(api, "/queues/email/pause")
    assert "Paused since" in await page(api, "/queues/email")
    await sent(api, "/queues/email/resume")
    assert "Paused since" not in await page(api, "/queues/email")
    assert (await sent(api, "/schedules/none/run")).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://elsewhere.example"},
    ],
)
async def test_a_form_of_another_site_changes_nothing(api: Api, headers: dict[str, str]) -> None:
    answer = await api.http.post("/ui/queues/email/pause", data={}, headers=headers)
    assert answer.status_code == 403
    assert await api.client.paused_since("email") is None
    assert (await api.http.post("/ui/login", data={"key": "x"}, headers=headers)).status_code == 403


async def test_a_browser_that_says_no_site_shows_its_origin(api: Api) -> None:
    own = {"Origin": "http://localhost"}
    assert (await api.http.post("/ui/queues/email/pause", data={}, headers=own)).status_code == 303


async def entered(api: Api, *scopes: str) -> tuple[httpx2.Response, str]:
    """Make a key of some scopes and log in with it; return the answer and the key."""
    header, _ = await made(api.client.redis, *scopes)
    text = header["Authorization"].removeprefix("Bearer ")
    return await api.http.post("/ui/login", data={"key": text, "next": "/ui/queues"}, headers=OWN), text


async def test_who_has_a_key_is_let_in_and_sees_what_the_key_allows(api: Api) -> None:
    answer, text = await entered(api, "read")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/queues")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert text not in cookie
    assert "/ui/queues/email/pause" not in await page(api, "/queues/email"), "a reader sees no button"
    assert (await sent(api, "/queues/email/pause")).status_code == 403, "and may not press one"
    await sent(api, "/logout")
    gone = await api.http.get("/ui/jobs?queue=email&state=dead")
    assert gone.headers["location"] == "/ui/login?next=%2Fui%2Fjobs%3Fqueue%3Demail%26state%3Ddead"


async def test_a_key_that_cannot_read_a_wrong_one_and_an_ended_one_are_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.api.access.TRUST", 0.0)
    _, text = await entered(api, "enqueue")
    assert "scope read" in (await api.http.get("/ui/queues")).text
    wrong = await api.http.post("/ui/login", data={"key": text[:-1] + "!"}, headers=OWN)
    assert wrong.status_code == 401
    assert text[:-1] not in wrong.text
    _, text = await entered(api, "read")
    await page(api, "/queues")
    await AccessRecords(api.client.redis, "rota").remove(text.split("_")[1])
    assert (await api.http.get("/ui/queues")).headers["location"].startswith("/ui/login")


@pytest.mark.parametrize("path", ["//evil.example/ui/", "https://evil.example", "/ui/\\evil", "/jobs", ""])
async def test_the_door_leads_nowhere_else(api: Api, path: str) -> None:
    header, _ = await made(api.client.redis, "read")
    text = header["Authorization"].removeprefix("Bearer ")
    answer = await api.http.post("/ui/login", data={"key": text, "next": path}, headers=OWN)
    assert answer.headers["location"] == "/ui/"


async def test_an_address_of_a_file_changes_with_it_and_only_known_files_are_served(api: Api) -> None:
    found = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', await page(api, "/"))
    assert len(found) == 4
    for path in found:
        answer = await api.http.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    for path in ("/static/0/app.css", f"/static/{found[0].split('/')[3]}/..%2Fframe.py"):
        await page(api, path, 404)


async def test_what_is_not_there_is_said_in_a_page(api: Api) -> None:
    assert "There is no such page" in await page(api, "/nothing", 404)
    assert "There is no such job" in await page(api, job_path("email", "none"), 404)
    await page(api, "/queues/no such", 404)
    assert (await sent(api, "/job/explode", queue="email", id="1")).status_code == 404


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("state=dead", "state needs a queue"),
        ("status=FAILED", "DATABASE_URL is not set"),
        ("queue=email&state=dead&cursor=xyz", "the cursor is not one of this list"),
        ("limit=0", "greater than or equal to 1"),
        ("more=1", "Extra inputs"),
    ],
)
async def test_a_list_that_cannot_be_is_said_in_a_page(api: Api, query: str, says: str) -> None:
    answer = await api.http.get(f"/ui/jobs?{query}")
    assert answer.status_code in (200, 422)
    assert says in answer.text


async def test_redis_away_is_said_in_a_page(own_server: RedisServer) -> None:
    async with answering(own_server.url, greet, works=False, BOOT_TIMEOUT="1") as api:
        own_server.stop()
        answer = await api.http.get("/ui/")
        assert answer.status_code == 503
        assert "Redis is away" in answer.text


async def test_a_search_leads_to_queues_and_jobs(api: Api) -> None:
    handle = await api.client.enqueue(greet)
    for text, path in (("email", "/ui/queues/email"), (handle.id, f"/ui/job?queue=email&id={handle.id}")):
        assert (await api.http.get(f"/ui/search?q={text}")).headers["location"] == path
    assert "Nothing is called" in await page(api, "/search?q=none")


def test_the_files_of_others_are_those_that_were_looked_at() -> None:
    folder = Path(rota.api.__file__).parent / "pages" / "static"
    for name, expected in vendor.FILES.values():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name


def test_what_a_browser_loads_is_small() -> None:
    folder = Path(rota.api.__file__).parent / "pages" / "static"
    files = [path for path in folder.iterdir() if path.suffix in (".css", ".js")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= 65_000


async def test_a_deployment_can_leave_it_out(server: RedisServer) -> None:
    async with answering(server.url, greet, works=False, DASHBOARD="false") as api:
        assert (await api.http.get("/ui/")).status_code == 404


async def test_a_job_is_made_by_a_form_that_knows_its_payload(api: Api) -> None:
    shown = await page(api, "/new?name=email:greet")
    assert "&#34;name&#34;" in shown, "the example or the schema names the argument"
    wrong = await sent(api, "/new", name="email:greet", payload='{"name": 7}')
    assert wrong.status_code == 422
    assert "/payload/name" in wrong.text
    assert "&#34;name&#34;: 7" in wrong.text, "what was written stays in the form"
    assert (await sent(api, "/new", name="email:greet", payload="{")).status_code == 400
    assert (await sent(api, "/new", name="none", payload="{}")).status_code == 404
    answer = await sent(api, "/new", name="email:greet", payload='{"name": "Ann"}', id="own", delay="60")
    assert answer.headers["location"] == "/ui/job?queue=email&id=email%3Aown"
    assert (await api.client.status("email", "own")).payload == {"name": "Ann"}
    again = await page(api, job_path("email", "own"))
    assert "/ui/new?name=email%3Agreet&amp;payload=%7B%0A%20%20%22name%22%3A%20%22Ann%22%0A%7D" in again


async def test_who_may_not_enqueue_is_shown_no_form(api: Api) -> None:
    await entered(api, "read")
    assert "/ui/new" not in await page(api, "/")
    await page(api, "/new", 403)
    assert (await sent(api, "/new", name="email:greet", payload="{}")).status_code == 403


async def test_what_was_done_by_hand_is_listed_with_who_and_why(api: Api) -> None:
    assert "Nothing was done by hand" in await page(api, "/activity")
    for number in range(51):
        await sent(api, "/queues/email/pause", reason=f"because of {number}")
    first = await page(api, "/activity")
    assert "because of 50" in first
    assert "because of 0<" not in first
    older = next(link for link in Seen(first).links if "before=" in link)
    assert "because of 0<" in await page(api, older.removeprefix("/ui"))


async def test_the_system_page_says_what_redis_lacks(api: Api) -> None:
    shown = await page(api, "/system")
    assert "keeps no append-only file" in shown
    assert "No worker leads" in shown


PROXY = {"DASHBOARD_AUTH": "proxy", "API_PROXIES": "127.0.0.0/8", "DASHBOARD_OPERATORS": "ann"}


async def test_a_server_in_front_names_the_visitor_and_the_settings_say_what_that_one_may(
    server: RedisServer,
) -> None:
    async with answering(server.url, greet, works=False, **PROXY) as api:
        await page(api, "/queues", 403)
        assert "is to name the visitor" in (await api.http.get("/ui/queues")).text
        ann, eve = {"X-Forwarded-User": "ann"}, {"X-Forwarded-User": "eve"}
        assert "/queues/email/pause" in await page(api, "/queues/email", headers=ann)
        assert "/queues/email/pause" not in await page(api, "/queues/email", headers=eve)
        for headers, status in ((eve, 403), (ann, 303)):
            answer = await api.http.post("/ui/queues/email/pause", data={}, headers=OWN | headers)
            assert answer.status_code == status
        (action,) = await Actions(api.client.redis, "rota").page(limit=1)
        assert action.actor.name == "ann"
        twice = [("X-Forwarded-User", "eve"), ("X-Forwarded-User", "ann")]
        assert (await api.http.get("/ui/queues", headers=twice)).status_code == 403


async def test_nobody_else_s_word_on_the_visitor_is_taken(server: RedisServer) -> None:
    async with answering(server.url, greet, works=False, **PROXY | {"API_PROXIES": "10.0.0.0/8"}) as api:
        assert (await api.http.get("/ui/queues", headers={"X-Forwarded-User": "ann"})).status_code == 403


async def test_open_to_everybody_is_open_from_this_machine_alone_in_production(server: RedisServer) -> None:
    await made_in(server, "read")
    own = {"DASHBOARD_AUTH": "none", "APP_ENV": "production", "REDIS_URL": server.url}
    async with answering(server.url, greet, works=False, **own) as api:
        assert "/queues/email/pause" in await page(api, "/queues/email")
        await page(api, "/queues/email", 403, headers={"X-Forwarded-For": "192.0.2.1"})
        await page(api, "/queues/email", 421, headers={"Host": "elsewhere.example"})


async def made_in(server: RedisServer, *scopes: str) -> None:
    async with connections.async_client(RedisTarget.from_url(server.url)) as redis:
        await made(redis, *scopes)


def test_a_proxy_that_nothing_names_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="API_PROXIES does not say"):
        load({"DASHBOARD_AUTH": "proxy"})
    with pytest.raises(ConfigError, match="API_PROXIES"):
        load({"API_PROXIES": "the office"})


async def test_behind_a_server_that_speaks_tls_the_cookie_is_for_tls_alone(server: RedisServer) -> None:
    async with answering(server.url, greet, works=False, API_PROXIES="127.0.0.1") as api:
        api.http.headers["X-Forwarded-Proto"] = "https"
        answer, _ = await entered(api, "read")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-rota=")
        assert "Secure" in cookie
        assert "Path=/;" in cookie


async def test_a_key_is_made_shown_once_and_revoked(api: Api) -> None:
    await entered(api, "admin")
    fields: dict[str, Any] = {"name": "the shop", "scope": ["read", "enqueue"], "tenant": "acme"}
    answer = await api.http.post("/ui/keys", data=fields, headers=OWN)
    (text,) = re.findall(r"<pre>(rota_\w+)</pre>", answer.text)
    assert "hx-get" not in answer.text, "what is shown once is not replaced"
    shown = await page(api, "/keys")
    assert text not in shown
    assert "the shop" in shown
    me = await api.http.get("/me", headers={"Authorization": f"Bearer {text}"})
    assert (me.json()["scopes"], me.json()["tenant"]) == (["enqueue", "read"], "acme")
    key_id = text.split("_")[1]
    assert (await sent(api, "/keys/revoke", key=key_id)).status_code == 303
    await page(api, "/keys")
    assert key_id not in await page(api, "/keys"), "what happened is said once"
    assert (await sent(api, "/keys/revoke", key=key_id)).status_code == 404
    assert "choose at least one scope" in (await sent(api, "/keys", name="x")).text
    assert text not in str(await Actions(api.client.redis, "rota").page())


async def test_keys_are_for_administrators_alone(api: Api) -> None:
    await entered(api, "operate")
    await page(api, "/keys", 403)
    assert (await sent(api, "/keys", name="x", scope="admin")).status_code == 403
    assert 'href="/ui/keys"' not in await page(api, "/")


async def test_a_webhook_is_made_switched_off_and_deleted(api: Api) -> None:
    assert "422" in str(await sent(api, "/webhooks", url="http://127.0.0.1/"))
    answer = await sent(api, "/webhooks", url="https://hooks.example.com/rota", events="job.dead")
    (secret,) = re.findall(r"<pre>(whsec_\S+)</pre>", answer.text)
    (made_one,) = await api.client.webhooks.all()
    assert made_one.events == ("job.dead",)
    path = f"/webhooks/{made_one.id}"
    assert secret not in await page(api, path)
    await sent(api, f"{path}/off")
    assert "Switched off" in await page(api, path)
    await sent(api, f"{path}/on")
    assert "Switched off" not in await page(api, path)
    (other,) = re.findall(r"<pre>(whsec_\S+)</pre>", (await sent(api, f"{path}/rotate")).text)
    assert other != secret
    assert (await sent(api, f"{path}/explode")).status_code == 404
    assert (await sent(api, f"{path}/send", message="none")).status_code == 404
    await sent(api, f"{path}/delete")
    await page(api, path, 404)


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
