"""Sentinels put a replica in the primary's place, twice, amid work: all follow, nothing acknowledged is lost."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
from redis.exceptions import ResponseError

from rota import Client, Handle, JobNotFound, ServerError
from rota.app.connect import client_of
from rota.server import connections
from rota.settings.settings import Settings
from tests.faults.fleet import EVENTS_KEPT, Fleet, records, scaled
from tests.faults.jobs_for_faults.on_loop import work
from tests.sentinels import MASTER, Group
from tests.servers import RedisServer, free_port
from tests.streams import events_in
from tests.waiting import until, wait_until

PASSWORD = "s3cr3t"
#: How long it may take until all works again, once the sentinels have named the new primary, in seconds. It takes one.
PROMISED = 5.0
LEASE = 3


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    folder = tmp_path_factory.mktemp("sentinels")
    with Group(folder, replicas=2, sentinels=3, password=PASSWORD) as group:
        yield group


def url(group: Group) -> str:
    hosts = ",".join(f"{host}:{port}" for host, port in group.addresses)
    return f"redis+sentinel://:{PASSWORD}@{hosts}/{MASTER}"


def client(group: Group, **settings: Any) -> Client:
    own = Settings(events_maxlen=EVENTS_KEPT, **settings)
    return client_of(own, connections.async_client(group.target))


class Load:
    """Enqueues that go on through everything; a client is told which were acknowledged."""

    def __init__(self, client: Client) -> None:
        self._client = client
        #: The ids of the acknowledged, and when each was.
        self.acknowledged: dict[str, float] = {}
        self.refused = 0

    async def run(self) -> None:
        while True:
            try:
                handle = await self._client.enqueue(work, seconds=0.05)
            except ServerError:
                self.refused += 1
            else:
                self.acknowledged[handle.id] = time.monotonic()
            await asyncio.sleep(0.02)

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.run()) for _ in range(4)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_two_failovers_lose_nothing_that_was_acknowledged(group: Group, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, url(group))
    try:
        await failovers(group, fleet)
    finally:
        fleet.close()


async def failovers(group: Group, fleet: Fleet) -> None:
    of_sentinels = {"redis_sentinel_username": "rota", "redis_sentinel_password": PASSWORD}
    page = f"http://127.0.0.1:{(port := free_port())}/metrics"
    exporter = fleet.spawn(**of_sentinels, mode="exporter", metrics_port=port)
    common = {**of_sentinels, "lease": LEASE, "leader_lease": 2, "api_port": 0, "mode": "all"}
    workers = await fleet.start(2, **common)
    (ready,) = workers[0].events("api.ready")
    async with (
        client(group, durability="wait", durability_timeout=0.5) as waiting,
        client(group) as plain,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{ready['port']}", timeout=20) as http,
        told(http) as heard,
    ):
        load = Load(waiting)
        async with load.going_on():
            await until(lambda: len(fleet.ledger.entries("end")) >= scaled(500), "work is done")
            dropped = await lose_the_primary(group, waiting, plain)
            second = await all_follow(group.master, Sight(group, fleet, load), http, page, heard)
        with second.client() as admin:
            await until(lambda: watched(admin), "a worker hears what stock clients enqueue")
        with pytest.raises(JobNotFound):
            # What is not waited for may be lost.
            await dropped.status()
        long = await plain.enqueue(work, seconds=LEASE + 1)
        await until(lambda: long.id in fleet.ledger.times("start"), "a job runs")
        await asyncio.to_thread(ask_for_a_failover, group)
        async with (others := Load(plain)).going_on():
            await all_follow(second, Sight(group, fleet, others), http, page, heard)
        await fleet.all_ended([*load.acknowledged, long.id])
        await until(lambda: completed_once(waiting, load), "each is completed once")
    assert all(process.alive for process in (*workers, exporter))
    assert fleet.ledger.times("start")[long.id] == 1, "its lease is renewed at the new primary"


async def completed_once(client: Client, load: Load) -> bool:
    times = await records(client, "completed")
    assert max(times.values()) == 1
    return times.keys() >= load.acknowledged.keys()


async def lose_the_primary(group: Group, waiting: Client, plain: Client) -> Handle[None]:
    """Kill the primary when it has what no replica has; return a job of which it alone knew."""
    with contextlib.ExitStack() as frozen:
        for replica in group.servers[1:]:
            frozen.enter_context(replica.frozen())
        with group.master.client() as admin:
            admin.execute_command("CLIENT", "KILL", "TYPE", "replica")
        # A delay, so that no worker runs it before the primary is gone.
        dropped = await plain.enqueue(work.options(delay=60), seconds=0)
        with pytest.raises(ServerError, match=r"0 of 1 replicas said so within 0\.5 s"):
            await waiting.enqueue(work, seconds=0)
        group.master.stop(signal.SIGKILL)
    return dropped


def ask_for_a_failover(group: Group) -> None:
    """Have a replica put in the place of a primary that lives on, as a replica that refuses writes."""

    def is_begun() -> bool:
        with group.asked(group.sentinels[0]) as sentinel:
            try:
                sentinel.execute_command("SENTINEL", "FAILOVER", MASTER)
            except ResponseError:
                return False  # the one before is not over
        return True

    wait_until(is_begun, "a failover begins")


@contextlib.asynccontextmanager
async def told(http: httpx2.AsyncClient) -> AsyncIterator[set[str]]:
    """Yield the ids of the jobs of which the API tells a browser, which comes back when its stream has ended."""
    ids: set[str] = set()

    async def listen() -> None:
        async with http.stream("GET", "/events", timeout=60) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data:"):
                    ids.add(json.loads(line.removeprefix("data:")).get("jobId", ""))

    listening = asyncio.create_task(listen())
    try:
        yield ids
        assert not listening.done(), "the stream outlives both failovers"
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def all_follow(
    before: RedisServer, seen: "Sight", http: httpx2.AsyncClient, page: str, heard: set[str]
) -> RedisServer:
    """Wait until another server than `before` is the primary, and everything works with it; return that one."""
    primary: RedisServer = await until(lambda: seen.primary_after(before), "a replica is the primary")
    kinds = {
        "enqueues are acknowledged": seen.acknowledged,
        "every worker runs jobs": lambda: seen.run_by_all(primary),
        "the API answers": lambda: answers(http),
        "the exporter measures": lambda: seen.measured_by(http, page),
        "browsers are told": lambda: seen.acknowledged() & heard,
    }
    for what, works in kinds.items():
        await until(works, what, seen.since + PROMISED - time.monotonic())
    with primary.client() as admin:
        await until(lambda: admin.pttl("rota:leader") > 1000, "a leader renews its term")
    return primary


class Sight:
    """A look at everything that has to find the new primary, to which `load` goes on."""

    def __init__(self, group: Group, fleet: Fleet, load: Load) -> None:
        self._group = group
        self._fleet = fleet
        self._load = load
        self.since = self._at = 0.0

    def primary_after(self, before: RedisServer) -> RedisServer | None:
        found = self._group.primary()
        self.since, self._at = time.monotonic(), time.time()
        return None if found is before else found

    def acknowledged(self) -> set[str]:
        """Return the jobs that were acknowledged since there is a new primary."""
        return {job_id for job_id, at in self._load.acknowledged.items() if at > self.since}

    def run_by_all(self, primary: RedisServer) -> bool:
        """Tell whether each worker has begun such a job, which this primary knows of."""
        with primary.client() as admin:
            known = {event.id for event in events_in(admin.xrange("rota:events")) if event.type == "started"}
        new = known & self.acknowledged()
        pids = {entry.pid for entry in self._fleet.ledger.entries("start") if entry.id in new}
        return pids >= {one.pid for one in self._fleet.workers if one.says("worker.ready")}

    async def measured_by(self, http: httpx2.AsyncClient, page: str) -> bool:
        """Tell whether the exporter has asked the new primary."""
        text = (await http.get(page)).text
        values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        fresh = float(values.get("arq_exporter_last_success_timestamp_seconds", 0)) > self._at
        return fresh and values.get("arq_redis_up") == "1.0"


async def answers(http: httpx2.AsyncClient) -> bool:
    """Tell whether the API takes a job and tells of its end."""
    body = {"payload": {"seconds": 0}}
    answer = await http.post("/jobs/work", json=body, headers={"Prefer": "wait=5"})
    return answer.status_code == 200 and answer.json()["status"] == "COMPLETED"


def watched(admin: redis.Redis) -> bool:
    """Tell whether a client of the server is told of changed keys."""
    clients: Any = admin.client_list()
    return any("t" in one["flags"] for one in clients)
