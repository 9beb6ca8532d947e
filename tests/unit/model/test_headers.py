"""Headers: given for a block, seen by nobody else, and refused where they could not travel."""

import asyncio
import threading
from contextlib import ExitStack
from typing import Any

import pytest

import rota
from rota.model.headers import MOST, current_headers, inherited

TRACE = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01", "baggage": "a=b"}


def test_headers_hold_for_their_block_and_an_inner_one_adds_to_them() -> None:
    with rota.headers(tenant="acme", region="eu"):
        with rota.headers({"x-request-id": "7"}, tenant="other"):
            assert current_headers() == {"tenant": "other", "region": "eu", "x-request-id": "7"}
        assert current_headers() == {"tenant": "acme", "region": "eu"}
    assert current_headers() == {}


def test_they_end_with_a_block_that_raises() -> None:
    with pytest.raises(LookupError), rota.headers(tenant="acme"):
        raise LookupError
    assert current_headers() == {}


async def test_tasks_that_run_side_by_side_have_their_own() -> None:
    both = asyncio.Barrier(2)

    async def serve(tenant: str) -> list[str]:
        with rota.headers(tenant=tenant):
            await both.wait()
            seen = [current_headers()["tenant"]]
            await both.wait()
            inner = await asyncio.create_task(asyncio.to_thread(lambda: current_headers()["tenant"]))
            return [*seen, inner]

    served = await asyncio.gather(serve("acme"), serve("other"))
    assert list(served) == [["acme", "acme"], ["other", "other"]]
    assert current_headers() == {}


def test_a_thread_that_other_code_started_has_none() -> None:
    seen: list[Any] = []
    with rota.headers(tenant="acme"):
        thread = threading.Thread(target=lambda: seen.append(dict(current_headers())))
        thread.start()
        thread.join()
    assert seen == [{}]


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"tenant": "a\nb"}, ValueError, "'tenant' has a character that does not print"),
        ({"tenant": "\u202egpj"}, ValueError, "'tenant' has a character that does not print"),
        ({"tenant": "\ud800"}, ValueError, "'tenant' has a character that does not print"),
        ({"tenant": ""}, ValueError, "'tenant' is empty; its value is a text of one line"),
        (
            {"tenant": "a b"},
            ValueError,
            "'tenant' names a tenant; tenant 'a b' is not allowed: it starts with",
        ),
        ({"tenant": "x" * 65}, ValueError, "has at most 64 characters"),
        ({"Tenant": "a"}, ValueError, "'Tenant' is no header's name; it has up to 64 of a-z, 0-9"),
        ({"a b": "a"}, ValueError, "'a b' is no header's name"),
        ({"a" * 65: "a"}, ValueError, "is no header's name"),
        ({"": "a"}, ValueError, "'' is no header's name"),
        ({"baggage": "a=b"}, ValueError, "'baggage' belongs to the tracers"),
        ({"tenant": 7}, TypeError, "'tenant' is int; a header is a text"),
        ({"tenant": None}, TypeError, "'tenant' is NoneType; a header is a text"),
        ({"note": "é" * (MOST // 2)}, ValueError, f"would have {MOST + 4} bytes; {MOST} may travel"),
    ],
)
def test_what_cannot_travel_is_refused_at_once(
    given: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with ExitStack() as stack, pytest.raises(kind, match=said):
        stack.enter_context(rota.headers(given))
    assert current_headers() == {}


def test_the_limit_is_of_all_headers_together_but_for_a_trace_s() -> None:
    with inherited({**TRACE, "a": "x" * (MOST - 100)}):
        with rota.headers(b="y" * 98):
            assert current_headers().keys() == {"a", "b", *TRACE}
        with pytest.raises(ValueError, match=f"{MOST + 1} bytes"), rota.headers(b="y" * 99):
            pass


def test_an_attempt_has_what_it_came_with_and_nothing_of_what_was_around_the_worker() -> None:
    with rota.headers(tenant="of-the-worker"):
        with inherited({}):
            assert current_headers() == {}
        with inherited({"region": "eu", **TRACE}):
            assert current_headers() == {"region": "eu", **TRACE}


def test_what_a_stranger_wrote_travels_on_only_as_far_as_it_could_have_been_given() -> None:
    strange = {"Big": "a", "tenant": "a\nb", "x" * 65: "a", "empty": "", "note": "n" * MOST, "region": "eu"}
    with inherited(strange):
        assert current_headers() == {}, "the note alone is all that fits, and more"
    strange["note"] = "n" * 100
    with inherited(strange):
        assert current_headers() == {"note": "n" * 100, "region": "eu"}
