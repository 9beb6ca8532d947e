"""mypy sees stages that do not fit: checked by running it on snippets that use pipelines as a user's file would."""

import pytest

from tests.typed import Snippets

HEAD = """\
from collections.abc import Sequence

from rota import Client, Run, each, job, pipeline


@job
async def write(run: Run, *, user_id: str) -> list[str]:
    return [user_id]


@job
async def title(run: Run, *, user_id: str) -> str:
    return user_id


@job(timeout=5)
def paint(run: Run, scene: str, style: str = "") -> float:
    return 0.5


@job
async def split(run: Run, scene: str) -> list[str]:
    return [scene]


@job
async def named(run: Run, *, scene: str) -> float:
    return 0.5


@job
async def both(run: Run, scene: str, style: str) -> float:
    return 0.5


@job
async def merge(run: Run, scenes: Sequence[float]) -> dict[str, int]:
    return {}


@job
async def merge_gaps(run: Run, scenes: list[float | None]) -> bytes:
    return b""


@job
async def merge_lists(run: Run, scenes: list[list[float]]) -> bool:
    return True


video = pipeline(write, each(paint), merge)


async def main(client: Client) -> None:
"""

ACCEPTED = {
    "video": "Pipeline[[*, user_id: str], dict[str, int]]",
    "each(paint)": "Pipeline[[Items[str]], list[float]]",
    'await client.enqueue(video, user_id="u1")': "FlowHandle[dict[str, int]]",
    'await (await client.enqueue(video, user_id="u1")).result()': "dict[str, int]",
    'await (await client.enqueue(write, user_id="u1")).result()': "list[str]",
    'await client.enqueue(each(paint), ["a", "b"])': "FlowHandle[list[float]]",
    'await client.enqueue(video.options(id="v"), user_id="u1")': "FlowHandle[dict[str, int]]",
    'video.handle(client, "v")': "FlowHandle[dict[str, int]]",
    'write.handle(client, "v")': "Handle[list[str]]",
    'pipeline(write, each(paint, on_failure="continue"), merge_gaps)': "Pipeline[[*, user_id: str], bytes]",
    "pipeline(write, each(pipeline(split, each(paint))), merge_lists)": "Pipeline[[*, user_id: str], bool]",
    "pipeline(title, split, each(split.options(timeout=3)))": "Pipeline[[*, user_id: str], list[list[str]]]",
    "pipeline(write, pipeline(each(paint), merge))": "Pipeline[[*, user_id: str], dict[str, int]]",
}

REFUSED = {
    "await client.enqueue(video, user_id=1)": 'incompatible type "int"; expected "str"',
    "await client.enqueue(video)": 'Missing named argument "user_id"',
    "await client.enqueue(each(paint), [1])": 'incompatible type "int"; expected "str"|expected "Items\\[str\\]"',
    'await client.enqueue(each(paint), "text")': 'incompatible type "str"; expected "Items',
    "await client.enqueue(len)": "incompatible type",
    "pipeline(write, paint)": "Between1And2|overload|infer",
    "pipeline(write, each(paint), paint)": "Between2And3|overload|infer",
    "pipeline(title, each(paint))": "Between1And2|overload|infer",
    "pipeline(write, each(paint), merge_lists)": "Between2And3|overload|infer",
    'pipeline(write, each(paint, on_failure="continue"), merge)': "Between2And3|overload|infer",
    "each(named)": "incompatible type|overload",
    "each(both)": "incompatible type|overload",
    'each(paint, on_failure="go on")': "overload",
    "pipeline(write, len)": "overload|infer",
}


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> Snippets:
    return Snippets(tmp_path_factory.mktemp("typing"), HEAD, ACCEPTED, REFUSED)


@pytest.mark.parametrize("snippet", ACCEPTED)
def test_stages_that_fit_are_accepted_and_the_whole_has_its_type(snippets: Snippets, snippet: str) -> None:
    snippets.assert_accepted(snippet)


@pytest.mark.parametrize("snippet", REFUSED)
def test_what_does_not_fit_is_refused(snippets: Snippets, snippet: str) -> None:
    snippets.assert_refused(snippet)
