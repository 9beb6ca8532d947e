"""What a handler may save, how it lies in Redis, and that what comes back is what JSON made of it."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import from_json

from rota.errors import CheckpointTooLarge, PayloadTooLarge
from rota.model.checkpoint import encode
from rota.wire.claims import Checkpoint

LIMIT = 1_000

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    # Half of a surrogate pair cannot travel as text.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc {}", max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(values, st.integers(1, 10**12))
def test_any_json_value_comes_back_as_it_was(value: Any, number: int) -> None:
    checkpoint = Checkpoint(number, encode(value, 1_000_000))
    assert Checkpoint.read(checkpoint.wire()) == checkpoint
    assert Checkpoint.read(checkpoint.wire()).value == value


class Model(BaseModel):
    line: int
    day: date


@dataclass
class Sums:
    model: Model
    total: float


def test_models_and_dataclasses_become_the_json_that_pydantic_makes_of_them() -> None:
    state = Sums(Model(line=3, day=date(2024, 2, 29)), 1.5)
    assert from_json(encode(state, LIMIT)) == {"model": {"line": 3, "day": "2024-02-29"}, "total": 1.5}


def test_tuples_and_sets_become_lists_and_bytes_text() -> None:
    assert from_json(encode([(1, 2), {3}, b"\xff\x00"], LIMIT)) == [[1, 2], [3], "_wA="]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (object(), "Unable to serialize unknown type: <class 'object'>"),
        ({"at": lambda: None}, "Unable to serialize unknown type: <class 'function'>"),
        (float("nan"), "expected value"),
        ([float("-inf")], "invalid number"),
        ("\ud800", "surrogates not allowed"),
        (10**5000, "number out of range"),
    ],
    ids=["object", "function", "nan", "infinity", "surrogate", "huge"],
)
def test_what_json_cannot_carry_is_refused_with_the_reason(state: Any, reason: str) -> None:
    with pytest.raises(TypeError, match=f"a checkpoint is a value that JSON can carry.*{reason}"):
        encode(state, 100_000)


def test_what_could_be_written_but_not_read_again_is_refused() -> None:
    state: list[Any] = []
    for _ in range(230):
        state = [state]
    with pytest.raises(TypeError, match="recursion limit"):
        encode(state, LIMIT)


def test_the_words_nan_and_infinity_are_no_numbers() -> None:
    assert from_json(encode({"NaN": "Infinity"}, LIMIT)) == {"NaN": "Infinity"}


def test_one_that_is_too_large_names_the_limit_and_what_to_do() -> None:
    assert len(encode("x" * 998, LIMIT)) == LIMIT
    with pytest.raises(CheckpointTooLarge) as raised:
        encode("x" * 999, LIMIT)
    assert isinstance(raised.value, PayloadTooLarge)
    assert (raised.value.size, raised.value.limit) == (1001, LIMIT)
    assert str(raised.value) == (
        "the checkpoint has 1001 bytes and the limit (PAYLOAD_LIMIT) is 1000; "
        "store the data elsewhere and save where it is"
    )


def test_where_there_is_none_its_value_is_none_and_its_number_is_before_all_others() -> None:
    assert Checkpoint.read(None) == Checkpoint(0, b"null")
    assert Checkpoint.read(None).value is None


@pytest.mark.parametrize("raw", [b"", b"junk", b"7", b"7 {", b"-3 \xff", b"7 NaN"])
def test_an_unreadable_one_says_so_when_it_is_looked_at(raw: bytes) -> None:
    with pytest.raises(ValueError, match="line 1"):
        assert Checkpoint.read(raw).value
