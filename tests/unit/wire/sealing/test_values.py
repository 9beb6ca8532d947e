"""Sealed results and inputs: each place of a list takes what the job of that place has returned, and nothing else."""

import pytest

from rota.errors import RefusedPayload
from rota.wire.sealing.ring import Ring, new_key
from rota.wire.sealing.sealed import stage_of, unseal_job
from rota.wire.sealing.seals import Sealer
from rota.wire.sealing.values import Kind, open_last, open_own, open_stage, seal_value, unsigned

KEY = new_key("k")
SIGNS = Sealer(Ring.read(KEY), signs=True, requires=True)
ENCRYPTS = Sealer(Ring.read(KEY), signs=True, encrypts=True, requires=True)
LENIENT = Sealer(Ring.read(KEY), signs=True)
BOTH = pytest.mark.parametrize("sealer", [SIGNS, ENCRYPTS], ids=["signed", "encrypted"])


def value(raw: bytes, job_id: str, kind: Kind = "result", sealer: Sealer = SIGNS) -> bytes:
    return seal_value(sealer, raw, kind, job_id)


def is_refused(raw: bytes, *, stage: int = 0, is_list: bool = False) -> bool:
    try:
        open_stage(SIGNS, raw, "f", stage, is_list=is_list)
    except (RefusedPayload, ValueError):
        return True
    return False


@BOTH
def test_a_value_is_opened_as_it_was(sealer: Sealer) -> None:
    raw = b'{"a":["\\u00e9",1.0,null]}'
    assert open_stage(sealer, value(raw, "f.0.0", sealer=sealer), "f", 0, is_list=False) == raw
    assert open_own(sealer, value(raw, "f", "in", sealer), "in", "f") == raw
    assert open_last(sealer, value(raw, "f.3.0", "last", sealer), "f", is_list=False) == raw
    two = b"[%b,null,%b]" % (value(b"1", "f.0.0", sealer=sealer), value(b'"b"', "f.0.2", sealer=sealer))
    assert open_stage(sealer, two, "f", 0, is_list=True) == b'[1,null,"b"]'


def test_every_byte_of_a_value_counts() -> None:
    whole = value(b'{"to":"ann"}', "f.0.0")
    for at in range(len(whole)):
        for bit in (1, 4, 32):
            assert is_refused(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]), whole[at:]
    assert not is_refused(whole)


def test_a_value_fits_the_place_of_its_job_alone() -> None:
    one, two = value(b"1", "f.0.0"), value(b"2", "f.0.1")
    assert is_refused(b"[%b,%b]" % (two, one), is_list=True)
    assert is_refused(one, stage=1)
    assert is_refused(value(b"1", "g.0.0"))
    assert is_refused(value(b"1", "f.0.0", "in"))
    assert is_refused(b"[1,2]", is_list=True)
    assert all(map(is_refused, (b"1", b"null", b"[]", b"[%b]" % one)))


def test_items_that_are_pipelines_are_followed_down() -> None:
    # Item 0 ended with one job, item 1 with a list, of whose items the last was a pipeline again.
    inner = b"[%b,%b]" % (value(b"1", "f.0.1.2.0", "last"), value(b"2", "f.0.1.2.1.4.0", "last"))
    raw = b"[%b,%b]" % (value(b"0", "f.0.0.1.0", "last"), inner)
    assert open_stage(SIGNS, raw, "f", 0, is_list=True) == b"[0,[1,2]]"
    # What an earlier stage of the item returned is not what the item came to.
    assert is_refused(b"[%b]" % value(b"0", "f.0.0.0.0"), is_list=True)
    assert is_refused(b"[[%b]]" % value(b"1", "f.0.0.2.1", "last"), is_list=True)
    with pytest.raises(RefusedPayload):
        open_last(SIGNS, value(b"0", "f.0.0"), "f", is_list=False)


def test_what_has_no_seal_is_taken_where_none_is_required() -> None:
    for raw in (b"[1.0,2]", b'"text"', b"null"):
        assert open_stage(LENIENT, raw, "f", 0, is_list=False) == raw
        assert open_stage(None, raw, "f", 0, is_list=False) == raw
    mixed = b"[1,%b]" % value(b"2", "f.0.1")
    assert open_stage(LENIENT, mixed, "f", 0, is_list=True) == b"[1,2]"
    with pytest.raises(RefusedPayload):
        open_stage(LENIENT, value(b"1", "g.0.0"), "f", 0, is_list=False)


def test_the_audit_table_gets_the_plain_value_of_what_is_signed() -> None:
    assert unsigned(value(b'{"a":1}', "f.0.0")) == b'{"a":1}'
    hidden = value(b'{"a":1}', "f.0.0", sealer=ENCRYPTS)
    for raw in (hidden, b'"rota-sealed:1:no"', b'{"a":1}', b""):
        assert unsigned(raw) == raw


def test_a_job_of_a_flow_names_its_stage() -> None:
    assert stage_of("f.0.0") == "f/0/0"
    assert stage_of("f.1.7.0.each") == "f/1.0/each"
    for other in ("f", "f.1", "f.x.0", "email:u1", "email:a.b.c"):
        assert stage_of(other) is None


def test_what_stops_the_rest_of_a_flow_needs_no_seal_and_brings_nothing_along() -> None:
    sweep = b'{"v":1,"f":"_sweep","t":null,"a":[],"k":{},"et":17}'
    headers = sweep[:-1] + b',"h":{"traceparent":"x"}}'
    assert [unseal_job(SIGNS, raw, queue="q", job_id="f.0.sweep") for raw in (sweep, headers)] == [
        sweep,
        sweep,
    ]
    for raw in (sweep.replace(b"_sweep", b"_each"), sweep.replace(b"[]", b"[1]"), sweep + b"\n"):
        with pytest.raises(RefusedPayload):
            unseal_job(SIGNS, raw, queue="q", job_id="f.0.sweep")
