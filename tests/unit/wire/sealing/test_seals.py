"""Seals: what is changed, moved or forged is refused, and a key can be replaced while jobs wait."""

import hmac
import random

import pytest

from rota.errors import RefusedPayload
from rota.wire import envelopes, results
from rota.wire.sealing.ring import Hmac, Ring, new_key
from rota.wire.sealing.sealed import seal_job, seal_record, unseal_job, unseal_record
from rota.wire.sealing.seals import Place, Sealer, is_encrypted

FIRST, SECOND = new_key("first"), new_key("second")
SIGNS = Sealer(Ring.read(FIRST), signs=True, requires=True)
ENCRYPTS = Sealer(Ring.read(FIRST), signs=True, encrypts=True, requires=True)
BOTH = pytest.mark.parametrize("sealer", [SIGNS, ENCRYPTS], ids=["signed", "encrypted"])

PLAIN = envelopes.encode_job("send", b'{"to":"ann"}', enqueued_ms=1_700_000_000_000)
RECORD = results.encode_result(
    attempt=1,
    name="send",
    arguments=b'{"to":"ann"}',
    enqueued_ms=1_700_000_000_000,
    success=True,
    result=b'{"sent":true}',
    started_ms=1_700_000_000_001,
    finished_ms=1_700_000_000_002,
    queue="arq:queue:email",
    id="j1",
)


def sealed(sealer: Sealer, raw: bytes = PLAIN) -> bytes:
    return seal_job(sealer, raw, queue="email", job_id="j1")


def opened(sealer: Sealer, raw: bytes) -> bytes:
    return unseal_job(sealer, raw, queue="email", job_id="j1")


def reason_of(sealer: Sealer, raw: bytes) -> str:
    with pytest.raises(RefusedPayload) as refused:
        opened(sealer, raw)
    return refused.value.reason


def is_refused(sealer: Sealer, raw: bytes) -> bool:
    try:
        opened(sealer, raw)
    except RefusedPayload:
        return True
    return False


@BOTH
def test_what_was_sealed_is_opened_as_it_was(sealer: Sealer) -> None:
    assert opened(sealer, sealed(sealer)) == PLAIN
    kept = seal_record(sealer, RECORD, queue="email", job_id="j1")
    assert unseal_record(sealer, kept, queue="email", job_id="j1") == RECORD


def test_a_signed_job_can_be_read_by_a_program_without_a_key() -> None:
    envelope = envelopes.decode_job(sealed(SIGNS))
    assert (envelope.name, envelope.kwargs, envelope.ours) == ("send", {"to": "ann"}, True)
    record = results.decode_result(seal_record(SIGNS, RECORD, queue="email", job_id="j1"))
    assert record.result == {"sent": True}


def test_of_an_encrypted_job_its_name_and_time_can_be_read_and_nothing_else() -> None:
    raw = sealed(ENCRYPTS)
    assert raw.startswith(envelopes.HEAD + b'send","t":')  # by which scripts know it
    assert b'"ann"' not in raw
    assert is_encrypted(raw)
    envelope = envelopes.outlined(raw)
    assert (envelope.name, envelope.enqueued_ms, envelope.kwargs) == ("send", 1_700_000_000_000, {})
    with pytest.raises(RefusedPayload, match="no PAYLOAD_KEYS"):
        envelopes.open_job(raw)
    kept = seal_record(ENCRYPTS, RECORD, queue="email", job_id="j1")
    assert b"ann" not in kept
    record = results.decode_result(kept)
    assert (record.success, record.result, record.kwargs, record.is_encrypted) == (True, None, {}, True)


@BOTH
def test_every_byte_of_fifty_payloads_counts(sealer: Sealer) -> None:
    rand = random.Random(7)
    for number in range(50):
        text = "".join(rand.choices('abc"\\é{}, :', k=rand.randrange(30)))
        raw = envelopes.encode_job(
            "send",
            envelopes.encode_headers({"to": text, "sig": "1.first.x", "enc": "x"}),
            enqueued_ms=number,
            headers={"tenant": "acme"} if number % 2 else {},
        )
        whole = sealed(sealer, raw)
        assert opened(sealer, whole) == raw
        for at in range(len(whole)):
            flipped = whole[:at] + bytes([whole[at] ^ (1 << rand.randrange(8))]) + whole[at + 1 :]
            assert is_refused(sealer, flipped)
        for cut in (whole[:-1], whole[1:], whole + b" ", whole * 2, b""):
            assert is_refused(sealer, cut)


@BOTH
def test_a_payload_that_was_moved_is_refused(sealer: Sealer) -> None:
    raw = sealed(sealer)
    for queue, job_id in [
        ("email", "j2"),
        ("reports", "j1"),
        ("emai", "lj1"),  # its parts run together are the same text
    ]:
        with pytest.raises(RefusedPayload, match="moved from another id, queue or tenant"):
            unseal_job(sealer, raw, queue=queue, job_id=job_id)
    # A seal of a job does not fit a record.
    with pytest.raises(RefusedPayload):
        unseal_record(sealer, seal_job(sealer, PLAIN, queue="email", job_id="j1"), queue="email", job_id="j1")


