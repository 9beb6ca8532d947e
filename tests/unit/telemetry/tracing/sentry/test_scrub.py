"""Scrubbing: secrets and arguments leave Sentry's events, and the rest stays."""

from typing import Any

import pytest

from rota.telemetry.tracing.sentry.scrub import FILTERED, PAYLOAD, Scrubber, values_of
from rota.wire.envelopes import encode_job

SCRUBBER = Scrubber(["s3cret-of-redis", "short"])


def scrubbed(event: Any, arguments: bytes = b"{}") -> Any:
    token = PAYLOAD.set(encode_job("greet", arguments, enqueued_ms=1, headers={"traceparent": "0" * 40}))
    try:
        return SCRUBBER.event(event)
    finally:
        PAYLOAD.reset(token)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("redis://ann:hunter@2@host:1/0 is gone", "redis://[Filtered]@host:1/0 is gone"),
        ("GET https://x.example/a?key=1&b=2#c", "GET https://x.example/a?[Filtered]#c"),
        ("Authorization: Bearer abcdef.123", "Authorization: [Filtered] [Filtered]"),
        ("sent bearer abcdef.123-x", "sent bearer [Filtered]"),
        ("{'password': 'a b', \"api_key\": \"x y\"}", "{'password': [Filtered], \"api_key\": [Filtered]}"),
        (
            "db_password=abc, access_token = xyz; done",
            "db_password=[Filtered], access_token = [Filtered]; done",
        ),
        ("with s3cret-of-redis in it, in short", "with [Filtered] in it, in short"),
        (
            "1 error [type=x, input_value='a, b', input_type=str]",
            "1 error [type=x, input_value=[Filtered], input_type=str]",
        ),
        ("no customer 17: the line is busy", "no customer 17: the line is busy"),
        ("see https://docs.example/errors#e1", "see https://docs.example/errors#e1"),
    ],
)
def test_secrets_are_taken_out_of_words_that_stay(text: str, left: str) -> None:
    assert scrubbed({"message": text}) == {"message": left}


def test_what_a_job_was_given_is_taken_out_where_an_error_repeats_it() -> None:
    event = {
        "exception": {
            "values": [{"type": "ValueError", "value": "no ann@example.com, 12345678 or 'it\\'s ann'"}]
        }
    }
    arguments = b'{"to":[{"email":"ann@example.com"}],"number":12345678,"who":"\'it\'s ann\'","n":17}'
    (value,) = scrubbed(event, arguments)["exception"]["values"]
    assert "ann" not in value["value"].replace("'it\\'s ann'", "")
    assert "12345678" not in value["value"]


def test_names_that_an_argument_equals_are_left() -> None:
    event = {
        "environment": "production",
        "tags": {"task": "production"},
        "contexts": {"job": {"id": "production"}},
        "extra": {"in": "production"},
    }
    expected = {**event, "extra": {"in": FILTERED}}
    assert scrubbed(event, b'{"where":"production"}') == expected


def test_what_is_named_like_a_secret_is_taken_out_whole() -> None:
    event = {"extra": {"Set-Cookie": "a", "http.query": "q=1", "input_tokens": 12, "author": "ann"}}
    assert scrubbed(event) == {
        "extra": {"Set-Cookie": FILTERED, "http.query": FILTERED, "input_tokens": 12, "author": "ann"}
    }


def test_the_parameters_of_a_log_line_are_not_sent_beside_it() -> None:
    event = {"logentry": {"message": "to %s", "formatted": "to redis://:x@h", "params": ["x"]}}
    assert scrubbed(event) == {"logentry": {"message": "to %s", "formatted": "to redis://[Filtered]@h"}}


def test_short_values_are_words_like_others() -> None:
    assert list(values_of(encode_job("a", b'{"b":["short", 17, true, null]}', enqueued_ms=1))) == []


@pytest.mark.parametrize("payload", [b"", b"\x80\x04", b"[]", b'{"a":3,"k":"long enough"}'])
def test_a_payload_of_any_other_form_does_no_harm(payload: bytes) -> None:
    assert set(values_of(payload)) <= {"long enough"}
