import asyncio
import json
import pickle
import random
from asyncio import CancelledError
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from arq.connections import ArqRedis
from arq.constants import job_key_prefix, result_key_prefix
from arq.jobs import Job, SerializationError, deserialize_job_raw, serialize_job, serialize_result
from fakeredis import FakeAsyncRedis
from hypothesis import given, settings
from hypothesis import strategies as st

from rota.errors import Cancel, InvalidPayload, JobError, UnreadablePayload
from rota.model.payload.payload import PayloadType, ResultType
from rota.wire.envelopes import (
    HEAD,
    Envelope,
    decode_headers,
    decode_job,
    encode_headers,
    encode_job,
    job_deserializer,
    job_serializer,
    preview,
    with_headers,
)
from rota.wire.results import decode_result, encode_error, encode_result, error_of

NOW = 1_700_000_000_000
OURS = encode_job(
    "write_script",
    b'{"user_id":"u1","n":[1,2.5,null]}',
    enqueued_ms=NOW,
    options={"timeout": 5.0},
    headers={"traceparent": "00-1"},
)


def stock(*args: Any, **kwargs: Any) -> bytes:
    return serialize_job("greet", args, kwargs, None, NOW, serializer=job_serializer)


def record(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "attempt": 2,
        "name": "greet",
        "arguments": b'{"who":"x"}',
        "enqueued_ms": NOW,
        "success": True,
        "result": b'"hello"',
        "started_ms": NOW + 1,
        "finished_ms": NOW + 2,
        "queue": "arq:queue:default",
        "id": "7",
    }
    return encode_result(**{**fields, **changes})


def test_our_jobs_begin_with_a_fixed_head_and_the_name() -> None:
    assert OURS == (
        b'{"v":1,"f":"write_script","t":null,"a":[],"k":{"user_id":"u1","n":[1,2.5,null]},"et":1700000000000,'
        b'"o":{"timeout":5.0},"h":{"traceparent":"00-1"}}'
    )
    assert OURS.startswith(HEAD)


def test_a_job_without_options_and_headers_is_short() -> None:
    assert encode_job("a", b"{}", enqueued_ms=1) == b'{"v":1,"f":"a","t":null,"a":[],"k":{},"et":1}'


def test_headers_that_are_added_later_are_as_those_that_were_there_at_once() -> None:
    headers = {"traceparent": '00-é"-01', "baggage": "a=1"}
    plain = encode_job("a", b'{"b":"}"}', enqueued_ms=1, options={"max_attempts": 2})
    at_once = encode_job("a", b'{"b":"}"}', enqueued_ms=1, options={"max_attempts": 2}, headers=headers)
    assert with_headers(plain, headers) == at_once
    assert with_headers(plain, {}) == plain


def test_headers_by_themselves_come_back_as_they_were() -> None:
    headers = {"__error__": "of a sender's own", "traceparent": "00-é"}
    assert decode_headers(encode_headers(headers)) == headers
    assert decode_headers(encode_headers({"__error__": "alone"})) == {"__error__": "alone"}
    with pytest.raises(UnreadablePayload, match="an object of texts"):
        decode_headers(b'{"x":1}')


def test_our_job_is_read_back() -> None:
    assert decode_job(OURS) == Envelope(
        name="write_script",
        args=[],
        kwargs={"user_id": "u1", "n": [1, 2.5, None]},
        enqueued_ms=NOW,
        tries=None,
        options={"timeout": 5.0},
        headers={"traceparent": "00-1"},
        ours=True,
    )


def test_a_name_that_jobs_cannot_have_is_not_written() -> None:
    with pytest.raises(ValueError, match="job name"):
        encode_job('x","f":"y', b"{}", enqueued_ms=1)


def test_a_stock_clients_job_is_read() -> None:
    envelope = decode_job(stock(1, (2, 3), who="x"))
    assert envelope == Envelope("greet", [1, [2, 3]], {"who": "x"}, NOW, None, {}, {}, ours=False)


