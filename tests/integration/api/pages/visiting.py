"""Visits to the dashboard as a browser makes them: pages, forms, and the jobs that they are about."""

import asyncio
from html.parser import HTMLParser
from typing import Any

import httpx2

from rota import Run, every, job
from rota.model.state import State
from rota.server import connections
from rota.server.target import RedisTarget
from tests.integration.api.serving import Api
from tests.integration.api.test_access import made
from tests.servers import RedisServer
from tests.waiting import until_in

MARKUP = "<script>alert(1)</script>"


OWN = {"Sec-Fetch-Site": "same-origin"}


PAGES = (
    "",
    "/",
    "/queues",
    "/queues/email",
    "/failures",
    "/flows",
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
        #: All that is written on it.
        self.text = ""
        #: The text of the cells of tables, each with the name of its column.
        self._cells: list[tuple[str, str]] = []
        self.feed(html)

    def cells(self, column: str) -> list[str]:
        """Return what stands in a column, row by row."""
        return [" ".join(text.split()) for name, text in self._cells if name == column]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cells.append(("", ""))

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cells:
            name, text = self._cells[-1]
            self._cells[-1] = name, text + data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("td", "th", "table"):
            self._cells.append((given.get("data-label") or "", ""))
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


async def dead_letters(api: Api, count: int) -> list[str]:
    """Let some jobs die; return their ids."""
    handles = [await api.client.enqueue(fails, name="x") for _ in range(count)]
    for handle in handles:
        await until_in(handle, State.DEAD)
    return [handle.id for handle in handles]


async def entered(api: Api, *scopes: str) -> tuple[httpx2.Response, str]:
    """Make a key of some scopes and log in with it; return the answer and the key."""
    header, _ = await made(api.client.redis, *scopes)
    text = header["Authorization"].removeprefix("Bearer ")
    return await api.http.post("/ui/login", data={"key": text, "next": "/ui/queues"}, headers=OWN), text


async def made_in(server: RedisServer, *scopes: str) -> None:
    async with connections.async_client(RedisTarget.from_url(server.url)) as redis:
        await made(redis, *scopes)
