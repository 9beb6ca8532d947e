"""The benchmark of peers: its arithmetic, its environments, and a tiny real run of the floor."""

import dataclasses
import json
from array import array
from pathlib import Path

import pytest

from benchmarks import ledger
from benchmarks.command import EXIT_FAILED
from benchmarks.failures import LedgerMismatch, NotOurServer
from benchmarks.figures import Counters
from benchmarks.ledger import Readings
from benchmarks.peers import bench, environments, measure, record, table
from benchmarks.peers.__main__ import main
from benchmarks.peers.adapters.common import due
from benchmarks.peers.catalogue import FLOOR, OURS, PEERS, Peer
from benchmarks.peers.environments import Missing, Own, Python
from benchmarks.peers.run import Run
from benchmarks.peers.sizes import PeerSizes
from benchmarks.server import PrivateServer

BY_KEY = {peer.key: peer for peer in PEERS}
TINY = PeerSizes(rounds=1, seconds=1, least=20, enqueues=10, callers=5, singles=3, quiet=1, kept=50)


@pytest.fixture
def floor(monkeypatch: pytest.MonkeyPatch) -> Peer:
    """Return the floor in the environment of the tests, which has all that it needs, as a slow system."""
    monkeypatch.setattr(bench, "SETTLE", 0.02)
    return dataclasses.replace(BY_KEY[FLOOR], environment=Own(), speed=100, nap_speed=50)


async def test_a_tiny_run_of_the_floor_has_every_figure_of_a_round(floor: Peer) -> None:
    figures = await measure.measure(floor, TINY)
    once = {"idle_per_s", "rss_mb", "waiting_bytes", "kept_bytes"}
    assert figures.keys() == {row.figure for row in table.ROWS} - once
    # The processor's time comes in steps of 10 ms.
    assert all(value > 0 for name, value in figures.items() if not name.endswith("_us")), figures
    assert figures["round_trips"] < figures["commands"]
    assert figures["pickup_p50_ms"] <= figures["pickup_p95_ms"] <= figures["pickup_p99_ms"]


def test_what_one_reading_of_the_counters_costs_is_taken_off() -> None:
    idle, before = Counters(10, 5, 1.0, 100, 1_000), Counters(11, 6, 1.5, 110, 1_400)
    after = Counters(112, 57, 2.2, 1_120, 3_800)
    told = measure.each(after, before, idle, 10)
    assert told == pytest.approx(
        {"redis_us": 20_000, "commands": 10, "round_trips": 5, "sent_bytes": 100, "received_bytes": 200}
    )


def test_a_rate_is_that_between_the_first_run_and_the_last() -> None:
    assert bench.rate([(0, 2_000_000_000), (2, 1_000_000_000), (1, 1_500_000_000)]) == pytest.approx(2.0)


def test_a_ledger_is_read_along_record_by_record(tmp_path: Path) -> None:
    readings = Readings(tmp_path)
    # As Node writes: whole records are there, and the beginning of one.
    appended = tmp_path / "1"
    appended.write_bytes(array("q", [7, 100, 8, 200, 9]).tobytes())
    # As Python writes: a page with room, in which the time is written last.
    (tmp_path / "2").write_bytes(array("q", [3, 150, 4, 0, 0, 0]).tobytes())
    (tmp_path / "3").write_bytes(b"")
    assert (readings.go_on(), readings.processes) == (3, 2)
    appended.write_bytes(array("q", [7, 100, 8, 200, 9, 300]).tobytes())
    assert readings.go_on() == 4
    assert sorted(readings.runs) == [(3, 150), (7, 100), (8, 200), (9, 300)]
    assert sorted(ledger.read(tmp_path)) == [3, 7, 8, 9]


def test_backlogs_are_as_long_as_a_system_is_fast_within_bounds() -> None:
    sizes = PeerSizes(seconds=3, least=200, most=100_000)
    peers = [dataclasses.replace(BY_KEY[FLOOR], speed=speed, nap_speed=1) for speed in (10, 1_000, 90_000)]
    assert [sizes.jobs(peer) for peer in peers] == [200, 3_000, 100_000]
    assert sizes.naps(peers[0]) == 200


def test_at_a_pace_those_are_due_that_were_not_sent_by_then() -> None:
    numbers = range(7, 17)
    assert list(due(numbers, 0, pace=100.0, seconds=0.009)) == []
    assert list(due(numbers, 1, pace=100.0, seconds=0.0301)) == [8, 9]
    assert list(due(numbers, 4, pace=100.0, seconds=0.03)) == []
    assert list(due(numbers, 8, pace=100.0, seconds=9.0)) == [15, 16]