def test_a_stock_worker_reads_our_job() -> None:
    name, args, kwargs, tries, enqueued = deserialize_job_raw(OURS, deserializer=job_deserializer)
    assert (name, list(args), kwargs["user_id"], enqueued) == ("write_script", [], "u1", NOW)
    assert tries is None


def test_values_without_a_json_form_of_their_own_travel_as_text() -> None:
    kwargs = decode_job(
        stock(
            when=datetime(2030, 1, 1, tzinfo=UTC),
            key=UUID(int=7),
            price=Decimal("1.10"),
            raw=b"\xff",
            ratio=float("nan"),
        )
    ).kwargs
    assert kwargs == {
        "when": "2030-01-01T00:00:00Z",
        "key": "00000000-0000-0000-0000-000000000007",
        "price": "1.10",
        "raw": "_w==",
        "ratio": "NaN",
    }


LOOKALIKES: list[Any] = [
    {"__error__": {"type": "ValueError", "message": "mine"}},
    {"__cancelled__": "mine"},
    {"__escaped__": {"__error__": 1}},
    [{"deep": {"__error__": {"__cancelled__": "x"}}}],
]


@pytest.mark.parametrize("value", LOOKALIKES)
def test_a_users_lookalike_of_a_mark_is_an_ordinary_value_everywhere(value: Any) -> None:
    arguments = json.dumps({"value": value}).encode()
    job = encode_job("a", arguments, enqueued_ms=1)
    assert decode_job(job).kwargs == {"value": value}
    assert job_deserializer(job)["k"] == {"value": value}
    assert decode_job(stock(value, value=value)).args == [value]
    written = record(result=json.dumps(value).encode(), arguments=decode_job(job))
    assert decode_result(written).result == value
    assert decode_result(written).kwargs == {"value": value}
    assert job_deserializer(written)["r"] == value
    assert job_deserializer(written)["k"] == {"value": value}


def test_an_argument_named_like_a_mark_is_an_ordinary_argument() -> None:
    assert decode_job(encode_job("a", b'{"__error__":1}', enqueued_ms=1)).kwargs == {"__error__": 1}


UNREADABLE = {
    "empty": b"",
    "not json": b"hello",
    "pickle": pickle.dumps({"t": None, "f": "a", "a": (), "k": {}, "et": 1}),
    "no object": b"[1]",
    "a number": b"5",
    "no fields": b"{}",
    "name": b'{"f":5,"t":null,"a":[],"k":{},"et":1}',
    "name unhashable": b'{"f":[],"t":null,"a":[],"k":{},"et":1}',
    "arguments": b'{"f":"a","t":null,"a":{},"k":{},"et":1}',
    "keywords": b'{"f":"a","t":null,"a":[],"k":[],"et":1}',
    "time of text": b'{"f":"a","t":null,"a":[],"k":{},"et":"1"}',
    "time of truth": b'{"f":"a","t":null,"a":[],"k":{},"et":true}',
    "time of fractions": b'{"f":"a","t":null,"a":[],"k":{},"et":1.5}',
    "time negative": b'{"f":"a","t":null,"a":[],"k":{},"et":-1}',
    "time past all dates": b'{"f":"a","t":null,"a":[],"k":{},"et":253402300800000}',
    "time huge": b'{"f":"a","t":null,"a":[],"k":{},"et":' + b"9" * 5_000 + b"}",
    "tries of text": b'{"f":"a","t":"1","a":[],"k":{},"et":1}',
    "options": b'{"f":"a","t":null,"a":[],"k":{},"et":1,"o":[]}',
    "headers": b'{"f":"a","t":null,"a":[],"k":{},"et":1,"h":{"x":1}}',
    "nan": b'{"f":"a","t":null,"a":[NaN],"k":{},"et":1}',
    "deep": b'{"f":"a","t":null,"a":' + b"[" * 5_000 + b"]" * 5_000 + b',"k":{},"et":1}',
    "invalid utf-8": b'{"f":"a","t":null,"a":["\xff"],"k":{},"et":1}',
    "half a surrogate": b'{"f":"a","t":null,"a":["\\ud800"],"k":{},"et":1}',
    "later format": b'{"v":2,"f":"a","t":null,"a":[],"k":{},"et":1}',
    "two names": b'{"v":1,"f":"a","t":null,"a":[],"k":{},"et":1,"f":"b"}',
    "cut short": OURS[:-1],
    "two jobs": OURS + OURS,
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_anything_else_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadablePayload):
        decode_job(raw)


