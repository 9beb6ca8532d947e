"""A pipeline's value: how its arguments become JSON, and JSON its result."""

import pytest

from rota import InvalidPayload, Run, each, job, pipeline


@job
async def write(run: Run, *, user_id: str) -> list[str]:
    return []


@job
async def paint(run: Run, scene: str, style: str = "") -> float:
    return 0.5


@job
async def merge(run: Run, scenes: list[float]) -> str:
    return ""


def test_a_pipeline_takes_what_its_first_stage_takes() -> None:
    assert pipeline(write, each(paint)).bind((), {"user_id": "u1"}) == b'{"user_id":"u1"}'
    with pytest.raises(InvalidPayload, match="user_id: Input should be a valid string"):
        pipeline(write, each(paint)).bind((), {"user_id": 1})


def test_a_pipeline_that_begins_with_each_takes_a_list_and_checks_each_item() -> None:
    assert each(paint).bind((["a", "ä"],), {}) == '["a","ä"]'.encode()
    assert each(each(paint)).bind(([["a"], []],), {}) == b'[["a"],[]]'
    with pytest.raises(InvalidPayload, match="scene: Input should be a valid string"):
        each(paint).bind((["a", 1],), {})
    with pytest.raises(InvalidPayload, match="each needs a list, and str came"):
        each(paint).bind(("abc",), {})
    with pytest.raises(InvalidPayload, match="takes one list"):
        each(paint).bind((), {"scene": ["a"]})


def test_the_result_is_the_last_stage_s_with_none_for_items_that_died() -> None:
    assert pipeline(write, each(paint), merge).parse("x") == "x"
    assert pipeline(write, each(paint)).parse([1, 2.5]) == [1.0, 2.5]
    assert pipeline(write, each(paint, on_failure="continue")).parse([1, None]) == [1.0, None]
    assert each(each(paint)).parse([[1], []]) == [[1.0], []]
