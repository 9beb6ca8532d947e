"""The benchmark: its arithmetic, its promises, and a tiny real run of every system."""

import asyncio
import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from benchmarks import dashboard, figures, ledger, promises, quiet, rounds, scaling, table
from benchmarks.__main__ import main
from benchmarks.command import EXIT_FAILED, EXIT_MISSED
from benchmarks.failures import LedgerMismatch, NotOurServer, WrongSize
from benchmarks.figures import Counters, Figures
from benchmarks.monitor import Seen
from benchmarks.server import PrivateServer
from benchmarks.sizes import Sizes
from benchmarks.systems import SYSTEMS

KEPT = {
    "rota": {
        "noop_per_s": 13_000.0,
        "direct_times": 2.0,
        "http_per_s": 2_000.0,
        "http_share": 0.2,
        "http_p99_ms": 25.0,
        "round_trips": 0.5,
        "stock_pickup_p50_ms": 5.0,
        "idle_per_s": 1.0,
        "fleet_network": 10.0,
        "page_ms": 50.0,
        "page_times": 3.0,
        "dashboards_share": 0.97,
    },
    "arq-tuned": {"noop_per_s": 1_000.0, "round_trips": 6.0},
}


def test_the_rate_is_told_from_the_first_completion_that_was_seen_to_the_last() -> None:
    samples = [(0.0, 100), (0.9, 100), (1.0, 80), (1.5, 40), (2.0, 0)]
    assert figures.completion_rate(samples, 100) == pytest.approx(80.0)


def test_jobs_that_all_end_between_two_looks_count_from_the_last_look_before() -> None:
    assert figures.completion_rate([(0.0, 10), (1.0, 10), (1.5, 0)], 10) == pytest.approx(20.0)


def test_a_percentile_is_a_value_that_occurred() -> None:
    values = [float(value) for value in range(1, 101)]
    assert figures.percentile(values, 0.5) == 50.0
    assert figures.percentile(values, 0.95) == 95.0
    assert figures.percentile([7.0], 0.95) == 7.0


def test_counters_leave_out_what_the_harness_asked() -> None:
    before, after = Counters(10, 5, 1.0), Counters(110, 45, 1.5)
    assert after.since(before, own=10) == Counters(90, 30, 0.5)


@pytest.mark.parametrize("offset", [0.0, 1.0, 2.9])
def test_the_rate_of_looks_at_intervals_does_not_depend_on_where_the_window_begins(offset: float) -> None:
    looks = [offset + 3 * number for number in range(4)]
    times = [look + step for look in looks for step in (0.0, 0.001, 0.002, 0.003)]
    assert figures.steady_rate(times, 12) == pytest.approx(4 / 3)


def test_commands_without_pauses_are_counted_over_the_whole_window() -> None:
    assert figures.steady_rate([number / 100 for number in range(1_000)], 10) == pytest.approx(100)


def test_silence_is_a_rate_of_nothing() -> None:
    assert figures.steady_rate([], 10) == 0.0


def test_what_idle_workers_would_have_done_anyway_is_not_laid_to_the_enqueue() -> None:
    assert figures.caused(250, calm_rate=30.0, seconds=5.0, causes=20) == pytest.approx(5.0)


def test_a_monitored_command_tells_a_script_from_a_client() -> None:
    sent = Seen.parse('+1700000000.250000 [0 127.0.0.1:4711] "evalsha" "abc" "]" "x"')
    assert sent == Seen(1_700_000_000.25, "EVALSHA", inner=False)
    assert Seen.parse('+1700000000.250000 [0 lua] "ZADD" "q"').inner


@pytest.mark.parametrize(("runs", "told"), [([0, 1], "1 did not run"), ([0, 1, 1, 2], "1 ran again")])
def test_a_job_that_was_lost_or_ran_twice_ends_the_measurement(runs: list[int], told: str) -> None:
    with pytest.raises(LedgerMismatch, match=told):
        ledger.check(runs, 3)


def test_jobs_may_run_in_any_order() -> None:
    ledger.check([2, 0, 1], 3)


def test_figures_on_their_limits_keep_every_promise() -> None:
    assert promises.misses(KEPT) == []


@pytest.mark.parametrize(
    ("figure", "value", "told"),
    [
        ("noop_per_s", 12_900.0, "no-op jobs/s, times tuned arq's: 12.9, promised at least 13"),
        (
            "direct_times",
            1.9,
            "enqueues/s of 100 callers of one client, times those of one: 1.9, promised at least 2",
        ),
        ("http_per_s", 1_990.0, "enqueues/s over HTTP: 1.99e+03, promised at least 2000"),
        (
            "http_share",
            0.19,
            "enqueues/s over HTTP, share of one caller without it: 0.19, promised at least 0.2",
        ),
        ("http_p99_ms", 26.0, "enqueues over HTTP at 1,000/s, p99, ms: 26, promised at most 25"),
        ("round_trips", 0.51, "round trips a job at concurrency 100: 0.51, promised at most 0.5"),
        ("stock_pickup_p50_ms", 5.1, "pick-up p50 of a stock client's jobs, ms: 5.1, promised at most 5"),
        (
            "idle_per_s",
            1.1,
            "commands/s of an idle worker, those in scripts included: 1.1, promised at most 1",
        ),
        ("fleet_network", 10.5, "commands of one enqueue among idle workers: 10.5, promised at most 10"),
    ],
)
def test_a_promise_that_is_not_kept_is_one_line(figure: str, value: float, told: str) -> None:
    assert promises.misses({**KEPT, "rota": {**KEPT["rota"], figure: value}}) == [told]


