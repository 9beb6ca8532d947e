"""Signed and encrypted payloads on a real Redis: what is not ours runs nowhere, and is shown to nobody."""

import contextlib
import logging
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

from rota import Client, Handle, JobExists, JobFailed, Run, State, every, job, unique
from rota.app.connect import client_of
from rota.app.declaring import Declaring, release_of, schedules_of
from rota.cli.commands.sealing import refusals
from rota.client.schedules import ScheduleControl
from rota.errors import RefusedPayload
from rota.server import connections
from rota.server.target import RedisTarget
from rota.services.scheduler import Scheduler
from rota.settings.load import ConfigError, Settings, load
from rota.wire.keys import JOB, RESULT, queue_key, releases_key
from rota.wire.sealing.ring import new_key
from tests.servers import RedisServer
from tests.waiting import until, until_in
from tests.workers import Term, registry_of, serving

OLD, NEW = new_key("old"), new_key("new")
SIGNED = {"PAYLOAD_KEYS": OLD, "PAYLOAD_SIGNING": "required"}
ENCRYPTED = {**SIGNED, "PAYLOAD_ENCRYPTION": "on"}
RAN: list[str] = []


@job
async def greet(run: Run, name: str) -> str:
    RAN.append(name)
    return f"hello {name}"


@job(unique=unique(key="to", until="finished", on_taken="replace"))
async def remind(run: Run, to: str, text: str) -> str:
    return text


@job(max_attempts=1)
async def grumble(run: Run, text: str) -> str:
    if text != "fine":
        raise ValueError("not fine")
    return text


@every("1h", name="nightly")
@job
async def nightly(run: Run) -> None: ...


