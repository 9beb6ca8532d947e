"""The terms of a job: what is written for the scripts, of its policy and its arguments."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from rota import InvalidPayload, Run, at_most, job, per_second, throttle, unique
from rota.model.policies.terms import is_limited, terms_and_key, terms_of


@dataclass
class Order:
    customer: str
    lines: list[int]


@job(
    limit=per_second(10, key="tenant"), concurrency=at_most(2, key=("tenant", "order.customer"), name="shop")
)
async def ship(run: Run, tenant: str, order: Order) -> None: ...


@job(priority=3, unique=unique(key="user", until="started"))
async def rebuild(run: Run, user: str = "nobody", depth: int = 1) -> None: ...


@job(unique=throttle(60))
async def remind(run: Run, user: str) -> None: ...


def terms(of: Any, *args: Any, priority: int | None = None) -> str:
    return terms_of(of, "q", of.payload.bind(args, {}), namespace="ns", priority=priority)


def test_each_policy_is_one_token_that_a_reader_can_make_out() -> None:
    assert terms(ship, "ann", Order("bob", [1])) == (
        "r=ns:limit:q:ship|ann|101000|10000 c=ns:slots:shop|ann/bob|2"
    )
    assert terms(rebuild, "ann") == "p=3 u=ns:unique:q:rebuild:ann|s"


def test_an_argument_that_was_not_given_counts_with_its_default() -> None:
    assert terms(rebuild) == "p=3 u=ns:unique:q:rebuild:nobody|s"


def test_an_enqueue_s_priority_wins_and_none_needs_no_token() -> None:
    assert terms(rebuild, priority=9).startswith("p=9 ")
    assert terms(rebuild, priority=0).startswith("u=")
    assert terms(remind, "ann") == ""


@pytest.mark.parametrize("value", ["a b", "a|b", "a=b", "a\nb", "ü", "x" * 500, "", "100%"])
def test_whatever_a_key_s_value_is_its_token_is_one_word(value: str) -> None:
    token, _, mode = terms(rebuild, value, priority=0).rpartition("|")
    assert mode == "s"
    assert token.startswith("u=ns:unique:q:rebuild:")
    assert not set(token[2:]) & set(" |=\n")
    assert len(token) < 120


def test_long_values_with_one_beginning_stay_apart() -> None:
    assert terms(rebuild, "x" * 500) != terms(rebuild, "x" * 501)


def test_without_a_key_all_arguments_are_the_key_in_whatever_order() -> None:
    one, other, another = (
        terms_and_key(remind, "q", raw, namespace="ns")
        for raw in (b'{"user":"ann","z":[1,2]}', b'{"z":[1,2],"user":"ann"}', b'{"user":"bob"}')
    )
    assert one == other != another
    assert one[0] == f"u={one[1].removesuffix(' 60000')}|0|existing|60000"
    assert one[1].startswith("ns:unique:q:remind:")
    assert one[1].endswith(" 60000")


def test_a_key_that_is_given_back_by_the_job_s_end_is_a_term_too() -> None:
    assert terms_and_key(rebuild, "q", b'{"user":"ann"}', namespace="ns", priority=0) == (
        "u=ns:unique:q:rebuild:ann|s",
        "ns:unique:q:rebuild:ann 0",
    )
    assert terms_and_key(ship, "q", b'{"tenant":"a","order":{"customer":"b"}}', namespace="ns")[1] == ""


@pytest.mark.parametrize("rule", ["refuse", "replace", "existing"])
def test_a_rule_for_a_key_that_is_taken_is_a_term_unless_it_is_the_default(rule: Any) -> None:
    asked = replace(rebuild, unique=unique(key="user", on_taken=rule))
    token = terms_and_key(asked, "q", b'{"user":"ann"}', namespace="ns", priority=0)[0]
    assert token == "u=ns:unique:q:rebuild:ann|f" + ("" if rule == "existing" else f"|{rule}")


def test_a_part_that_is_not_there_is_said_before_anything_is_sent() -> None:
    @job(limit=per_second(1, key="order.discount"))
    async def sell(run: Run, order: dict[str, int]) -> None: ...

    with pytest.raises(
        InvalidPayload, match=r"order\.discount: is missing, and a limit of the job is counted by it"
    ):
        terms(sell, {"price": 5})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"limit": per_second(1, key="nosuch")}, "limit has the key 'nosuch'; the job's arguments are: user"),
        ({"unique": unique(key=("user", "nosuch"))}, "unique has the key 'nosuch'"),
        ({"concurrency": per_second(1)}, r"concurrency is .*; write concurrency=at_most\(2\)"),
        ({"limit": 10}, r"limit is 10; write limit=per_second\(10\)"),
        ({"priority": 10}, "priority is 10; it is a whole number from 0 to 9"),
        ({"priority": True}, "priority is True"),
    ],
)
def test_a_policy_that_cannot_be_stops_the_import(fields: dict[str, Any], named: str) -> None:
    async def handler(run: Run, user: str) -> None: ...

    with pytest.raises((TypeError, ValueError), match=named):
        job(**fields)(handler)


def test_limited_is_what_may_have_to_wait() -> None:
    assert [is_limited(one) for one in ("", "p=3", "u=k|s", "p=3 r=a|b|1|2", "c=a|b|1")] == [
        *[False] * 3,
        *[True] * 2,
    ]
