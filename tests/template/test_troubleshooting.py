"""docs/troubleshooting.md: each symptom is really made, and the commands of its heading print what the page shows."""

import itertools
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.project import Project, Ran
from tests.processes import ROOT, Worker
from tests.servers import RedisServer, free_port
from tests.template.consoles import Console, consoles
from tests.waiting import wait_until

PAGE = ROOT / "docs" / "troubleshooting.md"
SHOWN = consoles(PAGE)
JOBS = '''
"""The jobs of a shop."""

import asyncio
import time

from rota import Run, at_most, every, job


@job(queue="email", max_attempts=1)
async def send(run: Run, to: str) -> str:
    if "@" not in to:
        raise ValueError(f"{to!r} is not an address")
    return f"sent to {to}"


@job(queue="reports", timeout=7200)
async def build(run: Run, month: str) -> str:
    await asyncio.sleep(3600)
    return month


@job(queue="reports", concurrency=at_most(1, key="customer"))
async def bill(run: Run, customer: str) -> None:
    await asyncio.sleep(3600)


@job(queue="images")
async def convert(run: Run, path: str) -> None:
    time.sleep(20)


@every("0 4 * * *")
@job
async def tidy(run: Run) -> None: ...
'''


REFUNDS = """
from rota import Run, job


@job(queue="email")
async def refund(run: Run, order: int) -> None: ...
"""


class Shop(Project):
    """A project whose workers run beside the commands of the page."""

    def __init__(self, folder: Path, captured: pytest.CaptureFixture[str], server: RedisServer) -> None:
        super().__init__(folder, captured, server.url)
        self.server = server
        self.write("jobs/__init__.py", JOBS)
        self.workers: list[Worker] = []
        #: Variables of the commands.
        self.variables: dict[str, str] = {}

    def run(self, console: Console) -> Ran:
        """Run a command of the page, behind the variables that it sets; `rota tail` until it has said what is shown."""
        words = console.words()
        variables = dict(itertools.takewhile(lambda pair: pair[1:], (word.split("=", 1) for word in words)))
        words = words[len(variables) :]
        variables |= self.variables
        if words[:2] == ["rota", "tail"]:
            return self._followed(words[1:], len(console.shown))
        if words == ["rota", "worker"]:
            return self._worked(variables)
        if words[0] == "rota":
            return self.rota(*words[1:], **variables)
        ran = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def _worked(self, variables: dict[str, str]) -> Ran:
        """Run a worker until it ends by itself."""
        given = {"METRICS_PORT": "off", "NO_COLOR": "1", **variables}
        process = self.process("worker", **given)
        out, err = process.communicate(timeout=60)
        return Ran(process.returncode, out, err)

    def _followed(self, words: list[str], lines: int) -> Ran:
        process = self.process(*words)
        assert process.stdout is not None
        out = "".join(process.stdout.readline() for _ in range(lines))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        return Ran(0, out, "")

    def work(self, **variables: str) -> Worker:
        """Start a worker, and wait until it works."""
        given = {"METRICS_PORT": "off", "NO_COLOR": "1", **variables}
        # The page looks into the log of the last one.
        worker = Worker(self.folder / "workers.log", self.environment(**given))
        self.workers.append(worker)
        self.logged("worker.ready")
        return worker

    def logged(self, event: str) -> None:
        """Wait until the last worker has logged an event."""
        log = self.folder / "workers.log"
        wait_until(lambda: f" {event} " in log.read_text("utf-8"), f"{event} is logged")

    def enqueue(self, job: str, payload: str, **options: str) -> None:
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        ran = self.rota("enqueue", job, payload, *words)
        assert ran.status == 0, ran.err

    def until(self, text: str, *words: str) -> None:
        """Wait until the output of a command has a text."""
        wait_until(lambda: text in self.rota(*words).out, f"rota {' '.join(words)} says {text}")


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
        shop.enqueue("send", f'{{"to": "{"x" * 100_000}"}}')
    shop.until("5", "queues")
    with shop.server.client() as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 100_000)


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


@pytest.fixture
def shop(tmp_path: Path, capfd: pytest.CaptureFixture[str], server: RedisServer) -> Iterator[Shop]:
    found = Shop(tmp_path, capfd, server)
    yield found
    for worker in found.workers:
        worker.close()
    with server.client() as client:
        client.config_set("maxmemory", 0)


def test_every_symptom_with_commands_is_made() -> None:
    assert MADE.keys() == SHOWN.keys()


@pytest.mark.parametrize("symptom", MADE)
def test_the_commands_print_what_the_page_shows(shop: Shop, symptom: str) -> None:
    MADE[symptom](shop)
    for console in SHOWN[symptom]:
        console.check(shop.run(console))
