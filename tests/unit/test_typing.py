"""What a type checker says of enqueueing: each snippet is checked by mypy as a user's file would be."""

import re
import sys
from pathlib import Path

import pytest
from mypy import api

SOURCE = Path(__file__).parents[2] / "src"

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
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """mypy's words on each snippet, by one run over all of them."""
    folder = tmp_path_factory.mktemp("typing")
    lines = [f"reveal_type({snippet})" for snippet in ACCEPTED] + list(REFUSED)
    file = folder / "snippets.py"
    file.write_text(HEAD + "".join(f"    {line}\n" for line in lines))
    first = HEAD.count("\n") + 1
    out, err, _ = api.run(
        [
            "--strict",
            "--config-file=",
            f"--cache-dir={folder / 'cache'}",
            f"--python-executable={sys.executable}",
            "--no-error-summary",
            str(file),
        ]
    )
    assert not err, err
    words = dict.fromkeys([*ACCEPTED, *REFUSED], "")
    for number, text in re.findall(r"snippets\.py:(\d+): (.*)", out):
        position = int(number) - first
        assert position >= 0, f"the head itself is refused: {text}"
        words[[*ACCEPTED, *REFUSED][position]] += f"{text}\n"
    return words


@pytest.fixture(scope="module", autouse=True)
def sources_on_the_path() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPYPATH", str(SOURCE))
        yield


@pytest.mark.parametrize("snippet", ACCEPTED)
def test_right_arguments_are_accepted_and_the_result_has_its_type(said: dict[str, str], snippet: str) -> None:
    revealed = re.search(r'Revealed type is "(.*)"', said[snippet])
    assert revealed
    assert re.sub(r"\b(?:[a-z_]+\.)+", "", revealed[1]) == ACCEPTED[snippet]
    assert "error:" not in said[snippet]


@pytest.mark.parametrize("snippet", REFUSED)
def test_wrong_arguments_are_refused(said: dict[str, str], snippet: str) -> None:
    assert re.search(REFUSED[snippet], said[snippet]), said[snippet]
    assert "error:" in said[snippet]