def test_a_seal_of_one_kind_is_none_of_the_other() -> None:
    assert reason_of(SIGNS, sealed(SIGNS).replace(b'"1.', b'"1e.')) == "bad_signature"
    assert reason_of(SIGNS, sealed(ENCRYPTS).replace(b'"1e.', b'"1.')) == "bad_signature"


def test_what_has_no_seal_is_refused_where_one_is_required() -> None:
    for raw in (PLAIN, b'{"f":"send","a":[],"k":{},"et":1,"t":null}', b"\x80\x04.", b"", b'{"sig":"x"}'):
        assert reason_of(SIGNS, raw) == "unsigned"
    lenient = Sealer(Ring.read(FIRST), signs=True)
    assert opened(lenient, PLAIN) == PLAIN
    # A seal that is there must fit all the same.
    assert reason_of(lenient, PLAIN[:-1] + b',"sig":"1.first.x"}') == "bad_signature"


def test_a_process_that_signs_nothing_opens_what_others_have_signed() -> None:
    off = Sealer(Ring.read(FIRST), signs=False)
    assert sealed(off) == PLAIN
    assert opened(off, sealed(SIGNS)) == opened(off, sealed(ENCRYPTS)) == opened(off, PLAIN) == PLAIN


@pytest.mark.parametrize("encrypts", [False, True])
def test_a_key_is_replaced_in_three_steps(encrypts: bool) -> None:
    old, both, turned, new = (
        Sealer(Ring.read(keys), signs=True, encrypts=encrypts, requires=True)
        for keys in (FIRST, f"{FIRST} {SECOND}", f"{SECOND},{FIRST}", SECOND)
    )
    # At each step of a deploy some processes are a step behind: each reads what the other writes.
    for one, other in [(old, both), (both, turned), (turned, new)]:
        assert opened(one, sealed(other)) == opened(other, sealed(one)) == PLAIN
    # Two steps at once would have been one too many.
    with pytest.raises(
        RefusedPayload, match="sealed with the key second, which PAYLOAD_KEYS of this process lacks"
    ):
        opened(old, sealed(turned))
    assert reason_of(new, sealed(old)) == "unknown_key"


def test_a_seal_alone_can_be_kept_beside_its_text() -> None:
    place = Place("schedule", "email", "nightly")
    raw = b'{"task":"send"}'
    signature = ENCRYPTS.signature(raw, place)
    SIGNS.check(raw, signature, place)
    for other, seal in [
        (b'{"task":"sens"}', signature),
        (raw, signature[:-1]),
        (raw, ""),
        (raw, "é"),
        (raw, '"'),
    ]:
        with pytest.raises(RefusedPayload):
            SIGNS.check(other, seal, place)


def test_a_ring_that_cannot_be_read_says_why_and_shows_no_secret() -> None:
    secret = FIRST.partition(":")[2]
    for text, why in [
        (secret, "is not `name:base64`"),
        (f"a b:{secret}", "is not `name:base64`"),
        (f"é:{secret}", "names no key"),
        (f"first:{secret[:-8]}", "has 27 bytes and must have 32"),
        ("first:???", "is not base64"),
        (f"{FIRST} {FIRST}", "is there twice"),
        ("", "is not `name:base64`"),
    ]:
        with pytest.raises(ValueError, match=why) as wrong:
            Ring.read(text)
        assert secret[:20] not in str(wrong.value)
    assert secret not in repr(Ring.read(FIRST))
    # As other programs write base64.
    other = Ring.read(FIRST.replace("+", "-").replace("/", "_").rstrip("="))
    assert other.first.sign.digest(b"x") == Ring.read(FIRST).first.sign.digest(b"x")


def test_the_code_is_hmac_sha256() -> None:
    for secret in (b"", b"s" * 32, b"s" * 64):
        assert Hmac(secret).digest(b"a", b"bc") == hmac.digest(secret, b"abc", "sha256")


def test_what_stays_readable_of_a_job_is_the_same_however_its_arguments_look() -> None:
    for arguments in (b'{"et":5}', b'{"a":1,"et":5}', b'{"a":[],"tenant":"x"}'):
        for headers in ({}, {"et": "7", "a": "b"}, {"tenant": "acme"}):
            raw = envelopes.encode_job("send", arguments, enqueued_ms=17, headers=headers)
            found = envelopes.outlined(sealed(ENCRYPTS, raw))
            tenant = {name: text for name, text in headers.items() if name == "tenant"}
            assert (found.name, found.enqueued_ms, found.headers) == ("send", 17, tenant)
