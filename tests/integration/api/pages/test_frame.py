"""What all pages have in common: they are there, text stays text, errors are pages, files are small."""

import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import typer

import rota.api
from rota.cli.main import cli
from rota.model.state import State
from scripts import vendor
from tests.integration.api.pages.visiting import (
    MARKUP,
    OWN,
    PAGES,
    fails,
    greet,
    job_path,
    made_in,
    page,
    sent,
)
from tests.integration.api.serving import Api, answering
from tests.servers import RedisServer
from tests.waiting import until_in


@pytest.mark.parametrize("path", PAGES)
async def test_each_page_is_there_before_anything_was_ever_enqueued(api: Api, path: str) -> None:
    await page(api, path)


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


async def test_an_address_of_a_file_changes_with_it_and_only_known_files_are_served(api: Api) -> None:
    found = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', await page(api, "/"))
    assert len(found) == 3
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


async def test_redis_away_is_said_in_a_page(own_server: RedisServer) -> None:
    async with answering(own_server.url, greet, works=False, BOOT_TIMEOUT="1") as api:
        own_server.stop()
        answer = await api.http.get("/ui/")
        assert answer.status_code == 503
        assert "Redis is away" in answer.text


@pytest.mark.parametrize("package", vendor.PACKAGES, ids=lambda package: package.name)
def test_the_files_of_others_are_those_that_were_looked_at(package: vendor.Package) -> None:
    for name, expected in package.files.values():
        assert hashlib.sha256(vendor.content(package.folder / name)).hexdigest() == expected, name


def test_what_a_browser_loads_is_small() -> None:
    folder = Path(rota.api.__file__).parent / "pages" / "static"
    files = [path for path in folder.iterdir() if path.suffix in (".css", ".js")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= 65_000


async def test_a_badge_says_which_deployment_it_is(server: RedisServer) -> None:
    await made_in(server, "read")
    for own, badge, color in (
        ({}, "development", "gray"),
        ({"APP_ENV": "production"}, "production", "red"),
        ({"DASHBOARD_NAME": "EU shop", "DASHBOARD_COLOR": "amber"}, "EU shop", "amber"),
    ):
        async with answering(server.url, greet, works=False, DASHBOARD_AUTH="none", **own) as api:
            shown = await page(api, "/queues")
            assert f'<span class="place">{badge}</span>' in shown
            assert f'class="top {color}"' in shown


async def test_a_bar_says_what_is_to_be_known_wherever_one_is(api: Api) -> None:
    assert 'class="bar late"' not in await page(api, "/queues")
    await api.client.pause("email")
    for path in ("/", "/queues"):
        assert "email is paused" in await page(api, path)


async def test_a_page_is_still_where_it_is_asked_to_be(api: Api) -> None:
    assert "hx-sse:connect" in await page(api, "/queues?period=1h")
    still = await page(api, "/queues?period=1h&live=off")
    assert "hx-sse:connect" not in still
    assert 'href="?period=1h&amp;"' in still, "the way back"


async def test_a_deployment_can_leave_it_out(server: RedisServer) -> None:
    async with answering(server.url, greet, works=False, DASHBOARD="false") as api:
        assert (await api.http.get("/ui/")).status_code == 404


def test_each_command_that_a_page_names_is_there() -> None:
    known: Any = typer.main.get_command(cli)
    folder = Path(rota.api.__file__).parent / "pages" / "templates"
    named = {
        name
        for path in folder.iterdir()
        for name in re.findall(r"<code>rota ([a-z-]+)", path.read_text("utf-8"))
    }
    assert len(named) > 5
    assert named <= known.commands.keys()


async def test_each_page_tells_browsers_all_that_holds_them(api: Api) -> None:
    policy = {
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    }
    for answer in (
        await api.http.get("/ui/queues"),
        await api.http.get("/ui/nothing"),
        await sent(api, "/queues/email/pause"),
    ):
        told = answer.headers
        assert set(told["content-security-policy"].split("; ")) == policy
        assert told["x-content-type-options"] == "nosniff"
        assert told["referrer-policy"] == "same-origin"
        assert told["cross-origin-opener-policy"] == told["cross-origin-resource-policy"] == "same-origin"
        assert told["cache-control"] == "no-store"


@pytest.mark.parametrize(("chosen", "shown"), [("dark", "dark"), ("light", "light"), ("none", "auto")])
async def test_a_page_has_the_theme_that_its_browser_keeps(api: Api, chosen: str, shown: str) -> None:
    found = await page(api, "/queues", headers={"Cookie": f"rota-theme={chosen}"})
    assert f'data-theme="{shown}"' in found


async def test_what_a_form_did_is_said_once(api: Api) -> None:
    await sent(api, "/queues/email/pause")
    assert "Jobs that run go on." in await page(api, "/queues")
    assert "Jobs that run go on." not in await page(api, "/queues")


async def test_a_body_that_is_no_form_of_a_page_is_refused(api: Api) -> None:
    answer = await api.http.post("/ui/queues/email/pause", json={"reason": "x"}, headers=OWN)
    assert answer.status_code == 415
    for large in ({"reason": "x" * 70_000}, {"reason": ["x"] * 2001}):
        answer = await api.http.post("/ui/queues/email/pause", data=large, headers=OWN)
        assert answer.status_code in (400, 413)
    assert await api.client.paused_since("email") is None


async def test_the_first_stop_of_a_page_leads_past_its_frame_which_says_where_one_is(api: Api) -> None:
    body = (await page(api, "/queues")).partition("<body>")[2]
    (here,) = re.findall(r'href="(/ui/[^"]*)" aria-current="page"', body)
    assert here == "/ui/queues"
    assert body.strip().startswith('<a class="skip" href="#live">')
