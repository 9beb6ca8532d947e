"""Fix and retry: a dead letter comes back with other arguments, which its own type checks; the old ones are kept."""

import asyncio
import json
from datetime import date
from typing import Any

import pytest

import rota
from rota import (
    Client,
    Handle,
    InvalidPayload,
    JobNotFound,
    NotReplayed,
    RotaError,
    Run,
    State,
    each,
    job,
    per_minute,
    pipeline,
    unique,
)
from rota.cli.commands.jobs import retry
from rota.client.bulk.actions import Actions
from rota.errors import NoDeadLetter, RefusedPayload
from rota.model.bulk.actions import Action, Actor
from rota.testing import Bench
from rota.wire.envelopes import encode_job
from rota.wire.sealing.ring import Ring, new_key
from tests.integration.api.serving import answering
from tests.servers import RedisServer
from tests.waiting import until_job


@job(queue="email", max_attempts=1)
async def send(run: Run, to: str, *, on: date | None = None) -> str:
    if "@" not in to:
        raise ValueError(f"{to} is no address")
    return f"{to} {run.headers.get('tenant')}"


@job(queue="email")
async def other(run: Run) -> None: ...


@job(max_attempts=1, unique=unique(key="to"), limit=per_minute(5, key="to"))
async def welcome(run: Run, to: str) -> str:
    if "@" not in to:
        raise ValueError("no address")
    return to


@job(max_attempts=1)
async def readers(run: Run, city: str) -> list[str]:
    if city == "oslo":
        return ["ann@example.com", "bob"]
    raise ValueError("no such city")


newsletter = pipeline(readers, each(welcome))


async def dead(client: Client, *, to: str = "ann") -> Handle[Any]:
    """Return a letter of a mail that cannot be sent."""
    with rota.headers(tenant="acme"):
        handle = await client.enqueue(send.options(id="welcome", timeout=9), to)
    await until_job(handle, lambda info: info.state is State.DEAD)
    return handle


async def actions(client: Client) -> list[Action]:
    """Return the actions that were recorded."""
    return await Actions(client.redis, "rota").page()


async def test_a_letter_comes_back_with_other_arguments_and_all_else_its_own(client: Client) -> None:
    letter = await dead(client)
    handle = await client.retry("email", "welcome", call=send.call("ann@example.com", on=date(2026, 12, 1)))
    assert (handle.id, await handle.result(10)) == (letter.id, "ann@example.com acme")
    info = await handle.status()
    assert info.payload == {"to": "ann@example.com", "on": "2026-12-01"}
    (done,) = await actions(client)
    assert (done.action, done.target) == ("fix_and_retry", {"queue": "email", "id": letter.id})
    assert done.detail == {
        "before": {"to": "ann"},
        "after": {"to": "ann@example.com", "on": "2026-12-01"},
    }
    assert (done.actor.via, "@" in done.actor.id) == ("code", True)


async def test_what_is_wrong_changes_nothing(client: Client) -> None:
    await dead(client)
    wrong: Any = {"to": 7}
    with pytest.raises(InvalidPayload, match="to"):
        await client.retry("email", "welcome", call=send.call(**wrong))
    with pytest.raises(ValueError, match=r"is of email:send, and the arguments are for email:other"):
        await client.retry("email", "welcome", call=other.call())
    with pytest.raises(TypeError, match=r"send\.call"):
        await client.retry("email", "welcome", call=send)  # type: ignore[arg-type]
    with pytest.raises(JobNotFound):
        await client.retry("email", "none", call=send.call("a@b"))
    waiting = await client.enqueue(send.options(delay=60), "a@b")
    with pytest.raises(NoDeadLetter):
        await client.retry("email", waiting.id, call=send.call("a@b"))
    assert (await client.status("email", "welcome")).state is State.DEAD
    assert await actions(client) == []


async def test_limits_and_the_unique_key_are_those_of_the_new_arguments() -> None:
    with Bench([welcome]) as bench:
        letter = await bench.client.enqueue(welcome, "ann")
        await bench.drain()
        await bench.client.retry("default", letter.id, call=welcome.call("ann@example.com"))
        (terms,) = (await bench.client.redis.hgetall("arq:queue:default:terms")).values()
        assert terms.count(b"ann@example.com") == 2
        again = await bench.client.enqueue(welcome, "ann@example.com")
        assert (again.id, again.created) == (letter.id, False)
        assert (await bench.client.enqueue(welcome, "ann")).created


async def test_an_item_of_a_pipeline_is_fixed_and_a_stage_is_not() -> None:
    with Bench([readers, welcome]) as bench:
        lost = await bench.client.enqueue(newsletter, "rom")
        flow = await bench.client.enqueue(newsletter, "oslo")
        await bench.drain()
        stage, item = sorted(bench.dead, key=lambda info: info.task)
        with pytest.raises(NotReplayed, match="gets its arguments from its pipeline"):
            await bench.client.retry("default", stage.id, call=readers.call("oslo"))
        await bench.client.retry("default", item.id, call=welcome.call("bob@example.com"))
        await bench.drain()
        assert await flow.result() == ["ann@example.com", "bob@example.com"]
        assert (await lost.status()).state is State.DEAD


