"""What a type checker says of enqueueing: each snippet is checked by mypy as a line of a user's file would be."""

import re

import pytest

from tests.typed import Snippets, said

JOBS = Snippets(
    head="""\
from typing import Generic, TypeVar

from rota.model.job import Job, P, R, job
from rota.model.run import Run

T = TypeVar("T")


class Handle(Generic[T]):
    async def result(self) -> T:
        raise NotImplementedError


class Client:
    async def enqueue(self, job: Job[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        raise NotImplementedError


client = Client()


@job
async def write(run: Run, *, user_id: str) -> list[str]:
    return [user_id]


@job(queue="video", timeout=300)
async def paint(run: Run, scene: int, style: str = "") -> float:
    return 0.5


@job
def hash_file(run: Run, path: str) -> bytes:
    return b""


@job(process=True)
def crunch(run: Run) -> None: ...


async def main() -> None:
""",
    accepted={
        'await client.enqueue(write, user_id="u1")': "Handle[list[str]]",
        'await client.enqueue(paint, 3, style="oil")': "Handle[float]",
        "await client.enqueue(paint.options(delay=3), scene=3)": "Handle[float]",
        'await client.enqueue(hash_file, "a")': "Handle[bytes]",
        "await client.enqueue(crunch)": "Handle[None]",
        "await (await client.enqueue(paint, 3)).result()": "float",
        "paint.call(3)": "Call[float]",
    },
    refused={
        "await client.enqueue(write, user_id=1)": 'incompatible type "int"; expected "str"',
        "await client.enqueue(write)": 'Missing named argument "user_id"',
        'await client.enqueue(write, "u1")': "Too many positional arguments",
        'await client.enqueue(paint, "3")': 'incompatible type "str"; expected "int"',
        "await client.enqueue(hash_file, path=b'')": 'incompatible type "bytes"; expected "str"',
        "await client.enqueue(crunch, rows=1)": 'Unexpected keyword argument "rows"',
        'paint.call("3")': 'incompatible type "str"; expected "int"',
        "paint.options(dely=3)": 'Unexpected keyword argument "dely"',
        'paint.options(delay="3")': 'incompatible type "str"',
        "job(tiemout=3)": 'Unexpected keyword argument "tiemout"',
        "job(lambda: None)": "No overload variant|Cannot infer|incompatible type",
    },
)

PIPELINES = Snippets(
    head="""\
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
""",
    accepted={
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
    },
    refused={
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
    },
)

BLOCKING = Snippets(
    head=PIPELINES.head.replace("from rota import Client", "from rota import SyncClient").replace(
        "async def main(client: Client)", "def main(client: SyncClient)"
    ),
    accepted={
        'client.enqueue(video, user_id="u1")': "SyncFlowHandle[dict[str, int]]",
        'client.enqueue(video, user_id="u1").result()': "dict[str, int]",
        'client.enqueue(write, user_id="u1")': "SyncHandle[list[str]]",
        'client.enqueue(write, user_id="u1").result(timeout=3)': "list[str]",
        'client.enqueue(paint.options(delay=3), "a", style="oil")': "SyncHandle[float]",
        'client.enqueue(each(paint), ["a", "b"])': "SyncFlowHandle[list[float]]",
        'client.enqueue_many([paint.call("a")])': "list[SyncHandle[float]]",
        'video.handle(client, "v")': "SyncFlowHandle[dict[str, int]]",
        'write.handle(client, "v")': "SyncHandle[list[str]]",
        'client.handle("default", "v", paint).result()': "float",
        'client.batch([paint.call("a")]).wait()': "BatchInfo",
    },
    refused={
        "client.enqueue(video, user_id=1)": 'incompatible type "int"; expected "str"',
        "client.enqueue(video)": 'Missing named argument "user_id"',
        'client.enqueue(write, "u1")': "Too many positional arguments",
        "client.enqueue(paint, 3)": 'incompatible type "int"; expected "str"',
        "client.enqueue(paint, 'a', rows=1)": 'Unexpected keyword argument "rows"',
        "client.enqueue(len)": "incompatible type",
        'client.enqueue_by_name("a", dely=1)': 'Unexpected keyword argument "dely"',
    },
)

SETS = {"jobs": JOBS, "pipelines": PIPELINES, "blocking": BLOCKING}
Said = dict[tuple[str, str], str]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Said:
    return said(tmp_path_factory.mktemp("typing"), SETS)


@pytest.mark.parametrize(("of", "snippet"), [(of, one) for of in SETS for one in SETS[of].accepted])
def test_what_fits_is_accepted_and_the_result_has_its_type(words: Said, of: str, snippet: str) -> None:
    text = words[of, snippet]
    revealed = re.search(r'Revealed type is "(.*)"', text)
    assert revealed
    assert re.sub(r"\b(?:[a-z_]+\.)+", "", revealed[1]) == SETS[of].accepted[snippet]
    assert "error:" not in text


@pytest.mark.parametrize(("of", "snippet"), [(of, one) for of in SETS for one in SETS[of].refused])
def test_what_does_not_fit_is_refused(words: Said, of: str, snippet: str) -> None:
    text = words[of, snippet]
    assert re.search(SETS[of].refused[snippet], text), text
    assert "error:" in text
