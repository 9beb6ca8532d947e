"""Commands in the documents, with what they print: read from a page, run, and compared.

A block that is set in shows a command behind `$`, and below it lines of its output. Lines may be left out. What differs
each time (ids, times, sizes, names of processes, folders) stands there as anything of its kind, and `…` for any text.
"""

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.integration.project import Ran

#: What is of the same kind on the page and in the output, and the word that stands for it.
_KINDS = (
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?", "TIME"),
    (r"\b\d\d:\d\d:\d\d\b", "HOUR"),
    (r"\b\d{13}(-\d+)?\b", "MILLISECONDS"),
    (r"\b[\w.-]+-\d+-[0-9a-f]{6}\b(:\d+){0,3}", "PROCESS"),
    (r"\b[0-9a-v]{20}\b", "ID"),
    (r"\b\d{8}\b", "BYTES"),
    (r"\b\d+(\.\d+)?( [KMG]?B|[KM])\b", "SIZE"),
    (r"\b\d+\.\d+\b", "NUMBER"),
    (r'"[^"]*/(?=jobs/)', '"'),
    (r"\s+", " "),
)


#: In a list, a block is set in by two more.
_COMMAND = re.compile(r" {4,6}\$ ")


@dataclass(frozen=True)
class Console:
    """A command of a page, and the lines that the page shows below it."""

    command: str
    shown: tuple[str, ...]

    def words(self) -> list[str]:
        """Return the words of the command, as a shell splits them."""
        return shlex.split(self.command)

    def check(self, ran: Ran) -> None:
        """Assert that what the page shows was said, in its order."""
        said = iter(_plain(line) for line in (ran.out + ran.err).splitlines())
        for line in self.shown:
            pattern = ".*".join(map(re.escape, _plain(line).split("…")))
            assert any(re.fullmatch(pattern, one) for one in said), (
                f"$ {self.command}\nsaid (status {ran.status}):\n{ran.out}{ran.err}\nand not:\n{line}"
            )


def consoles(page: Path) -> dict[str, list[Console]]:
    """Return the commands of a page by the heading above them."""
    found: dict[str, list[Console]] = {}
    heading, lines = "", re.sub(r"(?ms)^```.*?^```$", "", page.read_text("utf-8")).splitlines()
    for number, line in enumerate(lines):
        if title := re.match(r"#+ (.+)", line):
            heading = title[1]
        if begun := _COMMAND.match(line):
            below = itertools.takewhile(_is_output, lines[number + 1 :])
            shown = tuple(one.strip() for one in below)
            found.setdefault(heading, []).append(Console(line[begun.end() :], shown))
    return found


def _is_output(line: str) -> bool:
    return line.startswith("    ") and not _COMMAND.match(line)


def _plain(line: str) -> str:
    for pattern, word in _KINDS:
        line = re.sub(pattern, word, line)
    return line.strip()
