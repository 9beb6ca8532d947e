"""The visitors of the dashboard: let in by key, by a server in front, or everybody; and which forms are taken."""

import pytest

from rota.client.bulk.actions import Actions
from rota.model.access.keys import make, scopes_of
from rota.model.access.rates import RequestRate
from rota.settings.load import ConfigError, load
from rota.wire.access import AccessRecords
from tests.integration.api.pages.visiting import OWN, entered, greet, made_in, page, sent
from tests.integration.api.serving import Api, answering
from tests.integration.api.test_access import made
from tests.servers import RedisServer

PROXY = {"DASHBOARD_AUTH": "proxy", "API_PROXIES": "127.0.0.0/8", "DASHBOARD_OPERATORS": "ann"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
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


@pytest.mark.parametrize(
    "path", ["//evil.example/ui/", "https://evil.example", "/ui/\\evil", "/ui/\n", "/jobs", ""]
)
async def test_the_door_leads_nowhere_else(api: Api, path: str) -> None:
    header, _ = await made(api.client.redis, "read")
    text = header["Authorization"].removeprefix("Bearer ")
    answer = await api.http.post("/ui/login", data={"key": text, "next": path}, headers=OWN)
    assert answer.headers["location"] == "/ui/"


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
        assert (await api.http.get("/ui/queues", headers={"X-Forwarded-User": " "})).status_code == 403
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


async def test_a_session_may_ask_for_no_more_than_its_key(api: Api) -> None:
    text, key = make(scopes_of(["admin"]))
    key = key.bound(rate=RequestRate.parse("60/h", 3), most_jobs=1)
    await AccessRecords(api.client.redis, "rota").put({key.id: key.write()})
    await api.http.post("/ui/login", data={"key": text}, headers=OWN)
    assert (await sent(api, "/new", name="email:greet", payload="{}")).status_code == 303
    refused = await sent(api, "/new", name="email:greet", payload="{}")
    assert refused.status_code == 429
    assert "may have 1 jobs that are not over" in refused.text
    await page(api, "/queues")
    assert "may send 60/h requests" in await page(api, "/queues", 429)


async def test_each_log_in_gives_another_token_and_all_of_them_can_end_at_once(api: Api) -> None:
    header, _ = await made(api.client.redis, "read")
    text = header["Authorization"].removeprefix("Bearer ")

    async def session(token: str = "") -> str:
        api.http.cookies.set("rota-session", token, domain="localhost.local", path="/ui")
        answer = await api.http.post("/ui/login", data={"key": text}, headers=OWN)
        api.http.cookies.clear()
        return answer.headers["set-cookie"].partition(";")[0].partition("=")[2]

    async def status(token: str) -> int:
        answer = await api.http.get("/ui/queues", headers={"Cookie": f"rota-session={token}"})
        return answer.status_code

    planted = "chosen-by-another-hand"
    tokens = [await session(planted), await session(planted), await session()]
    assert len({*tokens, planted}) == 4
    assert await status(planted) == 303
    for field, left in (({}, [303, 200, 200]), ({"everywhere": "1"}, [303, 303, 303])):
        ending = tokens[0] if not field else tokens[1]
        headers = OWN | {"Cookie": f"rota-session={ending}"}
        assert (await api.http.post("/ui/logout", data=field, headers=headers)).status_code == 303
        assert [await status(token) for token in tokens] == left


async def test_a_script_whose_session_is_over_is_told_so_and_not_led_to_the_door(api: Api) -> None:
    await made(api.client.redis, "read")
    for path in ("/ui/queues", "/ui/live"):
        assert (await api.http.get(path, headers={"HX-Request": "true"})).status_code == 401


async def test_the_frame_says_who_one_is(api: Api) -> None:
    for scopes, words in (
        (["read"], "viewer"),
        (["operate", "enqueue"], "operator, makes jobs"),
        (["admin"], "administrator"),
    ):
        await entered(api, *scopes)
        assert words in await page(api, "/queues")


async def test_a_session_stands_for_its_own_key_alone_whatever_key_its_cookie_names(api: Api) -> None:
    header, _ = await made(api.client.redis, "admin")
    other = header["Authorization"].split("_")[1]
    await entered(api, "read")
    own = api.http.cookies["rota-session"]
    _, _, rest = own.partition(".")
    api.http.cookies.clear()
    await page(api, "/queues", headers={"Cookie": f"rota-session={own}"})
    for forged in (f"{other}.{rest}", rest, f"{other}.", "."):
        answer = await api.http.get("/ui/queues", headers={"Cookie": f"rota-session={forged}"})
        assert answer.headers["location"].startswith("/ui/login"), forged


async def test_no_text_of_a_cookie_is_remembered_that_cannot_name_a_key(api: Api) -> None:
    await entered(api, "read")
    for key_id in ("x" * 10_000, ""):
        api.http.cookies.clear()
        api.http.cookies.set("rota-session", f"{key_id}.y", domain="localhost.local", path="/ui")
        answer = await api.http.get("/ui/queues")
        assert answer.headers["location"].startswith("/ui/login")
        assert key_id not in api.app.state.desk.gate._known


async def test_who_is_no_server_in_front_cannot_say_that_one_speaks_tls(api: Api) -> None:
    api.http.headers["X-Forwarded-Proto"] = "https"
    answer, _ = await entered(api, "read")
    assert answer.headers["set-cookie"].startswith("rota-session=")
    assert "Secure" not in answer.headers["set-cookie"]
