"""The page of figures: what it says of a record, that it says all, and that it is what the records here give."""

import json
import os
import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from benchmarks.conditions.__main__ import ALL as CONDITIONS
from benchmarks.conditions.sizes import Sizes
from benchmarks.peers.sizes import PeerSizes
from benchmarks.peers.table import ROWS
from benchmarks.performance import records
from benchmarks.performance.__main__ import EXIT_FAILED, EXIT_OTHER, IMAGES, PAGE, main
from benchmarks.performance.figures import ALL, SERIES, SYSTEMS, TABLES, UNDER
from benchmarks.performance.page import PROSE, SIZES, page
from benchmarks.performance.records import Records
from benchmarks.performance.slower import REASONS, slower

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
#: A Python with matplotlib, which `make performance-page` makes.
PLOTTING = Path(os.environ.get("PLOTS") or ROOT / ".venv" / "performance") / "bin" / "python"
MACHINE = {
    **{"cpus": 2, "architecture": "x86_64", "system": "Linux", "python": "3.13.0", "server": "Valkey 9.1.2"},
    **{"load_before": [0.1, 0.2, 0.3], "load_after": [1.1, 0.5, 0.3]},
}


def _told(*rounds: float) -> dict[str, Any]:
    return {"median": sorted(rounds)[len(rounds) // 2], "rounds": list(rounds)}


def _series(*xs: int) -> dict[str, Any]:
    figures = {key: _told(1_000.0) for key in UNDER}
    return {"x": "", "unit": "", "points": [{"x": x, "figures": figures} for x in xs]}


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Path]:
    """Return two small records: rota ties with its one rival, but for what tests are about."""
    same = {figure.key: _told(10.0) for figure in ALL}
    ours = {**same, "noop_per_s": _told(30_000.0), "kept_bytes": _told(400.0), "idle_per_s": _told(1.0)}
    ours |= {"pickup_p50_ms": _told(1.1, 1.5, 1.9), "enqueue_one_per_s": _told(5_000.0, 5_100.0, 5_050.0)}
    theirs = {**same, "noop_per_s": _told(200.0), "kept_bytes": _told(100.0), "idle_per_s": _told(0.0)}
    theirs |= {"pickup_p50_ms": _told(1.0, 1.2, 1.3), "enqueue_one_per_s": _told(6_060.0, 6_200.0, 6_000.0)}
    content = {
        "taken": "2026-11-30T23:10:00+00:00",
        "machine": MACHINE,
        "minutes": 30,
        "sizes": {field.name: 1_000 for field in fields(PeerSizes)},
        "titles": {"rota": "rota", "rq": "RQ", "floor": "floor, redis-py"},
        "versions": {"rota": {"uvloop": "0.23.0"}, "rq": {"rq": "3.0"}},
        "skipped": {"bullmq": "node: this machine has no Node"},
        "systems": {"rota": ours, "rq": theirs, "floor": {**same, "kept_bytes": _told(1.0)}, "saq": {}},
    }
    conditions = {
        **{"taken": "2026-12-01T00:10:00+00:00", "machine": MACHINE, "minutes": 12},
        "sizes": {field.name: 2_000 for field in fields(Sizes)},
        "series": {name: _series(1, 10, 100) for name in SERIES},
    }
    paths = tmp_path / "peers.json", tmp_path / "conditions.json"
    for path, record in zip(paths, (content, conditions), strict=True):
        path.write_text(json.dumps(record))
    return paths


def test_the_page_shows_every_figure_and_size_that_is_measured_and_every_series() -> None:
    shown = {figure.key: figure.better for figure in ALL}
    # How much half load is says nothing of how good a system is at it.
    assert shown == {row.figure: row.better for row in ROWS} | {"half_per_s": None}
    assert SIZES.keys() == {field.name for kind in (PeerSizes, Sizes) for field in fields(kind)}
    # From the start to the first job is measured of each system, too.
    assert SERIES.keys() | TABLES.keys() == CONDITIONS.keys() - {"startup"}
    named = set(re.findall(r"{(\w+)}", PROSE.read_text("utf-8")))
    assert named >= {*SYSTEMS, *SERIES, *TABLES}


def test_where_a_peer_is_ahead_it_is_said_by_how_much_and_why(written: tuple[Path, Path]) -> None:
    read = Records.read(*written)
    found = {figure.key: peers for figure, peers in slower(read).items()}
    assert set(found) == {"kept_bytes", "idle_per_s", "pickup_p50_ms", "enqueue_one_per_s"}
    rows = page(read).partition("## Slower")[2].partition("##")[0].splitlines()
    (kept,) = (row for row in rows if row.startswith("| bytes a kept job"))
    assert kept == f"| bytes a kept job | 400 | RQ: 100 (4.00 x) | {REASONS['kept_bytes']} |"
    # A ratio to 0 is left out.
    assert any("| RQ: 0.0 |" in row for row in rows)
    # Some rounds of one are better than some of the other, or none is.
    assert any("| RQ: ~1.20 (1.25 x) |" in row for row in rows)
    assert any("| RQ: 6,060 (1.20 x) |" in row for row in rows)


def test_the_page_says_when_and_where_it_was_taken_and_who_is_missing(written: tuple[Path, Path]) -> None:
    text = page(Records.read(*written))
    assert "**Taken on 2026-11-30 and 2026-12-01** on a machine with 2 processors" in text
    assert "Python 3.13.0, Valkey 9.1.2" in text
    assert "| RQ | rq 3.0 |" in text
    assert "| bullmq | not measured, or no further: node: this machine has no Node |" in text
    assert "this run took 30 + 12 minutes" in text
    assert "| **rota** | **30,000** |" in text
    assert "| no-op jobs/s | 30,000 | 200 (RQ) | 150.00 x | 10 |" in text
    assert "### Recorder and API beside" in text
    assert text.count("This was not measured.") == len(TABLES)


def test_a_record_that_lacks_something_is_one_sentence_with_the_command(
    written: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peers, conditions = written
    arguments = ["--peers", str(peers), "--conditions", str(conditions), "--folder", str(tmp_path)]
    content = json.loads(conditions.read_text())
    del content["series"]["delay"]
    conditions.write_text(json.dumps(content))
    assert main(arguments) == EXIT_FAILED
    assert "no series delay: python -m benchmarks.conditions --only delay adds it" in capsys.readouterr().err
    peers.unlink()
    assert main(arguments) == EXIT_FAILED
    assert capsys.readouterr().err == "there is no peers.json: python -m benchmarks.peers writes it\n"


def _drawn(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(PLOTTING), "-m", "benchmarks.performance", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not PLOTTING.exists(), reason="make performance-page makes the environment of the plots")
def test_plots_are_small_and_the_same_each_time_and_all_are_on_the_page(
    written: tuple[Path, Path], tmp_path: Path
) -> None:
    peers, conditions = written
    arguments = ["--peers", peers, "--conditions", conditions, "--folder", tmp_path]
    made = _drawn(*arguments)
    assert (made.returncode, made.stderr) == (0, "")
    plots = {path.name: path.read_text("utf-8") for path in (tmp_path / IMAGES).iterdir()}
    assert {f"{IMAGES}/{name}" for name in plots} == set(
        re.findall(r"\]\((\S+\.svg)\)", (tmp_path / PAGE).read_text("utf-8"))
    )
    for name, text in plots.items():
        assert len(text) < 60_000, name
        # Each colour has one for dark pages.
        style = re.findall(r"@media \(prefers-color-scheme: dark\) {.*}", text)[0]
        drawn = set(re.findall(r"(?:fill|stroke): (#\w+)", text.replace(style, "")))
        assert drawn
        assert drawn <= set(re.findall(r'"(?:fill|stroke): (#\w+)"', style))
        assert "<dc:date>" not in text
    checked = _drawn(*arguments, "--check")
    assert (checked.returncode, checked.stdout) == (0, "")
    (tmp_path / IMAGES / "delay.svg").write_text("another")
    checked = _drawn(*arguments, "--check")
    assert (checked.returncode, checked.stdout) == (
        EXIT_OTHER,
        f"{IMAGES}/delay.svg is not what the records give\n",
    )


# What is in the repository


def test_the_page_is_what_the_records_give_and_each_reason_is_there() -> None:
    page_there = (DOCS / PAGE).exists()
    assert page_there == records.PEERS.exists() == records.CONDITIONS.exists(), "make performance writes all"
    if not page_there:
        return
    read = Records.read()
    told = records.PEERS.read_text("utf-8") + records.CONDITIONS.read_text("utf-8")
    assert re.findall(r"(?:^|[\s\"'(])/\w+/\S*", told) == [], "a record names no folder of a machine"
    assert (DOCS / PAGE).read_text("utf-8") == page(read), "make performance-page"
    assert {figure.key for figure in slower(read)} <= REASONS.keys(), "slower.py says why a peer is ahead"


@pytest.mark.skipif(not PLOTTING.exists(), reason="make performance-page makes the environment of the plots")
def test_the_plots_are_what_the_records_give() -> None:
    if (DOCS / PAGE).exists():
        checked = _drawn("--check")
        assert (checked.returncode, checked.stdout) == (0, "")