def readable_or_unreadable(raw: bytes) -> None:
    """Fail the test for any exception other than UnreadablePayload."""
    for decode in (decode_job, decode_result, job_deserializer):
        try:
            decode(raw)
        except UnreadablePayload:
            continue


def test_a_hundred_thousand_damaged_payloads_are_read_or_unreadable() -> None:
    chance = random.Random(20)
    samples = [
        OURS,
        stock(1, who={"__error__": 1}),
        record(),
        record(success=False, result=b'{"__error__":5}'),
    ]
    for _ in range(100_000 // 3):
        raw = bytearray(chance.choice(samples))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(raw))
            raw[at : at + chance.randint(0, 3)] = chance.choice(
                [
                    b"",
                    b"\x00",
                    b"\xff",
                    b'"',
                    b"{",
                    b"[",
                    b"]",
                    b"null",
                    b"9" * 20,
                    b"-",
                    b"\\u",
                    b"1e999",
                    b"true",
                ]
            )
        readable_or_unreadable(bytes(raw))


@settings(database=None, deadline=None, max_examples=300)
@given(raw=st.binary())
def test_any_bytes_are_read_or_unreadable(raw: bytes) -> None:
    readable_or_unreadable(raw)


FIELDS = [
    "v",
    "f",
    "t",
    "a",
    "k",
    "et",
    "o",
    "h",
    "s",
    "r",
    "st",
    "ft",
    "q",
    "id",
    "__error__",
    "__escaped__",
]


def values(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | numbers | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3)
        ),
        max_leaves=10,
    )


@settings(database=None, deadline=None, max_examples=500)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), values(st.floats())))
def test_any_fields_are_read_or_unreadable(fields: dict[str, Any]) -> None:
    readable_or_unreadable(json.dumps(fields).encode())


@settings(database=None, deadline=None)
@given(kwargs=st.dictionaries(st.text(), values(st.floats(allow_nan=False, allow_infinity=False))))
def test_any_arguments_come_back_as_they_went(kwargs: dict[str, Any]) -> None:
    raw = json.dumps(kwargs, ensure_ascii=False).encode()
    assert decode_job(encode_job("a", raw, enqueued_ms=1)).kwargs == kwargs


def echo(run, value): ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize("level", [lambda inner: [inner], lambda inner: {"__error__": inner}])
def test_whatever_depth_the_enqueue_takes_the_worker_and_the_reader_read(level: Any) -> None:
    value, taken = None, 0
    for _ in range(210):
        value = level(value)
        try:
            arguments = PayloadType(echo).bind([value])
        except InvalidPayload:
            continue
        envelope = decode_job(encode_job("a", arguments, enqueued_ms=1))
        assert envelope.kwargs == {"value": value}
        result = ResultType(echo).dump(value)
        assert decode_result(record(arguments=envelope, result=result)).result == value
        taken += 1
    assert 90 < taken < 210


def test_a_final_record_is_read_back() -> None:
    found = decode_result(record())
    assert (found.attempt, found.name, found.args, found.kwargs) == (2, "greet", [], {"who": "x"})
    assert (found.enqueued_ms, found.started_ms, found.finished_ms) == (NOW, NOW + 1, NOW + 2)
    assert (found.success, found.result, found.error, found.cancelled) == (True, "hello", None, False)
    assert (found.queue, found.id) == ("arq:queue:default", "7")


def test_a_final_record_takes_the_arguments_of_an_envelope() -> None:
    found = decode_result(record(arguments=decode_job(stock(1, [2], who="x"))))
    assert (found.args, found.kwargs) == ([1, [2]], {"who": "x"})


def test_a_failed_record_holds_the_error() -> None:
    found = decode_result(record(success=False, result=encode_error(ValueError("boom"))))
    assert isinstance(found.error, JobError)
    assert str(found.error) == "ValueError: boom"
    assert (found.success, found.result, found.cancelled) == (False, None, False)


