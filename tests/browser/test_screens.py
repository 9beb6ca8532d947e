"""Pictures of every screen, light and dark, on a desk and on a phone; no screen is wider than its window.

`make screenshots` keeps them in docs/images, to be looked at; otherwise they go with the test.
"""

import base64
import os
from pathlib import Path

import pytest

from rota.model.access.keys import Scope, make
from rota.model.state import State
from rota.wire.access import AccessRecords
from tests.browser.chromium import CHROMIUM, MISSING, Tab
from tests.browser.shop.mails import order_confirmation, welcome
from tests.browser.shop.payments import charge
from tests.browser.shop.pictures import album, monthly_report, thumbnail
from tests.browser.visits import Shop, click, fill, remember, says
from tests.processes import ROOT
from tests.waiting import until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

KEPT = os.environ.get("SCREENSHOTS")
SIZES = {"desk": (1280, 800), "phone": (390, 844)}
THEMES = ("light", "dark")
#: Each screen by the name of its picture: where it is, or the page and the first link to it there.
SCREENS: dict[str, tuple[str, str]] = {
    "overview": ("/", ""),
    "queues": ("/queues", ""),
    "queue": ("/queues/images", ""),
    "purge": ("/queues/images/purge", ""),
    "jobs": ("/jobs?queue=images&state=waiting", ""),
    "jobs-dead": ("/jobs?queue=billing&state=dead", ""),
    "jobs-recorded": ("/jobs?status=COMPLETED", ""),
    "job-running": ("/job?queue=reports&id=september", ""),
    "job-dead": ("/job?queue=billing&id=wrong", ""),
    "new": ("/new?name=billing:charge", ""),
    "failures": ("/failures", ""),
    "cause": ("/failures", "/failures/"),
    "flows": ("/flows", ""),
    "flow": ("/flows", "/flows/"),
    "schedules": ("/schedules", ""),
    "schedule": ("/schedules", "/schedules/digest"),
    "workers": ("/workers", ""),
    "worker": ("/workers", "/workers/"),
    "webhooks": ("/webhooks", ""),
    "webhook": ("/webhooks", "/webhooks/"),
    "activity": ("/activity", ""),
    "system": ("/system", ""),
    "keys": ("/keys", ""),
}
#: What is shown before there is any job, before one is let in, and what a form shows.
OTHERS = ("empty", "login", "sheet")


async def work(shop: Shop) -> str:
    """Let the shop have done much, and be in the midst of more; return a key that may do everything."""
    client = shop.client
    await remember(shop, "email", a_minute=40, wait=0.4, run=0.03)
    await remember(shop, "billing", a_minute=12, wait=0.2, run=0.3)
    await remember(shop, "images", a_minute=20, wait=0.5, run=0.5)
    await remember(shop, "reports", a_minute=1, wait=2, run=60)
    await client.enqueue_many(welcome.call(to=f"customer-{number}@shop.example") for number in range(600))
    await client.enqueue_many(
        charge.call(customer=f"c-{number}", cents=900 + number) for number in range(150)
    )
    await until_over(shop, "billing", dead=0)
    shop.away.touch()
    await client.enqueue_many(charge.call(customer=f"c-{number}", cents=500) for number in range(37))
    await client.enqueue(charge.options(id="wrong"), customer="c-400", cents=-5)
    await client.enqueue(charge.options(id="order-" + "4711-" * 35), customer="c-401", cents=-(10**60))
    await until_over(shop, "billing", dead=39)
    await client.enqueue(monthly_report.options(id="september"), month="2026-09")
    await client.enqueue_many(thumbnail.call(f"holiday-{number}.jpeg") for number in range(80))
    await client.enqueue(album, "wedding", count=12)
    late = order_confirmation.options(delay=7200)
    await client.enqueue_many(late.call(to="ann@shop.example", order=number) for number in range(12))
    await client.webhooks.make("https://127.0.0.1:9/hooks", description="the warehouse", events=("job.dead",))
    text, key = make(frozenset({Scope.ADMIN}), "Ann's laptop")
    records = AccessRecords(client.redis, "rota")
    await records.put({key.id: key.write()})
    _, other = make(frozenset({Scope.READ}), "wall screen")
    await records.put({other.id: other.write()})
    return text


