"""The dashboard as its users need it: what is late and why, what hundreds died of, and what runs by the clock."""

import pytest

from rota.model.state import State
from tests.browser.chromium import CHROMIUM, MISSING, Tab
from tests.browser.shop.mails import welcome
from tests.browser.shop.payments import charge
from tests.browser.shop.pictures import thumbnail
from tests.browser.visits import Shop, click, fill, says
from tests.waiting import until
from tests.workers import serving

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)


async def test_why_a_queue_is_late(shop: Shop, tab: Tab) -> None:
    await shop.client.enqueue_many([thumbnail.call(f"p-{number}") for number in range(400)])
    await tab.open(f"{shop.url}/")
    # The page says so by itself, once the first of them has waited for longer than its objective.
    await says(tab, "late (objective 1 s): 2 of 2 slots busy")
    assert "more worker" in await tab.value("document.querySelector('main').innerText")
    await click(tab, "images", within="main")
    await says(tab, "late (objective 1 s): 2 of 2 slots busy")
    assert await tab.value("location.pathname") == "/ui/queues/images"
    # What helps is more slots, here by another process.
    async with serving(shop.redis_url, thumbnail, QUEUES__IMAGES__CONCURRENCY="300"):
        await until_idle(shop, "images")
    await tab.open(f"{shop.url}/")
    await says(tab, "On time")


async def test_what_400_died_of_is_repaired_for_one_and_then_for_all(shop: Shop, tab: Tab) -> None:
    shop.away.touch()
    calls = [charge.call(customer=f"c-{number}", cents=500) for number in range(400)]
    calls.append(charge.options(id="wrong").call(customer="c-400", cents=-5))
    await shop.client.enqueue_many(calls)

    async def are_dead() -> bool:
        return (await shop.client.counts("billing"))[State.DEAD] == len(calls)

    await until(are_dead, "all have died", 60)
    await tab.open(f"{shop.url}/")
    await says(tab, "401 jobs died")
    await click(tab, "401 jobs died")
    await says(tab, "connection to bank.example:# refused")
    await says(tab, "an amount of # cents cannot be charged")
    # The one with the wrong amount is fixed and brought back.
    await tab.open(f"{shop.url}/job?queue=billing&id=wrong")
    await click(tab, "Fix and retry")
    await fill(tab, "payload", '{"customer": "c-400", "cents": 5}')
    shop.away.unlink()
    await click(tab, "Retry with this payload")
    await says(tab, "completed")
    # The others were all right, and are brought back together.
    await tab.open(f"{shop.url}/failures")
    await click(tab, "Retry 400")
    await says(tab, "Retry: 400 jobs")
    await fill(tab, "typed", "400")
    await click(tab, "Retry 400 jobs")
    await says(tab, "400 of 400 jobs")
    await until(lambda: none_dead(shop), "none is dead", 30)
    await tab.open(f"{shop.url}/failures")
    await says(tab, "died")
    assert "bank.example" not in await tab.value("document.body.innerText")


async def none_dead(shop: Shop) -> bool:
    return (await shop.client.counts("billing"))[State.DEAD] == 0


async def until_idle(shop: Shop, queue: str) -> None:
    async def is_idle() -> bool:
        counts = await shop.client.counts(queue)
        return not counts[State.WAITING] and not counts[State.ACTIVE]

    await until(is_idle, f"{queue} is idle", 60)


async def test_a_schedule_is_run_now(shop: Shop, tab: Tab) -> None:
    async def is_planned() -> bool:
        return any(one.name == "digest" and one.next for one in await shop.client.schedules())

    await until(is_planned, "the leader has planned it", 30)
    await tab.open(f"{shop.url}/schedules")
    await click(tab, "Run now", within="tbody tr")
    await click(tab, "Run digest now", within="tbody tr")
    await says(tab, "digest is put on the queue")
    await tab.open(f"{shop.url}/jobs?status=COMPLETED")
    await says(tab, "email:digest")


async def test_a_queue_is_paused_by_keys_alone_and_what_waits_there_is_purged(shop: Shop, tab: Tab) -> None:
    await tab.open(f"{shop.url}/queues?sort=name")
    # The second of billing, email, images.
    await tab.press("j", "j", "x", "p", *"moving", "Enter")
    await says(tab, "Paused: email")
    await says(tab, "moving")
    await shop.client.enqueue_many([welcome.call(to=f"c-{number}") for number in range(30)])
    await tab.open(f"{shop.url}/queues/email")
    await says(tab, "Nothing starts, what runs goes on")
    await click(tab, "Purge")
    await tab.value("document.querySelector('input[value=waiting]').click()")
    await fill(tab, "typed", "mail")
    await click(tab, "Purge email", within="form.lines")
    await says(tab, "Type email to go on: its jobs cannot be brought back")
    await fill(tab, "typed", "email")
    await click(tab, "Purge email", within="form.lines")
    # The leader does it.
    await says(tab, "30 of 30 jobs")
    assert (await shop.client.counts("email"))[State.WAITING] == 0
    await tab.open(f"{shop.url}/queues/email")
    await click(tab, "Resume", within="main")
    await says(tab, "email is resumed")
    assert await tab.value("window.forbidden") == []
