"""Rows of the audit table whose payloads and results are sealed, as the API shows them to those who have the keys."""

from rota.api import shapes
from rota.api.archive import Row, opened
from rota.wire.envelopes import encode_job
from rota.wire.sealing.ring import Ring, new_key
from rota.wire.sealing.sealed import seal_job
from rota.wire.sealing.seals import Sealer
from rota.wire.sealing.values import seal_value

SEALER = Sealer(Ring.read(new_key("k")), signs=True, encrypts=True, requires=True)
PLAIN = encode_job("send", b'{"to":"ann"}', enqueued_ms=1)
NOTHING = dict.fromkeys(
    ("progress", "message", "error", "enqueued_at", "due_at", "started_at", "finished_at", "reason", "tenant")
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
