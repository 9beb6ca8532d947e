"""docs/troubleshooting.md: each symptom is really made, and the commands of its heading print what the page shows."""

from collections.abc import Callable

import pytest

from tests.processes import ROOT
from tests.servers import free_port
from tests.template.consoles import consoles
from tests.template.shop import Shop
from tests.waiting import wait_until

PAGE = ROOT / "docs" / "troubleshooting.md"
SHOWN = consoles(PAGE)
REFUNDS = """
from rota import Run, job


@job(queue="email")
async def refund(run: Run, order: int) -> None: ...
"""


def no_worker(shop: Shop) -> None:
    shop.enqueue("send", '{"to": "ann@example.com"}')


def paused(shop: Shop) -> None:
    shop.work()
    shop.rota("pause", "email")
    shop.enqueue("send", '{"to": "ann@example.com"}')


def not_due(shop: Shop) -> None:
    shop.enqueue("send", '{"to": "ann@example.com"}', id="welcome-ann", delay="1h")


def busy(shop: Shop) -> None:
    shop.work(QUEUES__REPORTS__CONCURRENCY="1")
    for month in ("2026-10", "2026-11", "2026-12"):
        shop.enqueue("build", f'{{"month": "{month}"}}')
    shop.until("reports\t2\t0\t1", "queues")
    shop.until("reports\trunning\t1\t1", "workers")


def limited(shop: Shop) -> None:
    shop.work()
    for number in (1, 2):
        shop.enqueue("bill", '{"customer": "ann"}', id=f"october-{number}")
    shop.until("active", "show", "reports", "october-1")


def unknown(shop: Shop) -> None:
    shop.work()
    shop.write("jobs/refunds.py", REFUNDS)
    shop.enqueue("refund", '{"order": 7}', id="refund-7")
    (shop.folder / "jobs" / "refunds.py").unlink()
    shop.logged("job.unknown")


def twice(shop: Shop) -> None:
    first = shop.work(LEASE="1s")
    shop.enqueue("build", '{"month": "2026-10"}', id="october")
    shop.until("active", "show", "reports", "october")
    first.kill()
    shop.work(LEASE="1s")
    shop.logged("job.recovered")
    shop.until("active", "show", "reports", "october")


def long(shop: Shop) -> None:
    shop.work()
    shop.enqueue("build", '{"month": "2026-10"}', id="october")
    shop.until("active", "show", "reports", "october")


def blocked(shop: Shop) -> None:
    shop.work(LOOP_BLOCK_REPORT="0.5s")
    shop.enqueue("convert", '{"path": "a.png"}', id="pictures")
    shop.logged("loop.blocked")
    shop.until("active", "show", "images", "pictures")


def refused(shop: Shop) -> None:
    """Leave all as it is: nothing runs, and nothing is there."""


def memory(shop: Shop) -> None:
    shop.work(WORKER_QUEUES="images")
    shop.enqueue("send", '{"to": "ann@example.com"}')


def lost(shop: Shop) -> None:
    shop.work(LEASE="1s", MAX_LOST="0")
    shop.enqueue("build", '{"month": "2026-10"}', id="october")
    shop.until("active", "show", "reports", "october")
    shop.workers[-1].kill()
    shop.work(LEASE="1s", MAX_LOST="0")
    shop.until("october", "jobs", "reports", "--state", "dead")


def full(shop: Shop) -> None:
    shop.work()
    for _ in range(5):
        shop.enqueue("send", f'{{"to": "{"x" * 200_000}"}}')
    shop.until("5", "queues")
    with shop.server.client() as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 600_000)


def gone(shop: Shop) -> None:
    shop.work(KEEP_RESULT="1s")
    shop.enqueue("send", '{"to": "ann@example.com"}', id="welcome-ann")
    shop.until("sent to ann", "show", "email", "welcome-ann")
    wait_until(lambda: not shop.rota("show", "email", "welcome-ann").out, "its record is gone")


def unreachable(shop: Shop) -> None:
    shop.variables = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}


def died(shop: Shop) -> None:
    shop.work()
    for name in ("ann", "bob"):
        shop.enqueue("send", f'{{"to": "{name}"}}', id=f"welcome-{name}")
    shop.until("welcome-bob", "jobs", "email", "--state", "dead")


def schedule(shop: Shop) -> None:
    shop.work()
    shop.until("tidy", "schedules")
    shop.rota("schedules", "pause", "default:tidy")


MADE: dict[str, Callable[[Shop], None]] = {
    "Troubleshooting": paused,
    "No worker serves its queue": no_worker,
    "The queue is paused": paused,
    "It is not due yet": not_due,
    "All slots are busy": busy,
    "A limit keeps it back": limited,
    "A job is unknown": unknown,
    "A job ran twice": twice,
    "A job runs for too long": long,
    "Everything is slow": blocked,
    "A worker ends as soon as it starts": refused,
    "A worker ends, and starts again": lost,
    "The memory of a worker grows": memory,
    "Redis is full": full,
    "A result is gone": gone,
    "Nothing can connect": unreachable,
    "Dead letters": died,
    "A schedule did not run": schedule,
    "An enqueue is refused": refused,
}


def test_every_symptom_with_commands_is_made() -> None:
    assert MADE.keys() == SHOWN.keys()


@pytest.mark.parametrize("symptom", MADE)
def test_the_commands_print_what_the_page_shows(shop: Shop, symptom: str) -> None:
    MADE[symptom](shop)
    for console in SHOWN[symptom]:
        console.check(shop.run(console))
