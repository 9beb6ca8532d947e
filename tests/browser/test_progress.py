"""The example page in a real browser: the progress bar of a job moves to its end, whatever cuts the page off."""

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator

import pytest
import uvicorn

from rota import Client, Run, State, job
from rota.process.ports import listen
from tests.browser.chromium import CHROMIUM, MISSING, Tab, browsing
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import serving

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

#: How far the job goes with each step that a test lets it do; each test has a queue of its own.
steps: asyncio.Queue[int]


@job(queue="reports")
async def build_report(run: Run, rows: int) -> None:
    """Stand in for the job of the example, step by step."""
    while (percent := await steps.get()) < 100:
        run.progress(percent, f"{percent} of {rows}")


class Site:
    """The example while it runs behind a server of its own, with a worker beside it."""

    def __init__(self, url: str, server: uvicorn.Server, client: Client) -> None:
        self.url = url
        self.client = client
        self._server = server

    def cut(self) -> None:
        """Break all connections off, as a network does."""
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    async def forget(self) -> None:
        """Let Redis have no event any more of what has happened."""
        await self.client.redis.xtrim("rota:events", maxlen=0)


@pytest.fixture
async def site(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    global steps  # noqa: PLW0603 - the worker, and so the job, is in this process
    steps = asyncio.Queue()
    monkeypatch.setenv("REDIS_URL", server.url)
    example = importlib.reload(importlib.import_module("examples.progress.app"))
    async with contextlib.AsyncExitStack() as stack:
        works = await stack.enter_async_context(serving(server.url, build_report))
        listener = stack.enter_context(contextlib.closing(listen("127.0.0.1", 0)))
        serves = uvicorn.Server(uvicorn.Config(example.app, log_config=None))
        task = asyncio.create_task(serves.serve(sockets=[listener]))
        await until(lambda: serves.started, "the server has started")
        yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", serves, works.client)
        await example.api.state.desk.hub.close()
        serves.should_exit = True
        await task


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with browsing() as found:
        yield found


async def test_a_progress_bar_moves_to_the_end_whatever_cuts_the_page_off(site: Site, tab: Tab) -> None:
    await tab.open(site.url)
    await tab.value("begin.click()")
    steps.put_nowait(25)
    await tab.until("bar.value === 25 && said.textContent === '25 of 1000000'")
    site.cut()
    steps.put_nowait(50)
    await tab.until("bar.value === 50")
    site.cut()
    steps.put_nowait(75)
    await site.forget()
    await tab.until("bar.value === 75")
    site.cut()
    steps.put_nowait(100)
    await until_over(site)
    await site.forget()
    await tab.until("said.textContent === 'The report is completed.' && bar.value === 100 && !begin.disabled")
    assert tab.errors == []


async def until_over(site: Site) -> None:
    async def is_over() -> bool:
        return not (await site.client.counts("reports"))[State.ACTIVE]

    await until(is_over, "the report is over")


TICKET = "(await fetch('/reports/{id}/ticket', {{method: 'POST'}})).json()"


async def test_a_ticket_shows_a_visitor_one_job_alone(site: Site, tab: Tab) -> None:
    report = await site.client.enqueue(build_report, rows=1)
    await tab.open(site.url)
    ticket = TICKET.format(id=report.id)
    for path in ("events", "jobs/reports/other", f"jobs/default/{report.id}", "me"):
        asked = f"(await fetch('/rota/{path}?ticket=' + await {ticket})).status"
        assert await tab.value(f"(async () => {asked})()") == 403
    module = "(await import('/rota/static/rota.js'))"
    followed = (
        f"{module}.watchJob('/rota/jobs/reports/none', {{ticket: async () => {TICKET.format(id='none')}}})"
    )
    told = "(error) => `${error.name} ${error.status} ${error.problem.title}`"
    assert await tab.value(f"(async () => {followed}.catch({told}))()") == "Refused 404 There is no such job"
    steps.put_nowait(100)


async def test_a_page_follows_a_job_no_more_when_it_says_so_or_fails(site: Site, tab: Tab) -> None:
    report = await site.client.enqueue(build_report, rows=1)
    await tab.open(site.url)
    fetched = f"async () => {TICKET.format(id=report.id)}"
    for update, comes_of_it in (("stop.abort('enough')", "enough"), ("{ throw 'a mistake' }", "a mistake")):
        options = f"{{ticket: {fetched}, signal: stop.signal, onUpdate: () => {update}}}"
        followed = (
            f"(await import('/rota/static/rota.js')).watchJob('/rota/jobs/reports/{report.id}', {options})"
        )
        script = f"(async () => {{ const stop = new AbortController(); return {followed} }})()"
        assert await tab.value(f"{script}.catch((error) => error)") == comes_of_it
    steps.put_nowait(100)