async def until_over(shop: Shop, queue: str, *, dead: int) -> None:
    async def is_over() -> bool:
        counts = await shop.client.counts(queue)
        return not counts[State.WAITING] and not counts[State.ACTIVE] and counts[State.DEAD] == dead

    await until(is_over, f"{queue} is idle", 60)


async def size(tab: Tab, width: int, height: int) -> None:
    await tab.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
    )


#: Paths of this machine stand on pages as they would in a container.
_AS_IN_A_CONTAINER = f"""(() => {{
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) texts.currentNode.data = texts.currentNode.data.replaceAll({str(ROOT)!r}, '/app');
}})()"""


async def take(tab: Tab, path: Path) -> None:
    """Keep a picture of the whole page, as far down as three windows."""
    await tab.value(_AS_IN_A_CONTAINER)
    width, height = await tab.value("[innerWidth, innerHeight]")
    # The window is as high as the page, so that what keeps to its edge is at the edge of the picture.
    whole = await tab.value("document.documentElement.scrollHeight")
    await size(tab, width, min(whole, 3 * height))
    await tab.value("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    taken = await tab.call("Page.captureScreenshot", format="webp", quality=80)
    path.write_bytes(base64.b64decode(taken["data"]))


async def take_all(tab: Tab, folder: Path, name: str) -> list[str]:
    """Keep the pictures of one screen; return those on which it is wider than its window."""
    wide = []
    for theme in THEMES:
        # Without motion, nothing is caught amid a change of its colour.
        media = {"prefers-color-scheme": theme, "prefers-reduced-motion": "reduce"}
        features = [{"name": feature, "value": value} for feature, value in media.items()]
        await tab.call("Emulation.setEmulatedMedia", features=features)
        for device, (width, height) in SIZES.items():
            await size(tab, width, height)
            if await tab.value("document.documentElement.scrollWidth > innerWidth"):
                wide.append(f"{name} on a {device}")
            await take(tab, folder / f"{name}-{theme}-{device}.webp")
    return wide


async def test_every_screen_in_both_themes_and_widths(shop: Shop, tab: Tab, tmp_path: Path) -> None:
    folder = Path(KEPT) if KEPT else tmp_path
    await tab.call("Emulation.setScrollbarsHidden", hidden=True)
    await tab.open(f"{shop.url}/")
    wide = await take_all(tab, folder, "empty")
    key = await work(shop)

    async def is_shut() -> bool:
        await tab.open(f"{shop.url}/")
        return bool(await tab.value("document.querySelector('[name=key]') !== null"))

    await until(is_shut, "the first key has been found, without which nobody is let in")
    wide += await take_all(tab, folder, "login")
    await fill(tab, "key", key)
    await click(tab, "Log in", within="main")
    # Processes tell every ten seconds what has ended.
    await tab.until("document.querySelector('svg.chart .completed')")
    await says(tab, "late (objective 1 s)")
    for name, (path, link) in SCREENS.items():
        await tab.open(f"{shop.url}{path}")
        if link:
            await tab.open(await tab.value(f"document.querySelector('main a[href*=\"/ui{link}\"]').href"))
        wide += await take_all(tab, folder, name)
    await tab.open(f"{shop.url}/failures")
    await click(tab, "Retry 37")
    wide += await take_all(tab, folder, "sheet")
    assert not wide
    assert await tab.value("forbidden") == []


def test_the_pictures_that_are_kept_are_those_of_all_screens() -> None:
    every = {
        f"{name}-{theme}-{device}.webp"
        for name in (*SCREENS, *OTHERS)
        for theme in THEMES
        for device in SIZES
    }
    assert {path.name for path in (ROOT / "docs" / "images").glob("*.webp")} == every