async def test_a_letter_that_somebody_else_changes_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench([send]) as bench:
        letter = await bench.client.enqueue(send, "ann")
        await bench.drain()
        fixing = bench.client._fixing
        read, key = fixing._letter, f"arq:queue:email:dead:{letter.id}"

        async def changed(queue: str, job_id: str) -> Any:
            found = await read(queue, job_id)
            other = encode_job("send", b'{"to":"eve"}', enqueued_ms=1)
            if found.payload != other:
                await bench.client.redis.hset(key, "payload", other)
            return found

        monkeypatch.setattr(fixing, "_letter", changed)
        await bench.client.retry("email", letter.id, call=send.call("ann@example.com"))
        (done,) = await actions(bench.client)
        assert done.detail["before"] == {"to": "eve"}


async def test_a_letter_that_cannot_be_read_is_fixed_by_its_name() -> None:
    with Bench([send]) as bench:
        letter = await bench.client.enqueue(send, "ann")
        await bench.drain()
        key = f"arq:queue:email:dead:{letter.id}"
        await bench.client.redis.hset(key, "payload", b"\x80\x04")
        await bench.client.retry("email", letter.id, call=send.call("ann@example.com"))
        await bench.drain()
        assert bench.results(send) == ["ann@example.com None"]
        other_letter = await bench.client.enqueue(send, "ann")
        await bench.drain()
        await bench.client.redis.hdel(f"arq:queue:email:dead:{other_letter.id}", "payload")
        with pytest.raises(NotReplayed, match="has no payload any more"):
            await bench.client.retry("email", other_letter.id, call=send.call("a@b"))


async def test_a_sealed_letter_is_opened_and_sealed_again() -> None:
    keys = Ring.read(new_key("k"))
    sealed = {"payload_keys": keys, "payload_signing": "required", "payload_encryption": True}
    with Bench([send], settings=sealed) as bench:
        letter = await bench.client.enqueue(send, "ann")
        await bench.drain()
        await bench.client.retry("email", letter.id, call=send.call("ann@example.com"))
        await bench.drain()
        assert bench.results(send) == ["ann@example.com None"]
        forged = await bench.client.enqueue(send, "ann")
        await bench.drain()
        key = f"arq:queue:email:dead:{forged.id}"
        await bench.client.redis.hset(key, "payload", encode_job("send", b"{}", enqueued_ms=1))
        with pytest.raises(RefusedPayload):
            await bench.client.retry("email", forged.id, call=send.call("a@b"))


async def test_the_api_says_what_is_wrong_where(client: Client, server: RedisServer) -> None:
    letter = await dead(client)
    path = f"/jobs/email/{letter.id}/retry"
    async with answering(server.url, send, works=False) as api:
        wrong = await api.post(path, {"payload": {"to": 7}})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/payload/to")
        assert (await api.post(path, {"options": {}})).status_code == 422
        assert (await api.post("/jobs/email/none/retry", {"payload": {}})).status_code == 404
        done = await api.post(path, {"payload": {"to": "ann@example.com", "on": "2026-12-01"}})
        assert (done.status_code, done.json()["id"]) == (202, letter.id)
        assert await letter.result(10) == "ann@example.com acme"
        again = await api.post(path, {"payload": {"to": "ann@example.com"}})
        assert (again.status_code, again.json()["type"]) == (409, "urn:rota:problem:wrong-state")
        assert (await actions(client))[0].actor.via == "api"
    letter = await dead(client)
    async with answering(server.url, other, works=False) as api:
        unknown = await api.post(path, {"payload": {"to": "a@b"}})
        assert (unknown.status_code, unknown.json()["type"]) == (409, "urn:rota:problem:unknown-here")
        assert (await api.post(path)).status_code == 202


async def test_the_command_shows_the_change_and_asks(
    client: Client,
    server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setenv("JOBS_PACKAGE", __name__)
    letter = await dead(client)

    async def run(**options: Any) -> None:
        await asyncio.to_thread(retry, "email", letter.id, **options)

    with pytest.raises(RotaError, match="Nobody is there to say so: --yes says it"):
        await run(changed='{"to": "ann@example.com"}')
    with pytest.raises(InvalidPayload):
        await run(changed='{"to": 7}', yes=True)
    with pytest.raises(RotaError, match="one of them only"):
        await run(changed="{}", edit=True)
    for editor, why in (("false", "ended with status 1"), ("no-such-editor", "ended with status 127")):
        monkeypatch.setenv("EDITOR", editor)
        with pytest.raises(RotaError, match=why):
            await run(edit=True)
    capsys.readouterr()
    monkeypatch.setenv("EDITOR", "sed -i s/ann/ann@example.com/")
    await run(edit=True, yes=True)
    said = capsys.readouterr()
    assert '-  "to": "ann"\n+  "to": "ann@example.com"\n' in said.err
    assert said.out == f"{letter.id} brought back\n"
    assert await letter.result(10) == "ann@example.com acme"
    (done,) = await actions(client)
    assert done.actor.via == "cli"
    assert json.loads(json.dumps(done.detail))["before"] == {"to": "ann"}


async def test_who_acts_is_written_down(client: Client) -> None:
    letter = await dead(client)
    await client.retry("email", letter.id, call=send.call("a@b"), by=Actor("api", "k1", "Ann"))
    assert (await actions(client))[0].actor == Actor("api", "k1", "Ann")
