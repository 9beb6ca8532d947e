"""Pipelines: jobs in a row, in which each gets what the one before it returned, over lists and back again."""

import asyncio
from typing import Any

import pytest

from rota import (
    Cancel,
    Client,
    FlowHandle,
    InvalidPayload,
    JobCancelled,
    JobFailed,
    Run,
    State,
    each,
    job,
    none,
    pipeline,
)
from tests.waiting import until, until_empty


@job
async def write_script(run: Run, *, user_id: str, scenes: int = 3) -> list[str]:
    return [f"{user_id}-{number}" for number in range(scenes)]


@job(max_attempts=2, backoff=none())
async def paint_scene(run: Run, scene: str) -> str:
    if scene.startswith("cursed") and scene.endswith("1"):
        raise ValueError("the paint has dried")
    return scene.upper()


@job
async def merge(run: Run, pictures: list[str]) -> str:
    return "+".join(pictures)


@job
async def merge_what_is_there(run: Run, pictures: list[str | None]) -> str:
    return "+".join(picture or "?" for picture in pictures)


@job
async def add_sound(run: Run, picture: str) -> str:
    return f"{picture}♪"


@job
async def be_slow(run: Run, scene: str) -> str:
    await asyncio.sleep(60)
    return scene


@job
async def ask_first(run: Run, *, user_id: str) -> list[str]:
    raise Cancel("the user is gone")


make_video = pipeline(write_script, each(paint_scene), merge)


async def test_each_stage_gets_what_the_one_before_it_returned(client: Client) -> None:
    handle = await client.enqueue(make_video, user_id="ann")
    assert await handle.result(timeout=20) == "ANN-0+ANN-1+ANN-2"


async def test_its_arguments_are_those_of_its_first_stage_and_are_checked(client: Client) -> None:
    with pytest.raises(InvalidPayload):
        await client.enqueue(make_video, user_id=3)  # type: ignore[arg-type]


async def test_a_list_without_items_goes_straight_on(client: Client) -> None:
    handle = await client.enqueue(make_video, user_id="ann", scenes=0)
    assert await handle.result(timeout=20) == ""


async def test_it_says_how_far_the_whole_is(client: Client) -> None:
    handle = await client.enqueue(make_video, user_id="ann", scenes=4)
    await handle.result(timeout=20)
    info = await handle.status()
    assert (info.state, info.percent, info.name) == (State.COMPLETED, 100, "write_script-paint_scene-merge")
    assert [(stage.name, stage.completed, stage.total) for stage in info.stages] == [
        ("write_script", 1, 1),
        ("paint_scene", 4, 4),
        ("merge", 1, 1),
    ]


async def test_a_pipeline_may_be_run_for_each_item(client: Client) -> None:
    with_sound = pipeline(paint_scene, add_sound)
    handle = await client.enqueue(pipeline(write_script, each(with_sound), merge), user_id="bob")
    assert await handle.result(timeout=20) == "BOB-0♪+BOB-1♪+BOB-2♪"


async def test_an_item_that_dies_ends_the_whole_with_its_error(client: Client) -> None:
    handle = await client.enqueue(make_video, user_id="cursed")
    with pytest.raises(JobFailed, match="the paint has dried"):
        await handle.result(timeout=20)
    assert (await handle.status()).state is State.DEAD


async def test_or_leaves_a_gap(client: Client) -> None:
    patient = pipeline(write_script, each(paint_scene, on_failure="continue"), merge_what_is_there)
    handle = await client.enqueue(patient, user_id="cursed")
    assert await handle.result(timeout=20) == "CURSED-0+?+CURSED-2"


async def test_a_stage_may_call_it_off(client: Client) -> None:
    handle = await client.enqueue(pipeline(ask_first, each(paint_scene), merge), user_id="ann")
    with pytest.raises(JobCancelled, match="the user is gone"):
        await handle.result(timeout=20)


async def has_begun(handle: FlowHandle[Any], stage: int) -> bool:
    return (await handle.status()).stages[stage].total is not None


async def test_it_is_cancelled_as_a_whole(client: Client) -> None:
    handle = await client.enqueue(pipeline(write_script, each(be_slow)), user_id="ann", scenes=30)
    await until(lambda: has_begun(handle, stage=1))
    assert await handle.cancel() == "cancelled"
    with pytest.raises(JobCancelled):
        await handle.result(timeout=20)
    await until_empty(client)
    assert await handle.cancel() == "finished"


async def test_an_id_is_held_by_one_run_at_a_time(client: Client) -> None:
    asked = make_video.options(id="ann's video", on_taken="existing", delay=1)
    first = await client.enqueue(asked, user_id="ann")
    second = await client.enqueue(asked, user_id="ann")
    assert (first.created, second.created, second.id) == (True, False, first.id)
    assert await make_video.handle(client, "ann's video").result(timeout=20) == "ANN-0+ANN-1+ANN-2"
