"""The commands of docs/security.md, for tests to run as they are written."""

import re
import shlex

from tests.files import ROOT


def commands_under(heading: str) -> list[list[str]]:
    """Return the arguments of each `compose` command under a heading, in order."""
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    section = re.split(r"(?m)^#+ ", page.partition(f"### {heading}\n")[2])[0]
    return [shlex.split(line, comments=True) for line in re.findall(r"(?m)^    compose (.*)$", section)]
