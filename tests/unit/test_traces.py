"""Tracebacks as the person reads them whose code failed: their own frames, the whole chain, and a bound."""

import asyncio
import sys

from rota.errors import InvalidPayload
from rota.errors.traces import message_of, place_of, stack_of, written
from rota.seams import compose
from tests.processes import ENGINE_FILES

MOST = 40_000


def caught(call: object, *arguments: object) -> BaseException:
    try:
        call(*arguments)  # type: ignore[operator]
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


async def fail(_: object) -> None:
    raise ValueError("boom")


async def within(run: object, call_next: object) -> object:
    return await call_next(run)  # type: ignore[operator]


def deep(levels: int) -> None:
    if levels == 0:
        raise ValueError("boom")
    (deep if levels % 2 else deeper)(levels - 1)


def deeper(levels: int) -> None:
    deep(levels)


def test_the_frames_of_the_framework_are_left_out() -> None:
    error = caught(asyncio.run, compose([within], fail)(None))  # type: ignore[arg-type]
    text = written(error, MOST) or ""
    assert "in fail" in text
    assert "in within" in text
    assert "asyncio" not in text
    assert ENGINE_FILES not in text
    assert text.endswith("ValueError: boom\n")


def fail_twice() -> None:
    try:
        raise KeyError("first")
    except KeyError as first:
        raise OSError("second") from first


def fail_together() -> None:
    raise BaseExceptionGroup("both", [caught(fail_twice), ValueError("third")])


def test_the_chain_of_causes_and_the_members_of_a_group_are_whole() -> None:
    group = caught(fail_together)
    text = written(group, MOST) or ""
    for part in ("KeyError: 'first'", "direct cause", "OSError: second", "ValueError: third", "both (2"):
        assert part in text


def test_of_a_deep_stack_its_beginning_and_its_end_are_shown() -> None:
    text = written(caught(deep, 200), MOST) or ""
    assert "in caught" in text
    assert "more frames" in text
    assert text.count("File ") < 30


def test_a_traceback_is_bounded_and_keeps_both_ends() -> None:
    text = written(caught(deep, 60), 1_000) or ""
    assert len(text) <= 1_000
    assert text.startswith("Traceback")
    assert text.endswith("ValueError: boom\n")


def test_an_error_that_ends_in_itself_is_written_once() -> None:
    error = caught(deep, 0)
    error.__cause__ = error
    assert "ValueError: boom" in (written(error, MOST) or "")


def test_an_error_of_our_own_outside_the_user_s_code_has_no_traceback() -> None:
    assert written(InvalidPayload("send", {}), MOST) is None
    assert written(ValueError("never raised"), MOST) is None


def test_where_a_thread_is_begins_with_the_user_s_frames() -> None:
    async def block() -> str:
        return stack_of(sys._getframe())

    first = asyncio.run(block()).splitlines()[0]
    assert "asyncio" not in first
    assert ENGINE_FILES not in first


def test_where_a_loop_is_leaves_out_what_has_started_the_loop() -> None:
    stacks = []

    async def handler() -> None:
        stacks.append(stack_of(sys._getframe()))

    asyncio.run(handler())
    # Without the loop, the frames of pytest are here, as those of the command line are in a worker.
    assert "site-packages" in stack_of(sys._getframe())
    assert "site-packages" not in stacks[0]
    assert stacks[0].count("File ") == 1


def test_the_place_of_an_error_is_the_user_s_line() -> None:
    assert place_of(caught(deep, 0)).startswith(f"{__file__}:")
    assert place_of(ValueError()) == ""


def test_a_group_names_its_members() -> None:
    group = ExceptionGroup("many", [ValueError("a"), ExceptionGroup("inner", [KeyError("b"), OSError()])])
    assert message_of(group) == "many (2 sub-exceptions): ValueError: a; KeyError: 'b'; OSError"
    wide = ExceptionGroup("wide", [ValueError(number) for number in range(12)])
    assert message_of(wide).endswith("ValueError: 9; and 2 more")
