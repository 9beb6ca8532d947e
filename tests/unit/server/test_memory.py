"""What `rota memory` counts and measures."""

import pytest
from arq.connections import ArqRedis

from rota.server.memory import SAMPLE, kind_of, memory_of


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("arq:job:a", "payloads of jobs"),
        ("arq:result:a:b", "records of jobs that are over"),
        ("arq:queue:email", "queues"),
        ("arq:queue:email:runs", "what is known of jobs and workers"),
        ("arq:queue:email:dead", "what is known of jobs and workers"),
        ("arq:queue:email:dead:email:u1", "dead letters"),
        ("shop:events", "events"),
        ("shop:flow:f:0", "pipelines and batches"),
        ("shop:flow-id:mine", "pipelines and batches"),
        ("shop:unique:email:send:k", "unique keys"),
        ("shop:idempotency:9f86d0", "idempotency keys"),
        ("shop:new-in-a-later-version", "other keys of rota"),
        ("rota:events", "keys of other programs"),
        ("session:1", "keys of other programs"),
        ("", "keys of other programs"),
    ],
)
def test_a_key_is_known_by_its_name(key: str, kind: str) -> None:
    assert kind_of(key, "shop") == kind


async def test_kinds_are_counted_and_measured_the_largest_first(redis: ArqRedis) -> None:
    number = 3 * SAMPLE
    await redis.mset({f"arq:job:{one}": b"x" * 1000 for one in range(number)})
    await redis.mset({f"arq:retry:{one}": 1 for one in range(10)})
    await redis.set(b"\xff", "of nobody")
    found = await memory_of(redis, "rota")
    assert [one.kind for one in found.usage] == [
        "payloads of jobs",
        "counts of attempts",
        "keys of other programs",
    ]
    payloads, counts, _ = found.usage
    assert (payloads.keys, counts.keys) == (number, 10)
    assert 1000 * number < payloads.bytes < 1300 * number
    assert found.used > payloads.bytes
    assert found.most == 0


async def test_an_empty_database_has_no_kinds(redis: ArqRedis) -> None:
    assert (await memory_of(redis, "rota")).usage == []


async def test_a_server_that_does_not_say_its_limit_has_none(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = await redis.info("memory")

    async def info(_: str) -> dict[str, object]:
        return {name: value for name, value in said.items() if name != "maxmemory"}

    monkeypatch.setattr(redis, "info", info)
    found = await memory_of(redis, "rota")
    assert (found.used, found.most) == (said["used_memory"], 0)
