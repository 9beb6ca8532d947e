"""Write docs/performance.md and its plots from two records: `python -m benchmarks.performance [--check]`.

Exit status: 0, 1 with `--check` if what is there is not what the records give, 2 for a record that cannot be used.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.performance.page import page
from benchmarks.performance.records import CONDITIONS, PEERS, Records, WrongRecord

DOCS = Path(__file__).parents[2] / "docs"
PAGE, IMAGES = "performance.md", "images/performance"
EXIT_OTHER, EXIT_FAILED = 1, 2


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.performance", description="The page of figures, from the records."
    )
    parser.add_argument("--check", action="store_true", help="compare with what is there, and write nothing")
    parser.add_argument("--peers", type=Path, default=PEERS, metavar="PATH", help="of benchmarks.peers")
    parser.add_argument(
        "--conditions", type=Path, default=CONDITIONS, metavar="PATH", help="of benchmarks.conditions"
    )
    parser.add_argument("--folder", type=Path, default=DOCS, metavar="PATH", help="where the page goes")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Write or compare; the exit status."""
    chosen = options(arguments)
    try:
        records = Records.read(chosen.peers, chosen.conditions)
    except WrongRecord as wrong:
        sys.stderr.write(f"{wrong}\n")
        return EXIT_FAILED
    try:
        # The one part that needs more than the standard library.
        from benchmarks.performance.plots import plots  # noqa: PLC0415
    except ImportError:
        sys.stderr.write("matplotlib is not here; make performance-page has an environment for it\n")
        return EXIT_FAILED
    files = {PAGE: page(records)}
    files |= {f"{IMAGES}/{name}": drawn for name, drawn in plots(records).items()}
    if chosen.check:
        return _compare(chosen.folder, files)
    for name, text in files.items():
        path = chosen.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        print(path)
    return 0


def _compare(folder: Path, files: dict[str, str]) -> int:
    drawn = {f"{IMAGES}/{path.name}" for path in (folder / IMAGES).glob("*")}
    other = sorted(drawn - files.keys())
    other += [name for name, text in files.items() if _text(folder / name) != text]
    for name in other:
        print(f"{name} is not what the records give")
    return EXIT_OTHER if other else 0


def _text(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
