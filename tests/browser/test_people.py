"""The dashboard as people use it: who may only look, who has no mouse, who has a phone, and who follows a job."""

import json
from typing import Any

import pytest

from rota.model.access.keys import make, scopes_of
from rota.model.state import State
from rota.wire.access import AccessRecords
from tests.browser.chromium import CHROMIUM, MISSING, Tab
from tests.browser.shop.payments import charge
from tests.browser.shop.pictures import monthly_report
from tests.browser.visits import Shop, click, fill, says
from tests.waiting import until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

#: The text of what has the focus, and of the row or the field that it is in.
FOCUSED = "document.activeElement.innerText || document.activeElement.name || ''"


async def dead_charge(shop: Shop) -> str:
    """Let a charge die of its amount; return its id."""
    handle = await shop.client.enqueue(charge.options(id="wrong"), customer="ann", cents=-5)

    async def is_dead() -> bool:
        return (await handle.status()).state is State.DEAD

    await until(is_dead, "the charge is dead")
    return handle.id


async def log_in(shop: Shop, tab: Tab, *scopes: str) -> None:
    """Make a key of some scopes, and show it at the door as a person does."""
    text, key = make(scopes_of(list(scopes)), "ann's key")
    await AccessRecords(shop.client.redis, "rota").put({key.id: key.write()})
    await tab.open(f"{shop.url}/login")
    await fill(tab, "key", text)
    await click(tab, "Log in", within="main")


async def test_who_may_only_look_changes_nothing(shop: Shop, tab: Tab) -> None:
    job_id = await dead_charge(shop)
    await log_in(shop, tab, "read")
    assert await tab.value("location.pathname") == "/ui/"
    await says(tab, "ann's key")
    forms = (
        "[...document.querySelectorAll('form')].filter(one => one.method === 'post').map(one => one.action)"
    )
    page = f"/job?queue=billing&id={job_id}"
    for path in ("/", "/queues", "/queues/billing", "/schedules", "/jobs?queue=billing&state=dead", page):
        await tab.open(f"{shop.url}{path}")
        # One may log out, and choose the columns that the browser keeps.
        assert {one.rpartition("/")[2] for one in await tab.value(forms)} <= {"logout", "columns"}, path
    # A form made by hand on a page of the dashboard comes from the same site, and is refused all the same.
    fields = json.dumps({"queue": "billing", "id": job_id})
    for path in ("job/retry", "job/delete", "queues/billing/pause", "schedules/digest/run"):
        script = f"fetch('/ui/{path}', {{method: 'POST', body: new URLSearchParams({fields})}})"
        assert await tab.value(f"{script}.then(answer => answer.status)") == 403, path
    assert (await shop.client.status("billing", job_id)).state is State.DEAD
    assert await shop.client.paused_since("billing") is None
    await tab.open(f"{shop.url}/keys")
    await says(tab, "The key does not allow this")


async def tab_to(tab: Tab, words: str) -> None:
    """Press the tabulator until what says this has the focus."""
    for _ in range(80):
        await tab.press("Tab")
        if words in await tab.value(FOCUSED):
            return
    raise AssertionError(f"no stop of the tabulator says {words!r}")


async def write(tab: Tab, text: str) -> None:
    """Write a text into whatever has the focus, as a keyboard would."""
    await tab.call("Input.insertText", text=text)


async def is_on(tab: Tab, path: str) -> None:
    await tab.until(f"location.pathname === '/ui{path}' && document.readyState === 'complete'")
    # Before its script has run, keys do nothing.
    await tab.until("document.documentElement.dataset.script === 'on'")


async def test_a_dead_job_is_found_and_retried_by_the_keyboard_alone(shop: Shop, tab: Tab) -> None:
    job_id = await dead_charge(shop)
    await tab.open(f"{shop.url}/")
    await is_on(tab, "/")
    await tab.press("Tab")
    assert await tab.value(FOCUSED) == "Skip to the content", "the first stop leads past the frame"
    await tab.press("g", "q")
    await is_on(tab, "/queues")
    await tab_to(tab, "billing")
    await tab.press("Enter")
    await is_on(tab, "/queues/billing")
    await tab.press("/")
    await write(tab, job_id)
    await tab.press("Enter")
    await is_on(tab, "/job")
    await says(tab, "an amount of -5 cents cannot be charged")
    await tab.press("r")
    assert await tab.value(FOCUSED) == "reason", "the key opens the form, and does nothing yet"
    await write(tab, "the bank said so")
    assert (await shop.client.status("billing", job_id)).state is State.DEAD
    await tab.press("Enter")
    await says(tab, "brought back")
    await is_on(tab, "/job")
    await tab.press("g", "a")
    await is_on(tab, "/activity")
    await says(tab, "the bank said so")
    assert await tab.value("forbidden") == []


