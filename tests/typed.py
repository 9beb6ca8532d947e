"""What mypy says of snippets: each is checked as a line of a user's file would be."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from mypy import api

SOURCE = Path(__file__).parents[1] / "src"


class Snippets:
    """Lines that follow `head`, and all that mypy said of each, by one run over all of them.

    Those of `accepted` are expressions, whose types are revealed; those of `refused` are statements.
    """

    def __init__(
        self, folder: Path, head: str, accepted: Mapping[str, str], refused: Mapping[str, str]
    ) -> None:
        self._accepted, self._refused = accepted, refused
        self._words = _said(folder, head, [*(f"reveal_type({one})" for one in accepted), *refused])

    def assert_accepted(self, snippet: str) -> None:
        """It has the type that it should have, and nothing is wrong with it."""
        words = self._words[f"reveal_type({snippet})"]
        revealed = re.search(r'Revealed type is "(.*)"', words)
        assert revealed
        assert re.sub(r"\b(?:[a-z_]+\.)+", "", revealed[1]) == self._accepted[snippet]
        assert "error:" not in words

    def assert_refused(self, snippet: str) -> None:
        """It is an error, for the reason that it should be."""
        words = self._words[snippet]
        assert re.search(self._refused[snippet], words), words
        assert "error:" in words


def _said(folder: Path, head: str, lines: list[str]) -> dict[str, str]:
    file = folder / "snippets.py"
    file.write_text(head + "".join(f"    {line}\n" for line in lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPYPATH", str(SOURCE))
        out, err, _ = api.run(
            [
                *("--strict", "--config-file=", "--no-error-summary", "--follow-imports=silent"),
                f"--cache-dir={folder / 'cache'}",
                f"--python-executable={sys.executable}",
                str(file),
            ]
        )
    assert not err, err
    words = dict.fromkeys(lines, "")
    first = head.count("\n") + 1
    for number, text in re.findall(r"snippets\.py:(\d+): (.*)", out):
        position = int(number) - first
        assert position >= 0, f"the head itself is refused: {text}"
        words[lines[position]] += f"{text}\n"
    return words
