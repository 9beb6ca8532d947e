"""`make deploy` on a host with jobs under way: nothing lost or run twice, and a broken release changes nothing."""

import contextlib
import fcntl
import os
import re
import secrets
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.container.checkout import copy_checkout, with_a_job
from tests.container.engine import Engine
from tests.container.stack import Event, Stack, wait_until

WORKERS, SLOTS = 3, 4
#: A job that a worker still runs when it is told to stop, seconds.
LONG = 12.0
#: The longest that no job may start while jobs wait, seconds.
GAP = 2.0
FILE = "docker-compose.prod.worker.yml"
DOES_NOT_OPEN = """
@asynccontextmanager
async def lifespan() -> AsyncIterator[Dependencies]:
    raise RuntimeError("the shop's database is not there")
    yield Dependencies()
"""


@dataclass(frozen=True)
class Site:
    """A checkout on a host, with a history of its own, and the stack that is deployed from it."""

    stack: Stack

    @property
    def folder(self) -> Path:
        return self.stack.folder

    def commit(self, file: str, text: str) -> str:
        """Commit a file of the team's, as the next release; return the tag that its image gets."""
        (self.folder / file).write_text(text)
        who = [f"--config-env=user.{what}=NOBODY" for what in ("name", "email")]
        self._git("add", "--all")
        self._git(*who, "commit", "--quiet", "--message", f"change {file}")
        return self._git("rev-parse", "--short=12", "HEAD")

    def _git(self, *words: str) -> str:
        ran = subprocess.run(
            ["git", *words],
            cwd=self.folder,
            env=os.environ | {"NOBODY": "nobody@example.com"},
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout.strip()

    def deploying(self, *words: str) -> subprocess.Popen[str]:
        """Begin `make deploy`, as an operator calls it."""
        return subprocess.Popen(
            ["make", "--no-print-directory", "deploy", *words],
            cwd=self.folder,
            env={**self.stack.engine.environment, "COMPOSE_PROJECT_NAME": self.stack.name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def deploy(self, *words: str, fails: bool = False) -> str:
        """Run `make deploy` to its end, and return what it said."""
        said, _ = (process := self.deploying(*words)).communicate(timeout=600)
        assert bool(process.returncode) is fails, said
        return said

    def settings(self) -> str:
        return (self.folder / ".env").read_text()

    def running(self) -> dict[str, set[str]]:
        """Return the containers of each service that a release changes, also those that do not run."""
        return {name: set(self.stack.ids(name, stopped=True)) for name in ("worker", "api", "exporter")}

    def tags(self) -> list[str]:
        """Return the tag of the image of each worker."""
        return [self.stack.inspect(one)["Config"]["Image"].split(":")[1] for one in self.stack.ids("worker")]


@pytest.fixture(scope="module")
def site(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a checkout that nobody but its owner may read, as a umask of 077 leaves it, with a first release."""
    folder = with_a_job(copy_checkout(tmp_path_factory.mktemp("site")))
    (folder / ".env").write_text(f"WORKERS={WORKERS}\nQUEUE_CONCURRENCY={SLOTS}\nLEASE=5\n")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode & 0o700)
    # Root of a container without capabilities is refused only what is another's.
    for path in (folder / "deploy").rglob("*"):
        with contextlib.suppress(PermissionError):
            os.chown(path, 12345, 12345)
    stack = Stack(engine, folder, f"rota-test-{secrets.token_hex(4)}")
    try:
        yield Site(stack)
    finally:
        stack.remove()
        for built in engine.ran("images", "--quiet", f"{stack.name}-worker").stdout.split():
            engine.ran("rmi", "--force", built)


@pytest.fixture(scope="module")
def first(site: Site) -> str:
    """Deploy the first release of a site; its tag."""
    tag = site.commit("src/jobs/release.py", '"""The first release."""\n')
    site.deploy()
    return tag


@contextlib.contextmanager
def busy(stack: Stack) -> Iterator[set[str]]:
    """Keep jobs waiting while a block lasts, some of which take long; the ids of all."""
    ids: set[str] = set()
    # What enqueues is in a container of its own, which no deploy replaces.
    sleeps = ("python", "-c", "import time; time.sleep(3600)")
    client = stack.compose("run", "--detach", "--no-deps", "worker", *sleeps)
    ended = threading.Event()

    def enqueue(count: int, seconds: float) -> None:
        ids.update(stack.probe("enqueue", str(count), str(seconds), container=client).split())

    def feed() -> None:
        while not ended.is_set():
            if int(stack.redis_cli("zcard", "arq:queue:default")) < 150:
                enqueue(200, 0.2)

    enqueue(WORKERS * 2, LONG)
    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield ids
    finally:
        ended.set()
        feeder.join()
        stack.engine.docker("rm", "--force", client)


def longest_pause(events: list[Event]) -> float:
    """Return the longest time for which jobs waited and none started, in seconds."""
    longest, waiting, since = 0.0, 0, 0.0
    for event in events:
        if event.type not in ("enqueued", "started"):
            continue
        if waiting and event.type == "started":
            longest = max(longest, event.at - since)
        if event.type == "started" or not waiting:
            since = event.at
        waiting += 1 if event.type == "enqueued" else -1
    return longest


def test_the_first_deploy_brings_up_all_of_it_from_a_checkout_that_only_its_owner_may_read(
    site: Site, first: str
) -> None:
    stack = site.stack
    assert {stack.health(one) for one in stack.ids("worker")} == {"healthy"}
    assert site.tags() == [first] * WORKERS
    labels = stack.inspect(stack.ids("worker")[0])["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == first
    assert labels["org.opencontainers.image.revision"].startswith(first)
    assert f"TAG={first}\n" in site.settings()
    # `up`, as after a change of WORKERS, finds them as it would have made them.
    before = site.running()
    stack.compose("up", "--detach")
    assert site.running() == before


def test_a_deploy_under_load_loses_no_job_runs_none_twice_and_is_no_pause(
    site: Site, first: str, facts: list[str]
) -> None:
    stack, before = site.stack, site.running()
    tag = site.commit("src/jobs/release.py", '"""The second release."""\n')
    with busy(stack) as ids:
        said = site.deploy()
    stack.finish(ids)
    assert site.tags() == [tag] * WORKERS
    assert all(before[name].isdisjoint(now) for name, now in site.running().items())
    assert f"the way back: make deploy TAG={first}" in said
    events = stack.events(ids)
    # An attempt that ends in any other way than by its job's completion is told by an event of another type.
    assert {event.type for event in events} <= {"enqueued", "started", "progress", "completed"}
    assert stack.counted(ids, "completed") == dict.fromkeys(ids, 1)
    old = {one[:12] for one in before["worker"]}
    # What an old worker had claimed when it was told to stop goes back before it runs, and another one starts it.
    starts = {event.id: event for event in events if event.type == "started"}
    assert starts.keys() == ids
    unrun = [event for event in events if event.type == "started" and event is not starts[event.id]]
    assert {event.container for event in unrun} <= old
    assert len(unrun) <= WORKERS * SLOTS
    gap = longest_pause(events)
    facts.append(f"a deploy under load: {len(ids)} jobs, at most {gap:.2f} s without a start of one")
    assert gap < GAP
    # Each of the old workers and of the new ones had its part.
    by = {event.container for event in starts.values()}
    assert by >= old
    assert by >= {one[:12] for one in stack.ids("worker")}


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("src/jobs/broken.py", "import nonsense\n", "No module named 'nonsense'"),
        ("src/jobs/lifespan.py", DOES_NOT_OPEN, "the shop's database is not there"),
    ],
    ids=["an import that fails", "workers that do not start"],
)
def test_a_broken_release_changes_nothing_and_says_why(
    site: Site, first: str, file: str, text: str, why: str
) -> None:
    before, settings = site.running(), site.settings()
    started = {one: site.stack.state(one)["StartedAt"] for one in before["worker"]}
    whole = (site.folder / file).read_text() if (site.folder / file).exists() else None
    site.commit(file, (whole or "") + text)
    said = site.deploy(fails=True)
    (site.folder / file).unlink() if whole is None else (site.folder / file).write_text(whole)
    assert why in said
    assert site.running() == before
    assert {one: site.stack.state(one)["StartedAt"] for one in before["worker"]} == started
    assert site.settings() == settings


def test_a_wrong_setting_changes_nothing_and_is_named(site: Site, first: str) -> None:
    before, settings = site.running(), site.settings()
    (site.folder / ".env").write_text(f"{settings}JOB_TIMEOUT=soon\n")
    said = site.deploy(fails=True)
    (site.folder / ".env").write_text(settings)
    assert "JOB_TIMEOUT is 'soon'" in said
    assert site.running() == before


def test_two_do_not_deploy_at_once(site: Site, first: str) -> None:
    with (site.folder / FILE).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        said = site.deploy(fails=True)
    assert "another deploy is under way" in said


def test_a_deploy_that_was_killed_half_way_is_made_good_by_the_next_which_may_be_the_way_back(
    site: Site, first: str
) -> None:
    before = site.running()["worker"]
    site.commit("src/jobs/release.py", '"""The third release."""\n')
    process = site.deploying()
    wait_until(lambda: site.running()["worker"] > before, "there are new workers", seconds=300)
    os.killpg(process.pid, 9)
    process.communicate()
    assert site.running()["worker"] > before
    said = site.deploy(f"TAG={first}")
    assert "build" not in said
    assert site.tags() == [first] * WORKERS
    assert re.search(rf"^TAG={first}$", site.settings(), re.MULTILINE)