async def test_a_row_is_found_marked_and_opened_by_keys_and_keys_can_be_switched_off(
    shop: Shop, tab: Tab
) -> None:
    await shop.client.pause("billing")
    await shop.client.enqueue_many([charge.call(customer=f"c-{one}", cents=5) for one in range(4)])
    await tab.open(f"{shop.url}/jobs?queue=billing&state=waiting")
    await is_on(tab, "/jobs")
    marked = "[...document.querySelectorAll('tbody input:checked')].map(one => one.value)"
    await tab.press("j", "j", "x")
    assert len(await tab.value(marked)) == 1
    await tab.press("x", "j", "x")
    third = await tab.value(marked)
    await tab.press("Enter")
    await is_on(tab, "/job")
    assert third[0] in await tab.value("document.body.innerText")
    await tab.press("Escape")
    await is_on(tab, "/jobs")
    # With no row marked, the one that one is on is meant; and nothing is done before it is confirmed.
    await tab.press("j", "c")
    await is_on(tab, "/bulk/try")
    await says(tab, "Cancel: 1 job")
    assert (await shop.client.counts("billing"))[State.WAITING] == 4
    await tab.open(f"{shop.url}/jobs?queue=billing&state=waiting")
    await is_on(tab, "/jobs")
    await tab.press("?")
    await tab.until("document.querySelector('dialog').open")
    await tab_to(tab, "")
    await tab.value("document.querySelector('#keys-on').click()")
    await tab.press("Escape")
    await tab.until("!document.querySelector('dialog').open")
    for again in range(2):
        await tab.press("t", "g", "q")
        assert await tab.value("document.documentElement.dataset.theme") == "auto", again
        await tab.open(f"{shop.url}/jobs?queue=billing&state=waiting")
        await is_on(tab, "/jobs")


async def test_a_queue_is_paused_and_resumed_on_a_phone(shop: Shop, tab: Tab) -> None:
    size: dict[str, Any] = {"width": 390, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    await tab.call("Emulation.setDeviceMetricsOverride", **size)
    await tab.call("Emulation.setTouchEmulationEnabled", enabled=True)
    await tab.open(f"{shop.url}/")
    await touch(tab, ".side a[href$='/queues']")
    await is_on(tab, "/queues")
    assert await tab.value("document.documentElement.scrollWidth") <= 390, "nothing is cut off at the side"
    await touch(tab, "#region a[href$='/queues/email']")
    await is_on(tab, "/queues/email")
    await touch(tab, "#region [data-key=p] summary")
    await fill(tab, "reason", "mails go out twice")
    await touch(tab, "#region [data-key=p] button")
    await says(tab, "email is paused")
    assert await shop.client.paused_since("email") is not None
    await tab.open(f"{shop.url}/")
    await says(tab, "email is paused")
    await tab.open(f"{shop.url}/queues/email")
    await click(tab, "Resume", within="#region")
    await says(tab, "is resumed")
    assert await shop.client.paused_since("email") is None
    assert await tab.value("document.documentElement.scrollWidth") <= 390


async def touch(tab: Tab, selector: str) -> None:
    """Touch the middle of an element, where a finger would, once nothing lies above it."""
    script = f"""(async () => {{
        const one = document.querySelector({json.dumps(selector)});
        one?.scrollIntoView({{block: 'center', inline: 'center'}});
        // Where a touch goes is known once what was scrolled is drawn.
        for (const _ of [1, 2]) await new Promise(requestAnimationFrame);
        const {{x, y, width, height}} = one?.getBoundingClientRect() ?? {{}};
        const place = {{x: x + width / 2, y: y + height / 2, width, height}};
        return one?.contains(document.elementFromPoint(place.x, place.y)) ? place : null;
    }})()"""
    found: list[dict[str, float]] = []

    async def is_there() -> bool:
        found[:] = filter(None, [await tab.value(script)])
        return bool(found)

    await until(is_there, f"nothing lies above {selector}")
    (place,) = found
    assert min(place["width"], place["height"]) >= 24, f"{selector} is too small for a finger"
    point = {"x": place["x"], "y": place["y"]}
    await tab.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
    await tab.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


async def test_a_running_job_is_followed_to_its_end_without_a_reload(shop: Shop, tab: Tab) -> None:
    handle = await shop.client.enqueue(monthly_report, month="2026-11")
    await tab.open(f"{shop.url}/job?queue=reports&id={handle.id}")
    await tab.value("window.isOld = true")
    progress = "(document.querySelector('#region progress')?.value ?? 0)"
    await tab.until(f"{progress} > 0")
    seen = await tab.value(progress)
    await tab.until(f"{progress} > {seen}")
    await says(tab, "orders read")
    shop.done.touch()
    await says(tab, "completed")
    await says(tab, "reports/2026-11.pdf")
    assert await tab.value("window.isOld"), "it is the page that was opened"
    assert await tab.value("forbidden") == []
