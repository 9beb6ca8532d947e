"""Failures of one cause have one fingerprint, whichever process they come from."""

import pytest

from rota.errors import JobError
from rota.errors.causes import alike, cause_of
from rota.wire.results import begun_error_of, encode_error, error_of


def failing(message: str) -> Exception:
    """Return an error that was raised here."""
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


def failing_elsewhere(message: str) -> Exception:
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no user 'ann'", "no user 'bob'"),
        ("451 busy", "452 busy"),
        ("order 01KBX7Q2M is gone", "order 01KBX7Q9Z is gone"),
        ("at 0x7f01aa\nmore", "at 0x7f02bb\nother"),
        ('key "a b"  missing', 'key "c" missing'),
    ],
)
def test_what_differs_from_job_to_job_does_not_count(one: str, other: str) -> None:
    assert cause_of(failing(one), "E") == cause_of(failing(other), "E")
    assert cause_of(JobError("E", one), "E") == cause_of(JobError("E", other), "E")


def test_type_message_and_function_count() -> None:
    found = [
        cause_of(failing("boom"), "E"),
        cause_of(failing("boom"), "F"),
        cause_of(failing("bang"), "E"),
        cause_of(failing_elsewhere("boom"), "E"),
        cause_of(ValueError("boom"), "E"),
    ]
    assert len(set(found)) == len(found)
    assert {len(one) for one in found} == {12}


def test_it_is_kept_with_the_error() -> None:
    error = failing("no user 7")
    raw = encode_error(error)
    cause = cause_of(error, "ValueError")
    assert error_of(raw).cause == cause
    assert encode_error(error_of(raw)) == raw
    # What an event has of an error is its beginning.
    assert begun_error_of(encode_error(failing(f"no user 7 {'x' * 5000}"))[:500]).cause


def test_a_message_that_cannot_be_made_and_one_of_a_megabyte_have_one_too() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert len(cause_of(Broken(), "Broken")) == 12
    assert len(alike("word " * 300_000)) < 501
