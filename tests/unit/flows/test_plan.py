"""The plan of a flow, as the scripts read it, and the place that a job's id names."""

from collections.abc import Sequence

from pydantic_core import from_json

from rota import Run, at_most, each, job, per_second, pipeline, unique
from rota.flows.plan import Place, Planner, Recipe, stages_of
from rota.settings.settings import Settings


@job
async def write(run: Run, *, user_id: str) -> list[str]:
    return []


@job
async def title(run: Run) -> str:
    return ""


@job
async def more(run: Run, scenes: list[str]) -> list[str]:
    return scenes


@job
async def sound(run: Run, picture: str) -> str:
    return picture


@job(queue="video", limit=per_second(10), unique=unique(key="scene"))
async def paint(run: Run, scene: str) -> str:
    return ""


@job(concurrency=at_most(1, key="scenes"), priority=3)
async def merge(run: Run, scenes: Sequence[str | None]) -> str:
    return ""


PLANNER = Planner(Settings(), 1_000)


def test_a_job_s_id_says_which_flow_stage_and_item_it_is_of() -> None:
    assert Place.of("abc.1.17") == Place("abc", 1, "17")
    assert Place.of("abc.1.17.0.each") == Place("abc.1.17", 0, "each")
    for foreign in ("abc", "video:abc", "a.b", "a.b.c", ".1.2", ""):
        assert Place.of(foreign) is None


def test_a_plan_has_all_that_the_scripts_need_to_start_a_stage() -> None:
    plan = PLANNER.plan(pipeline(write, each(paint, on_failure="continue"), merge), b'{"user_id":"u1"}')
    assert plan["n"] == 3
    assert [plan[f"{stage}:kind"] for stage in range(3)] == ["job", "each", "job"]
    assert [plan[f"{stage}:queue"] for stage in range(3)] == ["default", "video", "default"]
    assert (plan["1:task"], plan["1:argument"], plan["1:on_failure"]) == ("paint", "scene", "continue")
    assert from_json(plan["0:payload"])["k"] == {"user_id": "u1"}
    assert from_json(plan["2:payload"])["o"] == {"flow": True}


def test_limits_that_are_counted_by_an_argument_wait_until_it_is_known() -> None:
    plan = PLANNER.plan(pipeline(write, each(paint), merge), b'{"user_id":"u1"}')
    assert plan["1:terms"].startswith("r=rota:limit:video:paint|*|")
    assert plan["2:terms"] == "p=3"


def test_a_job_of_a_flow_is_unique_by_its_id_and_not_by_its_key() -> None:
    plan = PLANNER.plan(pipeline(title, paint), b"{}")
    assert "u=" not in plan["1:terms"]


def test_an_enqueue_s_delay_is_the_first_stage_s_and_a_stage_s_own_is_its_own() -> None:
    later = pipeline(write, more.options(delay=2), each(paint.options(delay=3))).options(delay=1)
    plan = PLANNER.plan(later, b"{}")
    assert (plan["0:wait"], plan["1:wait"], plan["2:delay"]) == (1000, 2000, 3000)


def test_what_runs_for_each_item_has_a_plan_inside_the_plan() -> None:
    nested = pipeline(write, each(pipeline(paint, sound)))
    plan = PLANNER.plan(nested, b"{}")
    assert (plan["1:kind"], plan["1:queue"], plan["1.n"], plan["1.0:task"], plan["1.1:task"]) == (
        *("nested", "video", 2),
        *("paint", "sound"),
    )
    assert stages_of(nested) == [("write", False), ("paint-sound", True)]


def test_a_recipe_puts_an_item_in_the_place_of_the_argument() -> None:
    raw = Recipe("paint", "scene", {"timeout": 3}).payload(b'"a"', now_ms=5)
    assert from_json(raw) == {
        **{"v": 1, "f": "paint", "t": None, "a": [], "k": {"scene": "a"}},
        **{"et": 5, "o": {"timeout": 3}},
    }
