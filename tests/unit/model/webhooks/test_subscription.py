"""Webhooks as values: which events each is told of, what a message says, and how it is signed."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from rota import EventType, JobError, StreamEvent
from rota.model.webhooks.signing import new_secret, signature, signed_headers
from rota.model.webhooks.subscription import Subscription, body_of, message_of

AT = datetime(2026, 7, 1, tzinfo=UTC)
EVENT = StreamEvent(
    position="1782864000000-0.3", at=AT, type=EventType.COMPLETED, queue="email", id="1", task="send"
)
HOOK = Subscription(id="wh_0123456789abcdef", url="https://example.com/", secret=new_secret())


@pytest.mark.parametrize(
    ("hook", "event", "is_told"),
    [
        ({}, {}, True),
        ({}, {"type": EventType.DEAD}, True),
        ({}, {"type": EventType.CANCELLED}, True),
        ({}, {"type": EventType.STARTED}, False),
        ({"events": ("job.dead",)}, {}, False),
        ({"queues": ("email",)}, {}, True),
        ({"queues": ("video",)}, {}, False),
        ({"jobs": ("email:send",)}, {}, True),
        ({"jobs": ("send",)}, {}, False),
        ({"since_ms": 1_782_864_000_001}, {}, False),
        ({"tenant": "acme"}, {}, False),
        ({"tenant": "acme"}, {"tenant": "acme"}, True),
        ({"chosen_only": True}, {}, False),
        ({"chosen_only": True, "queues": ("video",)}, {"webhook": HOOK.id}, True),
        ({"chosen_only": True, "tenant": "acme"}, {"webhook": HOOK.id}, False),
        ({}, {"webhook": "wh_f123456789abcdef"}, True),
        # A run of a pipeline as a whole, and a job of rota's own.
        ({}, {"queue": ""}, False),
        ({}, {"task": "_webhook"}, False),
    ],
)
def test_who_is_told_of_what(hook: dict[str, Any], event: dict[str, Any], is_told: bool) -> None:
    assert replace(HOOK, **hook).wants(replace(EVENT, **event)) is is_told


def test_a_message_says_what_happened_to_which_job() -> None:
    error = JobError("ValueError", "no")
    body = json.loads(
        body_of(replace(EVENT, type=EventType.DEAD, reason="failed", error=error, id="a\udcff"))
    )
    assert (body["type"], body["timestamp"]) == ("job.dead", "2026-07-01T00:00:00Z")
    assert body["data"] == {
        **{"id": "a\\xff", "queue": "email", "name": "email:send", "tenant": None, "state": "dead"},
        **{"attempt": 0, "reason": "failed", "error": {"type": "ValueError", "message": "no"}},
    }
    assert message_of(EVENT) == "msg_1782864000000_0_3"


def test_a_signature_is_the_one_of_the_specification() -> None:
    secret, message = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(secret, message, 1614265330, b'{"test": 2432232314}') == right
    headers = signed_headers((secret, new_secret()), message, 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"].split()[0] == right
    assert len(set(headers["webhook-signature"].split())) == 2
    assert len({new_secret() for _ in range(3)}) == 3


def test_an_old_secret_signs_until_its_time_is_over() -> None:
    rotated = HOOK.rotated(1000, 500)
    assert rotated.secrets_at(1499) == (rotated.secret, HOOK.secret)
    assert rotated.secrets_at(1500) == (rotated.secret,)


def test_a_record_is_read_as_it_was_written_and_garbage_is_none() -> None:
    hook = replace(
        HOOK, tenant="acme", queues=("email",), created_ms=7, since_ms=8, old_secret="x", old_until_ms=9
    )
    assert Subscription.read(hook.id, hook.write()) == hook
    off = Subscription.read(hook.id, hook.write(), b"99999999999999999999 the receiver answers 410")
    assert off is not None
    assert (off.off, off.off_ms) == ("the receiver answers 410", 253_402_300_799_999)
    whole = json.loads(hook.write())
    changed = [json.dumps(whole | {name: {}}).encode() for name in ("tenant", "since_ms")]
    for wrong in (b"", b"[]", b"7", b"{}", b"\xff", *changed):
        assert Subscription.read(hook.id, wrong) is None
