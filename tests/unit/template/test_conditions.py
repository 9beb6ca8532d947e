"""The benchmark of conditions: its arithmetic, the delaying proxy, and a tiny real run."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from benchmarks.command import EXIT_FAILED
from benchmarks.conditions import series
from benchmarks.conditions.__main__ import main
from benchmarks.conditions.proxy import farther
from benchmarks.conditions.series import Measure, Series
from benchmarks.conditions.sizes import Sizes
from benchmarks.conditions.stage import check
from benchmarks.failures import LedgerMismatch
from benchmarks.server import PrivateServer


@pytest.mark.parametrize(
    "runs", [[0, 1], [0, 1, 1], [0, 1, 2, 2]], ids=["lost", "lost and doubled", "doubled"]
)
def test_what_ran_and_what_is_left_must_be_all_that_was_enqueued(runs: list[int]) -> None:
    check([0, 2, 1], 5, left=2)
    with pytest.raises(
        LedgerMismatch, match=f"{len(set(runs))} ran, and {len(runs) - len(set(runs))} ran again"
    ):
        check(runs, 5, left=2)


def test_backlogs_grow_tenfold_up_to_the_largest() -> None:
    assert Sizes(backlog=999_999).backlogs == [1_000, 10_000, 100_000]
    assert Sizes(backlog=1_000_000).backlogs[-1] == 1_000_000


async def test_each_round_measures_every_point_and_every_other_runs_backwards() -> None:
    seen: list[int] = []

    @asynccontextmanager
    async def opened(sizes: Sizes) -> AsyncIterator[Measure]:
        async def measure(x: int) -> dict[str, float]:
            seen.append(x)
            return {"per_s": 100.0 * x + len(seen)}

        yield measure

    one = Series("queues", "queues", "queues", lambda sizes: (1, 2), opened)
    written = series.written(one, await series.take(one, Sizes(rounds=3), lambda line: None))
    assert seen == [1, 2, 2, 1, 1, 2]
    rounds = {point["x"]: point["figures"]["per_s"] for point in written["points"]}
    assert rounds[1] == {"median": 104.0, "rounds": [101.0, 104.0, 105.0]}
    assert series.share(written, "per_s", of=2, to=1) == pytest.approx(203 / 104)
    assert series.rendered("queues", written).splitlines()[1].split() == ["per_s", "104", "203"]


async def test_a_round_trip_takes_longer_by_the_delay_and_many_at_once_take_no_longer(tmp_path: Path) -> None:
    async with PrivateServer(tmp_path) as server, farther(server.port, 60) as way:
        clients = [Redis.from_url(way) for _ in range(10)]
        await asyncio.gather(*(client.ping() for client in clients))
        began = time.perf_counter()
        assert await clients[0].echo("x" * 300_000) == b"x" * 300_000
        alone = time.perf_counter() - began
        await asyncio.gather(*(client.set(f"key-{number}", number) for number, client in enumerate(clients)))
        together = time.perf_counter() - began - alone
        assert alone >= 0.06
        assert 0.06 <= together < 0.3
        assert await server.redis.dbsize() == len(clients)
        for client in clients:
            await client.aclose()


def test_a_tiny_run_works_off_what_is_in_front_of_a_backlog_and_keeps_other_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, size in {"JOBS": "200", "BACKLOG": "1000"}.items():
        monkeypatch.setenv(f"BENCH_{name}", size)
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"series": {"queues": {}, "backlog": {}}}))
    assert main(["--quick", "--only", "backlog", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["series"]["queues"] == {}
    (point,) = found["series"]["backlog"]["points"]
    assert point["x"] == 1_000
    assert point["figures"]["per_s"]["median"] > 0
    assert point["figures"]["redis_us"]["median"] > 0
    assert "jobs that wait behind" in capsys.readouterr().out


def test_a_wrong_size_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("BENCH_BACKLOG", "many")
    assert main(["--json", str(tmp_path / "record.json")]) == EXIT_FAILED
    assert "BENCH_BACKLOG is 'many'" in capsys.readouterr().err