def test_ratios_are_of_rota_to_each_other_system_whichever_way_is_better() -> None:
    figures = {"rota": {"noop_per_s": 20.0, "worker_us": 10.0}, FLOOR: {"noop_per_s": 40.0, "worker_us": 5.0}}
    assert table.ratios(figures) == {"noop_per_s": {FLOOR: 0.5}, "worker_us": {FLOOR: 0.5}}


def test_the_table_compares_with_the_best_peer_and_with_the_floor() -> None:
    shown = table.render(
        [BY_KEY[key] for key in ("rota", "arq-tuned", "bullmq", FLOOR)],
        {
            "rota": {"noop_per_s": 30.0},
            "arq-tuned": {"noop_per_s": 2.0},
            "bullmq": {"noop_per_s": 20.0},
            FLOOR: {"noop_per_s": 60.0},
        },
    )
    compared = [line.split()[-8:] for line in shown.splitlines() if line.startswith("rota, times")]
    assert [cells[0] for cells in compared[:2]] == ["1.50", "0.50"]


def test_the_record_says_who_was_measured_and_who_was_not() -> None:
    load = (0.0, 0.0, 0.0)
    versions = {"rota": {"rota": "1"}}
    content = record.document(
        {"rota": {"noop_per_s": [1.0, 3.0]}},
        {"rota": {"noop_per_s": 2.0}},
        TINY,
        loads=(load, load),
        server="Valkey 9",
        versions=versions,
        skipped={"bullmq": "node: this machine has no Node"},
    )
    assert content["systems"]["rota"]["noop_per_s"] == {"median": 2.0, "rounds": [1.0, 3.0]}
    assert content["skipped"] == {"bullmq": "node: this machine has no Node"}
    assert json.loads(json.dumps(content))["versions"] == versions


def test_a_system_without_an_environment_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environments, "HOME", tmp_path)
    with pytest.raises(Missing, match=r"arq: no environment in .*--set-up makes it"):
        Python("arq").check()


def test_an_environment_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environments, "HOME", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match="node: this machine has no Node"):
        environments.Node().make()
    with pytest.raises(Missing, match=r"python: .* failed: .*no such program"):
        environments._run("python", [Own().program(), "-c", "raise SystemExit('no such program')"])


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.key)
def test_every_python_environment_has_requirements_with_hashes_and_no_addresses(peer: Peer) -> None:
    if not isinstance(peer.environment, Python):
        return
    text = peer.environment.requirements.read_text()
    assert set(peer.packages) <= {line.split("==")[0] for line in text.splitlines() if "==" in line}
    assert "--hash=sha256:" in text
    assert "://" not in text


async def test_a_server_program_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BENCH_SERVER", str(tmp_path / "redis-server"))
    with pytest.raises(NotOurServer, match=r"redis-server cannot be started: No such file"):
        async with PrivateServer(tmp_path):
            pass


async def test_a_system_that_fails_is_left_out_from_there_and_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def measured(peer: Peer, sizes: PeerSizes) -> dict[str, float]:
        if peer.key == FLOOR:
            raise LedgerMismatch("of 2 jobs 1 did not run and 0 ran again")
        return {"noop_per_s": 1.0}

    for name in ("idle", "sizes_of_jobs", "measure"):
        monkeypatch.setattr(measure, name, measured)
    said: list[str] = []
    run = Run(dataclasses.replace(TINY, rounds=2), said.append)
    await run.all([BY_KEY[FLOOR], BY_KEY["rq"]])
    assert run.measured == {FLOOR: {}, "rq": {"noop_per_s": [1.0] * 4}}
    assert run.failed == {FLOOR: "floor: of 2 jobs 1 did not run and 0 ran again"}
    rounds = [line.partition(": ")[2] for line in said if line.startswith("round")]
    assert rounds == ["floor, redis-py", "RQ", "RQ", "floor, redis-py"]
    monkeypatch.setattr(measure, "idle", _fails)
    with pytest.raises(LedgerMismatch):
        await Run(TINY, said.append).all([BY_KEY[OURS]])


async def _fails(*_: object) -> dict[str, float]:
    raise LedgerMismatch("of 2 jobs 1 did not run and 0 ran again")


def test_a_wrong_size_is_one_sentence_and_no_measurement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("BENCH_SECONDS", "0")
    assert main(["--only", "rota", "--json", str(tmp_path / "record.json")]) == EXIT_FAILED
    assert capsys.readouterr().err == "BENCH_SECONDS is '0'; it must be a whole number of 1 or more\n"
