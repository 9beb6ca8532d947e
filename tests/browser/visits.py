"""Visits to a shop's dashboard in a real browser: workers, leader, database and API of one process of MODE=all."""

import contextlib
import math
import random
import time
from bisect import bisect_left
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rota import Client, Run, connect, every, job
from rota.model.history.scale import BOUNDS
from rota.model.history.tallies import Tallies
from rota.settings.load import load
from rota.wire.keys import history_key
from tests.browser.chromium import Tab
from tests.processes import ROOT, Worker, environment
from tests.waiting import until


@every("1h")
@job(queue="email")
async def greet(run: Run, name: str = "") -> None:
    """Do nothing, for tests that look at one queue of one job."""


@dataclass(frozen=True)
class Shop:
    """A shop at work: where its dashboard is, a client of its queues, and a folder for its files."""

    url: str
    client: Client
    folder: Path
    process: Worker
    redis_url: str

    @property
    def away(self) -> Path:
        """The file that says that the bank is away."""
        return self.folder / "away"

    @property
    def done(self) -> Path:
        """The file that lets reports end."""
        return self.folder / "done"


@contextlib.asynccontextmanager
async def open_shop(folder: Path, redis_url: str, **variables: str) -> AsyncIterator[Shop]:
    """Run the shop while a block lasts. `folder` takes its log."""
    ours = {"REDIS_URL": redis_url, "JOBS_PACKAGE": "tests.browser.shop", "METRICS_PORT": "off", **variables}
    own = environment(
        ROOT,
        MODE="all",
        API_PORT="0",
        LOG_FORMAT="json",
        SHOP_AWAY=str(folder / "away"),
        SHOP_DONE=str(folder / "done"),
        **ours,
    )
    with contextlib.closing(Worker(folder / "log", own)) as process:
        await until(
            lambda: process.says("api.ready") and process.says("worker.ready"), f"ready: {process.log}", 30
        )
        (ready,) = process.events("api.ready")
        async with await connect(load(ours)) as client:
            yield Shop(ready["dashboard"].rstrip("/"), client, folder, process, redis_url)


async def remember(shop: Shop, queue: str, *, a_minute: int, wait: float, run: float) -> None:
    """Write into Redis what a queue would have done in the last three days: more by day, less by night."""
    now, chance = time.time(), random.Random(queue)
    for hour in range(int(now // 3600) - 72, int(now // 3600) + 1):
        lines = []
        for minute in range(60):
            at = hour * 3600 + minute * 60
            if at > now - 60:
                break
            load = (1.2 + math.sin((at / 3600 - 8) / 24 * math.tau)) * chance.uniform(0.7, 1.1)
            count = round(a_minute * load)
            tallies = Tallies({0: count, 1: count // 40, 2: count // 150})
            for seconds, counts in ((wait * load * load, tallies.waits), (run, tallies.runs)):
                for _ in range(count):
                    place = bisect_left(BOUNDS, seconds * chance.lognormvariate(0, 0.6))
                    counts[place] = counts.get(place, 0) + 1
            lines.append(f"\n{minute} {tallies.text()}")
        await shop.client.redis.append(f"{history_key('rota', queue)}:{hour}", "".join(lines))


async def click(tab: Tab, words: str, within: str = "body") -> None:
    """Click the link or the button with these words, as it is seen, and wait for the page that comes of it."""
    mark = "window.isOld = true"
    await tab.value(mark)
    found = await tab.value(f"""(() => {{
        const all = document.querySelector({within!r}).querySelectorAll('a, button, summary');
        const one = [...all].find(one => one.checkVisibility() && one.innerText.includes({words!r}));
        one?.click();
        return one?.tagName;
    }})()""")
    assert found, f"nothing says {words!r}: {await tab.value('document.body.innerText')}"
    if found != "SUMMARY":
        await tab.until("!window.isOld && document.readyState === 'complete'")


async def says(tab: Tab, words: str) -> None:
    """Wait until the page says this, by itself or because it brings itself up to date."""
    await tab.until(f"document.body?.innerText.includes({words!r})")


async def fill(tab: Tab, name: str, text: str, within: str = "main") -> None:
    """Write a text into a field of the page."""
    found = await tab.value(f"""(() => {{
        const all = document.querySelector({within!r}).querySelectorAll('[name={name}]');
        const one = [...all].find(one => one.checkVisibility());
        if (one) one.value = {text!r};
        return !!one;
    }})()""")
    assert found, f"no field is called {name}: {await tab.value('document.body.innerText')}"
