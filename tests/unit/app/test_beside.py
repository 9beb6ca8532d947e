import os
import socket
from typing import Any

import pytest

from rota.app.beside import heartbeat_of, leaders_services, webhooks_queue
from rota.fleet.roster import roster
from rota.server.place import Server
from rota.server.target import RedisTarget
from rota.services.bulk.runner import EVERY, BulkRunner
from rota.services.figures import Figures
from rota.settings.load import load
from tests.unit.fleet.test_heartbeat import EMAIL, Worker
from tests.workers import Term


@pytest.mark.parametrize(
    ("variables", "queues", "chosen"),
    [
        ({}, ["default", "email"], "default"),
        ({}, ["email", "video"], "email"),
        ({"DEFAULT_QUEUE": "video"}, ["email", "video"], "video"),
        ({"WEBHOOK_QUEUE": "hooks"}, ["email"], "hooks"),
        ({}, [], "default"),
    ],
)
def test_messages_are_put_on_a_queue_that_is_served(
    variables: dict[str, str], queues: list[str], chosen: str
) -> None:
    assert webhooks_queue(load(variables), queues) == chosen


def test_the_queue_of_webhooks_is_served_like_one_that_jobs_declare() -> None:
    settings = load({"WEBHOOK_QUEUE": "hooks"})
    assert settings.served_queues(["email"]) == ("email", "hooks")


async def test_who_waits_for_operations_on_many_jobs_does_not_lose_its_connection_over_it() -> None:
    server = Server(RedisTarget())
    term: Any = Term()
    made = [make(term) for make in leaders_services(load({}), ["default"], server, Figures())]
    (runner,) = (one for one in made if isinstance(one, BulkRunner))
    async with runner._open_redis() as redis:
        assert redis.connection_pool.connection_kwargs["socket_timeout"] > EVERY


async def test_a_process_tells_of_itself_in_its_heartbeats(redis: Any) -> None:
    workers: Any = [Worker(EMAIL.queue, worker_id="w1")]
    beating = heartbeat_of(load({}), redis, "p", workers, draining=lambda: True, lag=lambda: 0.25)
    await beating.beat()
    (process,) = (await roster(redis, ["email"], "rota")).processes
    about = process.latest.about
    assert (about.host, about.pid) == (socket.gethostname()[:64], os.getpid())
    assert about.memory > 2**20
    assert (about.lag, process.latest.worker, process.latest.status) == (0.25, "w1", "draining")