class Exploit:
    """Runs code where it is unpickled: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.fixture(params=[SIGNED, ENCRYPTED], ids=["signed", "encrypted"])
def variables(request: pytest.FixtureRequest) -> dict[str, str]:
    found: dict[str, str] = request.param
    return found


@pytest.fixture
async def client(server: RedisServer, variables: dict[str, str]) -> AsyncIterator[Client]:
    """Return a client with the keys, while a worker runs."""
    RAN.clear()
    async with serving(server.url, greet, remind, grumble, **variables) as works:
        yield works.client


def other(server: RedisServer, **variables: str) -> Client:
    """Return a client with other settings."""
    redis = connections.async_client(RedisTarget.from_url(server.url))
    return client_of(load({"REDIS_URL": server.url, **variables}), redis)


async def put(client: Client, job_id: str, payload: bytes) -> Handle[Any]:
    """Put a payload on the queue, as others can who may write to Redis."""
    await client.redis.set(JOB + job_id, payload)
    await client.redis.zadd(queue_key("default"), {job_id: 1})
    await client.redis.lpush(f"{queue_key('default')}:wake", "1")
    return client.handle("default", job_id)


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[Any]:
    return [one for one in caplog.records if one.message == name]


async def test_jobs_and_results_are_sealed_and_work_as_before(
    client: Client, variables: dict[str, str], server: RedisServer
) -> None:
    waiting = await client.enqueue(greet.options(delay=600, id="later"), "a secret")
    raw = await client.redis.get(JOB + waiting.id)
    assert b'"sig":"1' in raw
    assert (b"a secret" in raw) == (variables is SIGNED)
    assert (await waiting.status()).payload == {"name": "a secret"}

    done = await client.enqueue(greet, "another")
    assert await done.result(timeout=20) == "hello another"
    record = await client.redis.get(RESULT + done.id)
    assert b'"sig":"1' in record
    assert (b"another" in record) == (variables is SIGNED)
    assert (await done.status()).payload == {"name": "another"}
    (listed,) = await client.jobs("default", "completed")
    assert listed.result == "hello another"

    await waiting.cancel()
    cancelled = await waiting.status()
    assert (cancelled.state, cancelled.payload) == (State.CANCELLED, {"name": "a secret"})

    # A program without keys reads what is signed alone; of what is encrypted it says why it does not.
    async with other(server) as stranger:
        info = await stranger.status("default", done.id)
        assert info.state is State.COMPLETED
        if variables is SIGNED:
            assert (info.result, info.refused) == ("hello another", None)
        else:
            assert (info.result, info.payload, info.task) == (None, None, "greet")
            with pytest.raises(RefusedPayload, match="this process has no PAYLOAD_KEYS"):
                await stranger.handle("default", done.id).result(timeout=5)


async def test_what_nobody_with_a_key_has_written_is_dead_before_it_is_read(
    client: Client, server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with ArqRedis(
        connection_pool=connections.async_client(RedisTarget.from_url(server.url)).connection_pool
    ) as arq:
        await arq.enqueue_job(
            "greet", Exploit(tmp_path / "ran"), _job_id="stock", _queue_name=queue_key("default")
        )
    mine = await client.enqueue(greet.options(delay=600), "moved")
    raw = await client.redis.get(JOB + mine.id)
    cases = {
        "stock": ("unsigned", client.handle("default", "stock")),
        "plain": (
            "unsigned",
            await put(client, "plain", b'{"v":1,"f":"greet","t":null,"a":[],"k":{"name":"x"},"et":1}'),
        ),
        "moved": ("bad_signature", await put(client, "moved", raw)),
        "changed": ("bad_signature", await put(client, "changed", raw.replace(b'"v":1', b'"v":2'))),
    }
    for job_id, (reason, handle) in cases.items():
        info = await until_in(handle, State.DEAD)
        assert (info.reason, info.payload) == (reason, None)
        assert info.refused is not None
        with pytest.raises(JobFailed, match="RefusedPayload"):
            await handle.result(timeout=5)
        (line,) = [one for one in lines(caplog, "job.refused") if one.job_id == job_id]
        assert (line.reason, line.queue, line.levelno) == (reason, "default", logging.ERROR)
        # To bring it back does not help.
        await client.retry("default", job_id)
        await until_in(handle, State.DEAD)
    assert RAN == []
    assert not (tmp_path / "ran").exists()


async def test_a_job_that_was_moved_to_another_tenant_is_refused(client: Client) -> None:
    terms = f"{queue_key('default')}:terms"
    mine = await client.enqueue(greet.options(delay=600, tenant="acme"), "ann")
    assert (await mine.status()).tenant == "acme"
    await client.redis.hset(terms, mine.id, "t=other")
    await client.reschedule("default", mine.id)
    assert (await until_in(mine, State.DEAD)).reason == "bad_signature"
    # As it was, it runs.
    await client.redis.hset(f"{queue_key('default')}:dead:{mine.id}", "terms", "t=acme")
    await client.retry("default", mine.id)
    assert await mine.result(timeout=20) == "hello ann"
    assert (await mine.status()).tenant == "acme"


async def test_a_forged_result_is_refused(client: Client, tmp_path: Path) -> None:
    one, another = await client.enqueue(greet, "ann"), await client.enqueue(greet, "bob")
    assert (await one.result(timeout=20), await another.result(timeout=20)) == ("hello ann", "hello bob")
    theirs = await client.redis.get(RESULT + another.id)
    plain = {"t": 1, "f": "greet", "a": [], "k": {}, "et": 1, "s": True, "r": "forged", "st": 1, "ft": 1}
    for forged in (
        theirs,
        pickle.dumps(Exploit(tmp_path / "ran")),
        repr(plain).replace("'", '"').lower().encode(),
    ):
        await client.redis.set(RESULT + one.id, forged)
        with pytest.raises(JobFailed, match="RefusedPayload"):
            await one.result(timeout=5)
        info = await one.status()
        assert (info.state, info.result) == (State.DEAD, None)
    assert not (tmp_path / "ran").exists()


async def test_a_job_that_replaces_another_is_sealed_for_it(client: Client) -> None:
    first = await client.enqueue(remind.options(delay=600), to="ann", text="one")
    second = await client.enqueue(remind.options(delay=600), to="ann", text="two")
    assert (second.id, second.created) == (first.id, False)
    call = remind.options(delay=600).call(to="ann", text="three")
    third, _ = await client.enqueue_once(call, "key", fingerprint="f")
    assert third.id == first.id
    assert (await first.status()).payload == {"to": "ann", "text": "three"}
    await client.reschedule("default", first.id)
    assert await first.result(timeout=20) == "three"


async def test_a_dead_letter_takes_no_other_jobs_place(client: Client) -> None:
    lost = await put(client, "lost", b'{"v":1,"f":"remind"}')
    await until_in(lost, State.DEAD)
    waits = await client.enqueue(remind.options(delay=600), to="ann", text="one")
    letter, terms = f"{queue_key('default')}:dead:lost", f"{queue_key('default')}:terms"
    await client.redis.hset(
        letter,
        mapping={
            "payload": await client.redis.get(JOB + waits.id),
            "terms": await client.redis.hget(terms, waits.id),
        },
    )
    with pytest.raises(JobExists):
        await client.retry("default", "lost")
    assert (await waits.status()).payload == {"to": "ann", "text": "one"}


async def test_a_letter_is_fixed_where_its_seal_fits(client: Client, variables: dict[str, str]) -> None:
    broken = await client.enqueue(grumble, "a secret")
    await until_in(broken, State.DEAD)
    fixed = await client.retry("default", broken.id, call=grumble.call("fine"))
    assert await fixed.result(timeout=20) == "fine"
    ((_, action),) = await client.redis.xrange("rota:actions")
    kept = b"".join(action.values())
    assert (b"a secret" in kept) == (variables is SIGNED)

    again = await client.enqueue(grumble, "a secret")
    await until_in(again, State.DEAD)
    letter = f"{queue_key('default')}:dead:{again.id}"
    forged = (await client.redis.hget(letter, "payload")).replace(b"1", b"2")
    await client.redis.hset(letter, "payload", forged)
    with pytest.raises(RefusedPayload):
        await client.retry("default", again.id, call=grumble.call("fine"))


async def test_a_key_that_a_worker_lacks_is_waited_for(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    variables = {**ENCRYPTED, "UNKNOWN_DELAY": "0.1"}
    async with other(server, **{**variables, "PAYLOAD_KEYS": f"{NEW} {OLD}"}) as client:
        for behind in ({"UNKNOWN_DELAY": "0.1"}, variables):
            caplog.clear()
            handle = await client.enqueue(greet, "ann")
            async with serving(server.url, greet, **behind):
                (line,) = await until(lambda: lines(caplog, "job.sealed"))
            assert line.reason == ("unknown_key" if "PAYLOAD_KEYS" in behind else "sealed")
            assert (await handle.status()).state in (State.WAITING, State.DELAYED)
            # `rota doctor` says so, of a process with such settings.
            sealer = load(behind).sealer
            ((_, why),) = await refusals(client.redis, ["default", "other"], sealer)
            assert why == str(RefusedPayload(line.reason, "new"))
            async with serving(server.url, greet, **{**variables, "PAYLOAD_KEYS": f"{OLD} {NEW}"}):
                assert await handle.result(timeout=20) == "hello ann"


async def test_the_leader_signs_the_ticks_of_schedules_that_are_signed(server: RedisServer) -> None:
    settings = load({"REDIS_URL": server.url, **SIGNED})
    async with contextlib.AsyncExitStack() as stack:
        redis: Any = await stack.enter_async_context(
            connections.async_client(RedisTarget.from_url(server.url))
        )
        registry = registry_of([nightly])
        await Declaring(redis, settings, release_of(settings, registry)).declare()
        scheduler = Scheduler(schedules_of(settings), Term(), lambda: redis, sealer=settings.sealer)
        await scheduler.look(redis)
        (tick,) = [key async for key in redis.scan_iter(f"{JOB}*")]
        assert b'"sig":"1.old.' in await redis.get(tick)
        control = ScheduleControl(redis, settings)
        assert (await control.draft("nightly", 1)).mould.task == "nightly"

        # Another program declares the same schedule, for another job.
        (release,) = await redis.zrange(releases_key("rota"), 0, -1)
        key = f"{releases_key('rota')}:{release.decode()}"
        forged = (await redis.get(key)).replace(b'"task": "nightly"', b'"task": "forged"')
        await redis.set(key, forged)
        before = await redis.hget("rota:schedule:nightly", "definition")
        await scheduler.look(redis)
        assert await redis.hget("rota:schedule:nightly", "definition") == before
        await redis.hset("rota:schedule:nightly", "definition", before.replace(b"nightly", b"forged"))
        with pytest.raises(RefusedPayload):
            await control.draft("nightly", 1)


def test_the_keys_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{NEW}\n{OLD}\n")
    sealer = load({"PAYLOAD_KEYS_FILE": str(tmp_path / "keys"), "PAYLOAD_SIGNING": "on"}).sealer
    assert sealer is not None
    assert (sealer.ring.first.id, set(sealer.ring.keys)) == (b"new", {b"new", b"old"})


def test_settings_that_cannot_work_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for variables, why in [
        ({"PAYLOAD_SIGNING": "on"}, "PAYLOAD_SIGNING is on, which needs PAYLOAD_KEYS"),
        ({"PAYLOAD_KEYS": OLD, "PAYLOAD_ENCRYPTION": "on"}, "needs PAYLOAD_SIGNING to be on or required"),
        ({"PAYLOAD_KEYS": "old"}, "PAYLOAD_KEYS: a key is not `name:base64`"),
        ({"PAYLOAD_SIGNING": "always"}, "it must be one of: off, on, required"),
    ]:
        with pytest.raises(ConfigError, match=why):
            load(variables)
    monkeypatch.setattr("rota.settings.sealing.has_cipher", lambda: False)
    with pytest.raises(ConfigError, match=r"needs the package cryptography; install rota\[encryption\]"):
        load(ENCRYPTED)
    assert OLD not in repr(load(SIGNED))
    assert Settings().sealer is None
