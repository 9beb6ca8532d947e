"""Making pipelines: their names, their stages, and what they refuse."""

from typing import Any

import pytest

from rota import Run, each, job, pipeline
from rota.model.flows.stages import Each

#: To write what a type checker refuses.
join: Any = pipeline
over: Any = each


@job
async def write(run: Run, *, user_id: str) -> list[str]:
    return []


@job
async def paint(run: Run, scene: str, style: str = "") -> float:
    return 0.5


@job
async def merge(run: Run, scenes: list[float]) -> str:
    return ""


@job
async def named(run: Run, *, scene: str) -> None: ...


@job
async def both(run: Run, scene: str, style: str) -> None: ...


@job
async def nothing(run: Run) -> None: ...


def test_a_pipeline_has_the_names_of_its_stages_or_the_given_one() -> None:
    assert pipeline(write, each(paint), merge).name == "write-paint-merge"
    assert pipeline(write, each(paint), name="video").name == "video"
    with pytest.raises(ValueError, match="pipeline name 'My video' is not allowed"):
        pipeline(write, name="My video")


def test_a_pipeline_in_a_pipeline_gives_its_stages() -> None:
    whole = pipeline(write, pipeline(each(paint), merge))
    assert [getattr(stage, "name", "each") for stage in whole.stages] == ["write", "each", "merge"]
    assert isinstance(whole.stages[1], Each)


def test_more_stages_than_eight_are_pipelines_of_pipelines() -> None:
    @job
    async def add(run: Run, number: int) -> int:
        return number + 1

    eight = pipeline(add, add, add, add, add, add, add, add)
    assert len(pipeline(eight, eight).stages) == 16


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (join, "at least one stage"),
        (lambda: join(write, len), "stage 2 of a pipeline is builtin_function_or_method"),
        (lambda: join(write, named), "stage 2 of a pipeline, named, takes no argument by position"),
        (lambda: join(write, nothing), "stage 2 of a pipeline, nothing, takes no argument by position"),
        (lambda: join(write, over(paint), both), "stage 3 of a pipeline, both, needs style too"),
        (lambda: over(both), "each, both, needs style too"),
        (lambda: over("paint"), "each is str"),
        (lambda: join(write, join(both, merge)), "stage 2 of a pipeline, both, needs style too"),
        (lambda: join(write, paint.options(id="x")), "has an id; ids of stages are the pipeline's"),
        (lambda: join(write).options(timeout=3), "there is no option of a pipeline 'timeout'"),
    ],
)
def test_what_cannot_be_a_stage_is_refused_when_the_module_is_imported(make: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        make()


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="on_failure is 'go on'; choose one of: stop, continue"):
        over(paint, on_failure="go on")
    with pytest.raises(ValueError, match="for a pipeline choose one of: refuse, existing"):
        join(write).options(on_taken="replace")
