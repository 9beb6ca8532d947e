"""What mypy says of snippets: each is checked as a line of a user's file would be."""

import fcntl
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from mypy import api

SOURCE = Path(__file__).parents[1] / "src"
#: What mypy found out about the engine and its libraries, kept from one run to the next as its own cache is.
CACHE = SOURCE.parent / ".mypy_cache" / "of_tests"


@dataclass(frozen=True)
class Snippets:
    """Lines that follow `head`: expressions, by the types that they should have; statements, by what is wrong there."""

    head: str
    accepted: Mapping[str, str]
    refused: Mapping[str, str]

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Each snippet, and the line that it is in the file."""
        return [
            *((one, f"reveal_type({one})") for one in self.accepted),
            *((one, one) for one in self.refused),
        ]


def said(folder: Path, sets: Mapping[str, Snippets]) -> dict[tuple[str, str], str]:
    """Return mypy's messages for each snippet, by set and snippet; mypy runs once for all of them."""
    for name, one in sets.items():
        (folder / f"of_{name}.py").write_text(one.head + "".join(f"    {line}\n" for _, line in one.lines))
    out, err, _ = checked(folder, [f"of_{name}" for name in sets])
    assert not err, err
    words = {(name, snippet): "" for name, one in sets.items() for snippet, _ in one.lines}
    for name, number, text in re.findall(r"of_(\w+)\.py:(\d+): (.*)", out):
        one = sets[name]
        position = int(number) - one.head.count("\n") - 1
        assert position >= 0, f"the head itself is refused: {text}"
        words[name, one.lines[position][0]] += f"{text}\n"
    return words


def checked(folder: Path, modules: Sequence[str], options: str = "") -> tuple[str, str, int]:
    """Let mypy check modules of `folder` strictly, but for `options` in the words of its configuration.

    Returns its output, its complaints, and its status. The processes of a test run wait for each other here: the first
    fills the cache for all.
    """
    configuration = folder / "mypy.ini"
    configuration.write_text(f"[mypy]\n[mypy-{','.join(modules)}]\n{options}\n")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        patch.setenv("MYPYPATH", str(SOURCE))
        return api.run(
            [
                *("--strict", f"--config-file={configuration}", "--no-error-summary"),
                *("--ignore-missing-imports", "--follow-imports=silent", f"--cache-dir={CACHE}"),
                f"--python-executable={sys.executable}",
                *(str(folder / f"{module}.py") for module in modules),
            ]
        )
