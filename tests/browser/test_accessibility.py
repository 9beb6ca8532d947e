"""Every page of the dashboard, empty and full, in both themes, on a screen and on a phone.

What axe-core finds on it, what its policy had to forbid, and whether anything comes from elsewhere.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from rota import Run, each, every, job, pipeline
from rota.app.declaring import Declaring, release_of, schedules_of
from rota.client.webhooks.records import WebhookRecords
from rota.fleet.heartbeat import About, Heartbeat
from rota.services.scheduler import Scheduler
from rota.wire.keys import queue_key
from rota.wire.leader import Place
from tests.browser.axe import findings
from tests.browser.chromium import CHROMIUM, MISSING, Tab
from tests.integration.api.pages.test_rights import routes
from tests.integration.api.serving import listening
from tests.integration.api.towns import Town, founded
from tests.servers import RedisServer
from tests.unit.fleet.test_heartbeat import Worker
from tests.workers import Term

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

#: Routes whose answers are not looked at: streams, files, a second address, and a page that needs a query.
NONE = {"/live", "/static/{mark}/{name}", "", "/job"}
#: Pages with a query of theirs.
ASKED = (
    "/jobs?queue=held&state=waiting",
    "/jobs?queue=held&state=delayed",
    "/jobs?queue=long&state=active",
    "/jobs?queue=quick&state=dead",
    "/jobs?status=FAILED",
    "/search?q=nothing",
    "/login",
)
#: Each width with each theme, and those that have each of them once.
SCREENS = tuple((width, theme) for width in (1280, 390) for theme in ("light", "dark"))
BOTH = SCREENS[0], SCREENS[3]


@job(queue="held")
async def cut(run: Run, scenes: int) -> list[int]:
    return list(range(scenes))


@job(queue="held")
async def paint(run: Run, scene: int) -> None: ...


@every("1h", name="hourly")
@job(queue="quick")
async def swept(run: Run) -> None: ...


def paths(**places: str) -> list[str]:
    """Return the address of each page, found from the router; what is not among `places` is not there."""
    known = defaultdict(lambda: "none", places)
    found = {path for method, path in routes() if method == "GET"} - NONE
    return [*sorted(path.format_map(known) for path in found), *ASKED]


async def looked_over(tab: Tab, name: str, screens: Iterable[tuple[int, str]] = SCREENS) -> list[str]:
    """Return what is found on the page as it is, in some widths and themes."""
    found = []
    for width, theme in screens:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        await tab.call("Emulation.setDeviceMetricsOverride", **size)
        # Without motion no color is on its way from one to another.
        media = {"prefers-color-scheme": theme, "prefers-reduced-motion": "reduce"}
        features = [{"name": feature, "value": value} for feature, value in media.items()]
        await tab.call("Emulation.setEmulatedMedia", features=features)
        found += [f"{name} {width} {theme}: {one}" for one in await findings(tab)]
    return found


async def checked(tab: Tab, url: str, *screens: tuple[int, str]) -> list[str]:
    """Return what is found on a page, with all that it opens open."""
    await tab.open(url)
    loaded = await tab.value("performance.getEntriesByType('resource').map(one => one.name)")
    strange = [f"{url} loads {one}" for one in loaded if not one.startswith(url.partition("/ui")[0])]
    strange += [f"{url} is forbidden {one}" for one in await tab.value("forbidden")]
    await tab.value("document.querySelectorAll('main details').forEach(one => one.open = true)")
    return strange + await looked_over(tab, url, screens or SCREENS)


async def test_nothing_is_found_on_pages_that_have_nothing_to_show(server: RedisServer, tab: Tab) -> None:
    async with listening(server.url, swept) as api:
        base = f"{api.http.base_url}/ui"
        found = [one for path in paths(queue="quick") for one in await checked(tab, base + path, *BOTH)]
        await tab.open(f"{base}/queues")
        await tab.press("?")
        found += await looked_over(tab, "the help", BOTH)
        await tab.press("Escape")
        await tab.value("document.querySelector('details.who').open = true")
        found += await looked_over(tab, "who one is", [(1280, "light"), (1280, "dark")])
    assert found == []


async def test_nothing_is_found_on_pages_that_are_full(server: RedisServer, tmp_path: Path, tab: Tab) -> None:
    async with founded(server, tmp_path, swept) as town:
        await tab.call("Network.enable")
        await tab.call("Network.setExtraHTTPHeaders", headers=town.keys[None])
        base = f"{town.api.http.base_url}/ui"
        found = [one for path in await stocked(town) for one in await checked(tab, base + path)]
    assert found == []


async def stocked(town: Town) -> list[str]:
    """Add to a town what its jobs do not make; return the address of each page."""
    client = town.api.client
    hook = await client.webhooks.make("https://8.8.8.8/hook", description="the shop")
    await WebhookRecords(client.redis, "rota").of(hook.id).add({"msg_1": b"{}"}, 1_796_000_000_000, "quick")
    await beat(town)
    await plan(town)
    wanted = {"action": "retry", "filter": {"queue": "quick", "state": "dead", "name": "none"}}
    operation = (await town.ask(None, "POST", "/bulk", json=wanted)).json()["id"]
    await town.ask(None, "POST", "/queues/held/pause")
    cause = (await client.failures())[0].cause
    jobs = [f"/job?queue={queue}&id={one}" for queue, one, _ in town.jobs[None]]
    places = paths(
        queue="held",
        webhook=hook.id,
        message="msg_1",
        worker="host-1-abc",
        id=operation,
        name="hourly",
        key=cause,
        cause=cause,
    )
    film = await client.enqueue(pipeline(cut, each(paint)), 3)
    return [*places, *jobs, f"/flows/{film.id}", "/failures?by=reason"]


async def beat(town: Town) -> None:
    """Let a process tell of itself, and lead."""
    redis, worker = town.api.client.redis, Worker(queue_key("quick"), running=3)
    about = About("host-1", 1, 3600, 100 * 2**20, 0.5)
    await Heartbeat(redis, "host-1-abc", [worker], about=lambda: about).beat()
    await Place("rota", "host-1-abc", 600).take(redis)


async def plan(town: Town) -> None:
    """Declare the schedules, and plan them as a leader does."""
    settings, redis = town.api.app.state.desk.settings, town.api.client.redis
    await Declaring(redis, settings, release_of(settings, town.api.app.state.desk.registry)).declare()
    await Scheduler(schedules_of(settings), Term(), lambda: None).look(redis)
