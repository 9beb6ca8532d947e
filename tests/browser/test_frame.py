"""The script of all pages in a real browser: what is asked of the server and when, marks of rows, and what is said."""

import itertools

import pytest

from rota.model.access.keys import make, scopes_of
from rota.wire.access import AccessRecords
from tests.browser.chromium import CHROMIUM, MISSING, Tab
from tests.browser.visits import greet
from tests.integration.api.serving import Api, listening
from tests.servers import RedisServer
from tests.waiting import until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

LIVE = "document.querySelector('.live')?.textContent === 'live'"
#: When the region asked for itself, in milliseconds since the page was opened.
ASKED = (
    "performance.getEntriesByType('resource')"
    ".filter(one => one.name.endsWith('/ui/queues')).map(one => one.startTime)"
)
CHANGED = "document.body.dispatchEvent(new Event('changed'))"
BAR = "(document.querySelector('#away').hidden ? '' : document.querySelector('#away').textContent)"
WAITING = "document.querySelector('[data-label=Waiting]').textContent"
MARKED = "[...document.querySelectorAll('tbody input')].map(one => one.checked)"


async def test_however_much_happens_a_page_asks_once_a_second(api: Api, tab: Tab) -> None:
    await tab.open(f"{api.http.base_url}/ui/queues")
    await tab.until(LIVE)
    for _ in range(60):
        await api.client.enqueue_many([greet.call() for _ in range(10)])
        if len(await tab.value(ASKED)) >= 3:
            break
        await tab.until("new Promise(resolve => setTimeout(() => resolve(true), 100))")
    await tab.until(f"{ASKED}.length >= 3")
    times = await tab.value(ASKED)
    assert all(later - earlier >= 900 for earlier, later in itertools.pairwise(times)), times


async def test_a_hidden_page_asks_nothing_until_it_is_seen_again(api: Api, tab: Tab) -> None:
    hub = api.app.state.desk.hub
    await tab.open(f"{api.http.base_url}/ui/queues")
    await tab.until(LIVE)
    hide = (
        "Object.defineProperty(document, 'hidden', {{value: {}, configurable: true}});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    await tab.value(hide.format("true"))
    await until(lambda: not hub._listeners, "the page listens no more")
    before = await tab.value(ASKED)
    await api.client.enqueue_many([greet.call() for _ in range(7)])
    await tab.value(CHANGED)
    assert await tab.value(ASKED) == before
    await tab.value(hide.format("false"))
    await tab.until(f"{WAITING} === '7'")


async def test_a_page_whose_server_has_no_redis_says_so_and_keeps_what_it_shows(
    own_server: RedisServer, tab: Tab
) -> None:
    async with listening(own_server.url, greet, BOOT_TIMEOUT="1") as api:
        await tab.open(f"{api.http.base_url}/ui/queues")
        await tab.until(LIVE)
        own_server.stop()
        await tab.value(CHANGED)
        await tab.until(f"{BAR}.includes('an error (503): what is shown is as of')")
        assert await tab.value(WAITING) == "0", "the list is still there"
        own_server.start()
        await tab.until(f"({CHANGED}, {BAR} === '')")


async def test_a_page_whose_session_is_over_leads_to_the_door_and_back(api: Api, tab: Tab) -> None:
    text, key = make(scopes_of(["read"]))
    records = AccessRecords(api.client.redis, "rota")
    await records.put({key.id: key.write()})
    await tab.open(f"{api.http.base_url}/ui/queues")
    for _ in range(2):
        await tab.until("location.pathname === '/ui/login' && document.readyState === 'complete'")
        await tab.value(f"document.querySelector('[name=key]').value = '{text}'")
        await tab.value("document.querySelector('main form').submit()")
        await tab.until(f"location.pathname === '/ui/queues' && {LIVE}")
        await records.end_sessions(key.id)
        await tab.value(CHANGED)


async def test_rows_are_marked_one_by_one_from_one_to_another_and_all_at_once(api: Api, tab: Tab) -> None:
    await api.client.enqueue_many([greet.call(f"{number}") for number in range(5)])
    await tab.open(f"{api.http.base_url}/ui/jobs?queue=email&state=waiting")
    await tab.until("document.documentElement.dataset.script === 'on'")
    event = "new MouseEvent('click', {{shiftKey: {}, bubbles: true}})"
    click = f"document.querySelectorAll('tbody input')[{{}}].dispatchEvent({event})"
    await tab.value(click.format(1, "false"))
    await tab.value(click.format(3, "true"))
    assert await tab.value(MARKED) == [False, True, True, True, False]
    assert await tab.value("document.querySelector('[data-selected]').textContent") == "3 marked"
    every_box = "document.querySelector('[data-select-all]')"
    assert await tab.value(f"{every_box}.indeterminate")
    await tab.value(f"{every_box}.click()")
    assert await tab.value(MARKED) == [True] * 5
    await tab.value(f"{every_box}.click()")
    assert await tab.value(MARKED) == [False] * 5


async def test_what_is_typed_is_no_key(api: Api, tab: Tab) -> None:
    await tab.open(f"{api.http.base_url}/ui/queues")
    await tab.until(LIVE)
    await tab.press("/", "g", "j", ".", "t", "?")
    assert await tab.value("document.querySelector('[type=search]').value") == "gj.t?"
    assert await tab.value("location.pathname") == "/ui/queues"
    assert await tab.value(LIVE)
    assert not await tab.value("document.querySelector('dialog').open")
    await tab.press("Escape", "t")
    assert await tab.value("document.documentElement.dataset.theme") == "light"
    await tab.open(f"{api.http.base_url}/ui/queues")
    assert await tab.value("document.documentElement.dataset.theme") == "light", "the theme stays"
