"""Ids: one that you choose makes a job unique while it lives, so that enqueuing twice does not run twice."""

import pytest

from rota import Client, JobExists, Run, State, job


@job(queue="mail")
async def welcome(run: Run, user: str) -> str:
    return f"{run.id} for {user}"


async def test_ids_that_are_made_up_sort_by_time(client: Client) -> None:
    handles = await client.enqueue_many(welcome.call(user) for user in "abc")
    ids = [handle.id for handle in handles]
    assert ids == sorted(ids)


async def test_an_id_of_your_own_carries_its_queue(client: Client) -> None:
    handle = await client.enqueue(welcome.options(id="welcome-ann"), user="ann")
    assert handle.id == "mail:welcome-ann"
    assert await handle.result(timeout=10) == "mail:welcome-ann for ann"


async def test_an_id_that_is_taken_is_refused(client: Client) -> None:
    later = welcome.options(id="welcome-ann", delay=3600)
    await client.enqueue(later, user="ann")
    with pytest.raises(JobExists, match="welcome-ann"):
        await client.enqueue(later, user="ann")


async def test_or_gives_the_job_that_has_it(client: Client) -> None:
    later = welcome.options(id="welcome-ann", delay=3600, on_taken="existing")
    first = await client.enqueue(later, user="ann")
    second = await client.enqueue(later, user="ann")
    assert (first.created, second.created) == (True, False)
    assert first.id == second.id
    assert len(await client.jobs("mail", State.DELAYED)) == 1


async def test_a_handle_is_made_again_from_what_was_written_down(client: Client) -> None:
    handle = await client.enqueue(welcome.options(id="welcome-ann"), user="ann")
    await handle.result(timeout=10)
    again = client.handle("mail", handle.id, welcome)
    assert await again.result(timeout=10) == "mail:welcome-ann for ann"
