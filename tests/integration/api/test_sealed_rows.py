"""What the API shows of sealed jobs, in Redis and in rows of the audit table, with the keys and without."""

from rota.api import shapes
from rota.api.archive import Row, opened
from rota.wire.envelopes import encode_job
from rota.wire.sealing.ring import Ring, new_key
from rota.wire.sealing.sealed import seal_job
from rota.wire.sealing.seals import Sealer
from rota.wire.sealing.values import seal_value
from tests.integration.api.serving import answering
from tests.servers import RedisServer

SEALER = Sealer(Ring.read(new_key("k")), signs=True, encrypts=True, requires=True)
PLAIN = encode_job("send", b'{"to":"ann"}', enqueued_ms=1)
NOTHING = dict.fromkeys(
    (
        *("progress", "message", "error", "enqueued_at", "due_at", "started_at", "finished_at"),
        *("worker", "reason", "tenant"),
    )
)


def row(payload: bytes, result: bytes) -> Row:
    """Return the row of a job that was completed."""
    named = {"id": "j1", "queue": "email", "name": "send", "status": "COMPLETED", "attempts": 1}
    return {**NOTHING, **named, "payload": payload.decode(), "result": result.decode()}


def test_a_row_is_opened_with_the_keys_and_says_why_it_is_not_without() -> None:
    payload = seal_job(SEALER, PLAIN, queue="email", job_id="j1")
    result = seal_value(SEALER, b'{"sent":true}', "result", "j1")
    shown = shapes.row(opened(row(payload, result), SEALER), frozenset({"payload"}))
    assert (shown["result"], shown["payload"]["k"]) == ({"sent": True}, {"to": "ann"})

    for found in (row(payload, result), row(PLAIN, result)):
        hidden = shapes.row(opened(found, None), frozenset({"payload"}))
        assert (hidden["result"], hidden["payload"]) == (None, None)
        assert "no PAYLOAD_KEYS" in hidden["refused"]
    # What was written before there were keys is as it was.
    old = row(PLAIN, b'"sent"')
    assert opened(old, None) == opened(old, SEALER) == old


def test_a_result_of_another_job_is_not_shown() -> None:
    moved = row(PLAIN, seal_value(SEALER, b"1", "result", "j2"))
    assert "forged" in shapes.row(opened(moved, SEALER))["refused"]


async def test_a_job_that_is_not_signed_as_it_must_be_is_shown_without_what_is_in_it(
    server: RedisServer,
) -> None:
    variables = {"PAYLOAD_KEYS": new_key("k"), "PAYLOAD_SIGNING": "required"}
    async with answering(server.url, works=False, **variables) as api:
        await api.client.redis.set("arq:job:j1", PLAIN)
        await api.client.redis.zadd("arq:queue:email", {"j1": 1})
        shown = (await api.http.get("/jobs/email/j1?include=payload")).json()
        assert (shown["state"], shown["payload"]) == ("waiting", None)
        assert "it is not signed" in shown["refused"]
        page = (await api.http.get("/ui/job?queue=email&id=j1")).text
        assert "It is not shown: it is not signed" in page
        assert "ann" not in page
