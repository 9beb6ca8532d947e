"""A leader that is killed amid an action on many jobs: the next one goes on, and each job was brought back once."""

from rota import Client, State
from rota.model.bulk.filters import BulkAction, Filter
from rota.wire.leader import leader_of
from tests.faults.fleet import Fleet, records
from tests.integration.bulk.operating import ANN, bury
from tests.waiting import until

LETTERS = 2000


async def leading(client: Client) -> int:
    """Return the process id of the worker that leads, which is in its name; 0 where none does."""
    leader = await leader_of(client.redis, "rota")
    return int(leader.worker.split("-")[-2]) if leader else 0


async def test_a_leader_is_killed_amid_a_retry_of_many(fleet: Fleet, client: Client) -> None:
    workers = {worker.pid: worker for worker in await fleet.start(2, leader_lease="1s")}
    await bury(client, [f"mail:{number}" for number in range(LETTERS)])
    first = await until(lambda: leading(client), "one of them leads")
    operation = await client.bulk.start(BulkAction.RETRY, Filter.of({"queue": "mail"}), ANN, expect=LETTERS)

    async def is_under_way() -> bool:
        return (await client.bulk.look(operation.id)).done >= 400

    await until(is_under_way, "some are brought back")
    workers[first].kill()
    left = (await client.counts("mail"))[State.DEAD]
    assert 0 < left < LETTERS, "the leader was killed amid its work"

    over = await client.bulk.follow(operation.id, lambda _: None, every=0.05)

    assert await leading(client) in workers.keys() - {first}
    assert (over.state, over.done, over.skipped, over.failed) == ("done", LETTERS, 0, 0)
    counts = await client.counts("mail")
    assert (counts[State.WAITING], counts[State.DEAD]) == (LETTERS, 0)
    brought_back = await records(client, "enqueued")
    assert (len(brought_back), set(brought_back.values())) == (LETTERS, {1})
    assert [one.count for one in await client.actions.page()] == [LETTERS]