def test_a_ratio_says_how_many_times_better_whichever_way_is_better() -> None:
    rows = {row.figure: row for row in table.ROWS}
    assert table.ratio(rows["noop_per_s"], KEPT) == pytest.approx(13.0)
    assert table.ratio(rows["round_trips"], KEPT) == pytest.approx(12.0)
    assert table.ratio(rows["idle_per_s"], KEPT) is None


def test_every_promise_is_about_a_figure_that_the_table_shows() -> None:
    assert {promise.figure for promise in promises.PROMISES} <= {row.figure for row in table.ROWS}


def test_sizes_come_from_the_environment_also_in_a_quick_run() -> None:
    sizes = Sizes.read({"BENCH_JOBS": "123", "BENCH_ROUNDS": "2"}, quick=True)
    assert (sizes.jobs, sizes.rounds) == (123, 2)
    assert sizes.singles < Sizes.read({}).singles


def test_a_malformed_size_names_its_variable() -> None:
    with pytest.raises(WrongSize, match="BENCH_ROUNDS is 'many'; it must be a whole number of 1 or more"):
        Sizes.read({"BENCH_ROUNDS": "many"})


def test_a_wrong_size_is_one_sentence_and_no_measurement(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("BENCH_JOBS", "0")
    assert main(["--json", str(tmp_path / "record.json")]) == EXIT_FAILED
    assert capsys.readouterr().err == "BENCH_JOBS is '0'; it must be a whole number of 1 or more\n"


async def test_a_server_that_the_harness_did_not_start_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with PrivateServer(tmp_path) as other:
        monkeypatch.setattr("benchmarks.server.free_port", lambda: other.port)
        with pytest.raises(NotOurServer, match=str(other.port)):
            async with PrivateServer(tmp_path):
                pass
        assert await other.redis.ping()


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, Figures]], None]:
    """Put these figures in the place of a measurement."""

    def put(systems: Mapping[str, Figures]) -> None:
        async def run(*_: object) -> dict[str, dict[str, list[float]]]:
            return {key: {name: [value] for name, value in one.items()} for key, one in systems.items()}

        monkeypatch.setattr("benchmarks.__main__.run", run)

    return put


@pytest.mark.parametrize(("rate", "status"), [(13_000.0, 0), (7_000.0, EXIT_MISSED)])
def test_a_check_exits_with_1_below_what_is_promised(
    fake_run: Callable[[Mapping[str, Figures]], None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    rate: float,
    status: int,
) -> None:
    fake_run({**KEPT, "rota": {**KEPT["rota"], "noop_per_s": rate}})
    assert main(["--check", "--json", str(tmp_path / "record.json")]) == status
    told = capsys.readouterr().out
    assert "rota, the service" in told
    assert ("promised at least 13" in told) == bool(status)


def test_the_record_has_the_rounds_and_no_path_of_the_machine(
    fake_run: Callable[[Mapping[str, Figures]], None], tmp_path: Path
) -> None:
    fake_run(KEPT)
    path = tmp_path / "results" / "record.json"
    main(["--check", "--json", str(path)])
    text = path.read_text()
    assert json.loads(text)["systems"]["rota"]["noop_per_s"] == {"median": 13_000.0, "rounds": [13_000.0]}
    assert str(Path.cwd()) not in text
    assert str(Path.home()) not in text
    assert platform.node() not in text


async def test_a_tiny_run_measures_every_system_and_loses_no_job() -> None:
    sizes = Sizes(
        **{"jobs": 60, "floor": 30, "rounds": 1, "enqueues": 5, "requests": 20, "singles": 3, "quiet": 1},
        **{"fleet": 3, "nudges": 2, "looks": 1, "waiting": 300, "recorded": 300},
    )
    rota = SYSTEMS[-1]
    # All at once: these figures are not for comparing.
    *systems, alone, fleet, pages = await asyncio.gather(
        *(rounds.measure(system, sizes) for system in SYSTEMS),
        quiet.idle(rota, sizes),
        quiet.fleet(rota, sizes),
        dashboard.measure(rota, sizes),
    )
    for own in systems:
        assert own["noop_per_s"] > 0
        assert own["nap_per_s"] > 0
        assert own["commands"] > own["round_trips"] > 0
        assert own["stock_pickup_p95_ms"] >= own["stock_pickup_p50_ms"] > 0
        assert own["enqueue_one_per_s"] > 0
    assert systems[-1]["round_trips"] < systems[1]["round_trips"]
    assert {row.figure for row in table.ROWS} == {*systems[-1], *alone, *fleet, *pages}


def test_the_simulation_of_scaling_rules_comes_to_what_is_written_down() -> None:
    rows = [line.strip("| ").split(" | ") for line in scaling.OUTPUT.read_text("utf-8").splitlines()]
    written = {name: cells for name, *cells in rows}
    found = {}
    for name, make in scaling.RULES:
        # The shortest jobs are the most, and only the formula's are simulated again.
        chosen = range(len(scaling.SCENARIOS)) if name == "the formula" else range(1, len(scaling.SCENARIOS))
        for place in chosen:
            share, hours = found[name, place] = scaling.simulate(scaling.SCENARIOS[place], *make())
            assert written[name][place] == f"{share:.1%} / {hours:.1f}"
    of_formula = [found["the formula", place] for place in range(len(scaling.SCENARIOS))]
    assert max(share for share, _ in of_formula) < 0.001
    assert [round(hours) for _, hours in of_formula] == [5, 9, 8, 6]
    assert found[scaling.RULES[0][0], 1][0] > 0.2
