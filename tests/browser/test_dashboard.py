"""The dashboard in a real browser: pages bring themselves up to date, break no policy, and disturb no form."""

import pytest

from tests.browser.chromium import CHROMIUM, MISSING, Tab
from tests.browser.visits import greet, says
from tests.integration.api.serving import Api
from tests.waiting import until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

SCREENS = (
    "/",
    "/queues",
    "/queues/email",
    "/jobs?queue=email&state=waiting",
    "/failures",
    "/flows",
    "/schedules",
    "/workers",
)
OTHERS = ("/activity", "/system", "/new", "/login", "/nothing")


async def test_no_page_does_what_its_policy_forbids_or_loads_anything_from_elsewhere(
    api: Api, tab: Tab
) -> None:
    await api.client.enqueue(greet, name="<img src=https://elsewhere.example/x onerror=alert(1)>")
    for path in (*SCREENS, *OTHERS):
        await tab.open(f"{api.http.base_url}/ui{path}")
        assert await tab.value("forbidden") == [], path
        loaded = await tab.value("performance.getEntriesByType('resource').map(one => one.name)")
        assert all(name.startswith(str(api.http.base_url)) for name in loaded), path
    assert tab.errors == []


async def test_an_open_page_shows_what_happens(api: Api, tab: Tab) -> None:
    await tab.open(f"{api.http.base_url}/ui/queues")
    await tab.until("document.querySelector('.live')?.textContent === 'live'")
    await api.client.enqueue_many([greet.call() for _ in range(7)])
    await tab.until("document.querySelector('[data-label=Waiting]').textContent === '7'")
    assert await tab.value("forbidden") == []


async def test_whoever_fills_a_form_is_not_disturbed(api: Api, tab: Tab) -> None:
    await api.client.resume("email")
    await tab.open(f"{api.http.base_url}/ui/queues/email")
    await tab.until("document.querySelector('.live')?.textContent === 'live'")
    await tab.value("document.querySelector('details.sheet').open = true")
    await tab.value("document.querySelector('[name=reason]').value = 'too many'")
    asked = (
        "performance.getEntriesByType('resource').filter(one => one.name.endsWith('/ui/queues/email')).length"
    )
    before = await tab.value(asked)
    handle = await api.client.enqueue(greet)
    await handle.result(10)
    # The next word on the page's stream, a second later, finds the form closed, and brings the page up to date.
    assert await tab.value("document.querySelector('[name=reason]').value") == "too many"
    assert await tab.value(asked) == before
    await tab.value("document.querySelector('details.sheet').open = false")
    await (await api.client.enqueue(greet)).result(10)
    await tab.until(f"{asked} > {before}")


async def test_a_paused_page_asks_nothing_until_it_goes_on(api: Api, tab: Tab) -> None:
    hub = api.app.state.desk.hub
    await tab.open(f"{api.http.base_url}/ui/queues")
    await tab.until("document.querySelector('.live')?.textContent === 'live'")
    await tab.press(".")
    await tab.until("document.querySelector('.live').textContent.startsWith('paused, as of')")
    await api.client.enqueue_many([greet.call() for _ in range(7)])
    # The stream ends, so that no word comes on which the page would ask.
    await until(lambda: not hub._listeners, "the page listens no more")
    assert await tab.value("document.querySelector('[data-label=Waiting]').textContent") == "0"
    await tab.press(".")
    await tab.until("document.querySelector('[data-label=Waiting]').textContent === '7'")
    await until(lambda: hub._listeners, "the page listens again")


@pytest.mark.parametrize("late", ["*/app.js", "*/htmx.js"])
async def test_a_page_is_live_whichever_of_its_scripts_comes_last(api: Api, tab: Tab, late: str) -> None:
    await tab.delay(late, 1.0)
    await tab.open(f"{api.http.base_url}/ui/queues")
    await tab.until("document.querySelector('.live').textContent === 'live'")
    # It has heard the stream begin, and has not found out by the first answer.
    asked = "performance.getEntriesByType('resource').filter(one => one.name.endsWith('/ui/queues')).length"
    assert await tab.value(asked) == 0
    await api.client.enqueue_many([greet.call() for _ in range(7)])
    await tab.until("document.querySelector('[data-label=Waiting]').textContent === '7'")


async def test_a_form_works_without_a_script(api: Api, tab: Tab) -> None:
    await tab.call("Emulation.setScriptExecutionDisabled", value=True)
    await tab.open(f"{api.http.base_url}/ui/queues/email")
    hidden = "document.querySelector('.by-script').checkVisibility() === false"
    assert await tab.value(hidden), "what a script is needed for is not shown"
    assert await tab.value("document.body.innerText.includes('Paused since')")
    await tab.value("document.querySelector('main button.main').click()")
    await tab.until("document.body?.innerText.includes('email is resumed')")
    assert await api.client.paused_since("email") is None


async def test_a_first_visitor_copies_a_command_and_the_page_goes_on_by_itself(api: Api, tab: Tab) -> None:
    url = str(api.http.base_url)
    await tab.call("Browser.grantPermissions", permissions=["clipboardReadWrite"], origin=url)
    await tab.open(f"{url}/ui/")
    await says(tab, "waiting for a worker…")
    await tab.value("document.querySelector('[data-copy^=\"rota enqueue\"]').click()")
    await says(tab, "Copied")
    assert await tab.value("navigator.clipboard.readText()") == "rota enqueue email:greet"
    await tab.until("document.querySelector('.live')?.textContent === 'live'")
    await api.client.enqueue(greet)
    await says(tab, "email is paused, and 1 job waits for it to be resumed")
    assert await tab.value("forbidden") == []