@pytest.mark.parametrize("error", [CancelledError("by hand"), Cancel("by hand")])
def test_a_cancelled_record_says_so(error: BaseException) -> None:
    found = decode_result(record(success=False, result=encode_error(error)))
    assert (found.cancelled, found.error, found.success) == (True, None, False)


def test_a_stock_workers_record_is_read() -> None:
    raw = _stock_result(False, ValueError("boom"))
    assert str(decode_result(raw).error) == "ValueError: boom"


def test_the_note_of_a_stock_worker_whose_result_was_no_json_is_the_error() -> None:
    found = decode_result(_stock_result(True, object()))
    assert str(found.error) == "SerializationError: unable to serialize result"


def _stock_result(success: bool, result: Any) -> bytes:
    raw = serialize_result(
        "greet",
        (),
        {},
        1,
        NOW,
        success,
        result,
        NOW,
        NOW,
        "7:greet",
        "arq:queue",
        "7",
        serializer=job_serializer,
    )
    assert raw is not None
    return raw


@dataclass
class Coded(Exception):
    code: int


def test_an_exception_that_is_a_dataclass_besides_is_an_error_still() -> None:
    error = job_deserializer(_stock_result(False, Coded(5)))["r"]
    assert isinstance(error, JobError)
    assert error.type.endswith("Coded")


def test_a_value_that_json_cannot_carry_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="object has no form in JSON"):
        job_serializer({"r": object()})
    with pytest.raises(SerializationError):
        stock(object())


def test_what_encode_error_wrote_is_read_back() -> None:
    assert str(error_of(encode_error(ValueError("boom")))) == "ValueError: boom"
    assert error_of(encode_error(CancelledError("x"))).type == "CancelledError"
    assert error_of(b"junk").type == "unknown"


def test_a_preview_is_short_and_in_hexadecimal() -> None:
    assert preview(b"\x80\x04", 8) == "8004"
    assert preview(b"\xff" * 100, 4) == "ffffffff…"


@pytest.fixture
async def redis() -> ArqRedis:
    server = FakeAsyncRedis()
    return ArqRedis(
        connection_pool=server.connection_pool,
        job_serializer=job_serializer,
        job_deserializer=job_deserializer,
    )


async def test_a_stock_handle_reads_our_job(redis: ArqRedis) -> None:
    await redis.set(job_key_prefix + "7", OURS)
    info = await Job("7", redis, _deserializer=job_deserializer).info()
    assert info is not None
    assert (info.function, info.kwargs["user_id"]) == ("write_script", "u1")
    assert info.enqueue_time == datetime.fromtimestamp(NOW / 1000, UTC)


async def test_a_stock_handle_reads_our_results(redis: ArqRedis) -> None:
    job = Job("7", redis, _deserializer=job_deserializer)
    await redis.set(result_key_prefix + "7", record())
    assert await job.result(timeout=1) == "hello"
    info = await job.result_info()
    assert info is not None
    assert (info.job_try, info.queue_name, info.job_id) == (2, "arq:queue:default", "7")


async def test_a_stock_handle_raises_our_errors(redis: ArqRedis) -> None:
    await redis.set(result_key_prefix + "7", record(success=False, result=encode_error(ValueError("boom"))))
    with pytest.raises(JobError, match="ValueError: boom"):
        await Job("7", redis, _deserializer=job_deserializer).result(timeout=1)


async def test_a_stock_abort_of_a_job_that_we_cancelled_is_true(redis: ArqRedis) -> None:
    await redis.set(
        result_key_prefix + "7", record(success=False, result=encode_error(asyncio.CancelledError()))
    )
    assert await Job("7", redis, _deserializer=job_deserializer).abort(timeout=1) is True


async def test_our_reader_takes_what_a_stock_client_enqueued(redis: ArqRedis) -> None:
    job = await redis.enqueue_job("greet", 1, who="x")
    assert job is not None
    raw = await redis.get(job_key_prefix + job.job_id)
    assert (decode_job(raw).name, decode_job(raw).args, decode_job(raw).ours) == ("greet", [1], False)
