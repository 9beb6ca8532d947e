"""docs/redis-cli.md: its commands are run on jobs in each state, and print what the page shows."""

import re
import time
from dataclasses import replace

from tests.processes import ROOT
from tests.template.consoles import Console, consoles
from tests.template.shop import Shop

PAGE = ROOT / "docs" / "redis-cli.md"


def as_run(console: Console) -> Console:
    """Return a command of the page as the shell and the checkout's own command take it."""
    command = re.sub(r"\$\(date \+%s\)", str(int(time.time())), console.command)
    return replace(console, command=f"rota {command}")


def test_the_commands_print_what_the_page_shows(shop: Shop) -> None:
    shop.work(QUEUES__REPORTS__CONCURRENCY="2")
    shop.rota("pause", "images")
    for name, address in (("ann", "ann@example.com"), ("bob", "bob")):
        shop.enqueue("send", f'{{"to": "{address}"}}', id=f"welcome-{name}")
    shop.enqueue("build", '{"month": "2026-10"}', id="october")
    for number in (1, 2):
        shop.enqueue("bill", '{"customer": "ann"}', id=f"bill-{number}")
    # What is delayed is enqueued last: the jobs before it have started.
    shop.until("reports\t1\t0\t2", "queues")
    shop.until("page 2 of 5", "show", "reports", "october")
    shop.until("reports:october", "jobs", "reports", "--state", "active")
    shop.enqueue("build", '{"month": "2026-12"}', id="december", delay="1h")
    shop.enqueue("build", '{"month": "2026-11"}', id="november")
    shop.until("welcome-bob", "jobs", "email", "--state", "dead")
    shown = [console for part in consoles(PAGE).values() for console in part]
    assert len(shown) > 25
    for console in shown:
        ready = as_run(console)
        ready.check(shop.run(ready))
