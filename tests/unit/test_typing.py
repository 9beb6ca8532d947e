"""What a type checker says of enqueueing: each snippet is checked by mypy as a user's file would be."""

import pytest

from tests.typed import Snippets

HEAD = """\
from typing import Generic, TypeVar

from rota.job import Job, P, R, job
from rota.run import Run

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
"""

ACCEPTED = {
    'await client.enqueue(write, user_id="u1")': "Handle[list[str]]",
    'await client.enqueue(paint, 3, style="oil")': "Handle[float]",
    "await client.enqueue(paint.options(delay=3), scene=3)": "Handle[float]",
    'await client.enqueue(hash_file, "a")': "Handle[bytes]",
    "await client.enqueue(crunch)": "Handle[None]",
    "await (await client.enqueue(paint, 3)).result()": "float",
    "paint.call(3)": "Call[float]",
}

REFUSED = {
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
}


@pytest.fixture(scope="module")
def snippets(tmp_path_factory: pytest.TempPathFactory) -> Snippets:
    return Snippets(tmp_path_factory.mktemp("typing"), HEAD, ACCEPTED, REFUSED)


@pytest.mark.parametrize("snippet", ACCEPTED)
def test_right_arguments_are_accepted_and_the_result_has_its_type(snippets: Snippets, snippet: str) -> None:
    snippets.assert_accepted(snippet)


@pytest.mark.parametrize("snippet", REFUSED)
def test_wrong_arguments_are_refused(snippets: Snippets, snippet: str) -> None:
    snippets.assert_refused(snippet)
