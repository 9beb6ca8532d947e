"""What the jobs of a call have in common goes to Redis once, and each job keeps what is its own."""

from typing import Any

import pytest

from rota.client.sending.together import arguments_of

NOW = (-1, 0, 0, "send", "", "", "refuse")
LATER = (-1, 5000, 0, "send", "", "", "refuse")
ALIKE = (*NOW[:-1], "refuse")


def whole(arguments: list[Any]) -> list[Any]:
    """Return the id, the payload and the other values of each job, as the script reads them."""
    kinds = arguments[0]
    first, stride = 1 + 7 * kinds, 3 if kinds > 1 else 2
    assert (len(arguments) - first) % stride == 0
    found: list[Any] = []
    for at in range(first, len(arguments), stride):
        kind = arguments[at] if stride == 3 else 1
        found += [*arguments[at + stride - 2 : at + stride], tuple(arguments[7 * kind - 6 : 7 * kind + 1])]
    return found


@pytest.mark.parametrize(
    ("rests", "kinds"),
    [
        ([NOW], 1),
        ([NOW, NOW, NOW], 1),
        ([NOW, ALIKE], 1),
        ([NOW, LATER, NOW, ALIKE, LATER], 2),
        ([(*NOW[:5], f"key-{number} 0", "existing") for number in range(20)], 20),
    ],
    ids=["one", "of one mould", "alike", "of two kinds", "each of its own"],
)
def test_each_job_is_what_it_was(rests: list[Any], kinds: int) -> None:
    assert ALIKE is not NOW
    values = [value for number, rest in enumerate(rests) for value in (f"id-{number}", b"{}", rest)]
    arguments = arguments_of(values)
    assert arguments[0] == kinds
    assert whole(arguments) == values


def test_of_jobs_of_one_kind_ids_and_payloads_are_sent_and_little_else() -> None:
    values = [value for number in range(200) for value in (f"id-{number}", b"{}", NOW)]
    assert len(arguments_of(values)) == 1 + 7 + 2 * 200
