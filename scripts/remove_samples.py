"""Delete the sample jobs, their tests and the demo, and what in other files is there for them alone.

In text that is each block, from one blank line to the next, that names `make remove-samples`; in the locked
requirements the packages that no file asks for any more. It needs nothing but Python's standard library. Run again, it
finishes what an interrupted run has left.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src/jobs/samples", "tests/samples", "examples/demo")
TEXTS = ("README.md", "engine.mk", "src/jobs/__init__.py", "requirements/worker.in")
MARK = "make remove-samples"
#: The locks that have what the samples use. Others may have a package of the same name for a reason of their own.
LOCKS = ("dev.txt", "project.txt", "worker.txt")
#: The packages that the samples use.
PACKAGES = ("aiosmtplib", "pillow")


def without_blocks(text: str) -> str:
    """Return a text without the blocks that are there for the samples."""
    # Each block with the blank lines behind it, which may be several.
    blocks = re.findall(r"(?s).+?(?:\n{2,}|$)", text)
    return "".join(block for block in blocks if MARK not in block).rstrip("\n") + "\n"


def without_packages(text: str) -> str:
    """Return locked requirements without the packages of the samples that nothing else asks for."""
    for package in _no_longer_asked_for():
        text = re.sub(rf"(?m)^{package}==.*\n(?:    .*\n)+", "", text)
    return text


def _no_longer_asked_for() -> Iterator[str]:
    asked = "\n".join(path.read_text("utf-8") for path in (ROOT / "requirements").glob("*.in"))
    for package in PACKAGES:
        if not re.search(rf"(?mi)^{package}\b", asked):
            yield package


def rewrite(path: Path, text: str) -> None:
    if text != path.read_text("utf-8"):
        path.write_text(text, "utf-8")
        sys.stdout.write(f"changed {path.relative_to(ROOT)}\n")


def main() -> None:
    for name in FOLDERS:
        if (ROOT / name).exists():
            shutil.rmtree(ROOT / name)
            sys.stdout.write(f"deleted {name}\n")
    # A project may have files of its own in their place, or none.
    for path in (ROOT / name for name in TEXTS):
        if path.exists():
            rewrite(path, without_blocks(path.read_text("utf-8")))
    for path in (ROOT / "requirements" / name for name in LOCKS):
        if path.exists():
            rewrite(path, without_packages(path.read_text("utf-8")))
    sys.stdout.write(
        "the samples are gone; `make check` and `make test` say whether anything of yours used them\n"
    )


if __name__ == "__main__":
    main()
