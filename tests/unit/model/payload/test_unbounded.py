"""Arguments that are not read again when they are enqueued, because nothing could be refused, and those that are."""

from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, Field, Strict, StringConstraints

from rota import InvalidPayload, Run
from rota.model.payload.payload import PayloadType

Shout = Annotated[str, StringConstraints(pattern="^[a-z]+$", to_upper=True)]


async def of_plain_types(
    run: Run, count: int, names: list[dict[str, float]], note: str | None = None, is_new: bool = True
) -> None: ...


async def strict(run: Run, share: Annotated[float, Strict()]) -> None: ...
async def shouted(run: Run, word: Shout) -> None: ...
async def bounded(run: Run, count: Annotated[int, Field(gt=3)]) -> None: ...
async def validated(run: Run, count: Annotated[int, AfterValidator(abs)]) -> None: ...
async def of_any(run: Run, value: Any) -> None: ...


@pytest.mark.parametrize(
    ("handler", "is_unbounded"),
    [(of_plain_types, True), *((one, False) for one in (strict, shouted, bounded, validated, of_any))],
)
def test_only_types_that_take_all_of_their_kind_are_unbounded(handler: Any, is_unbounded: bool) -> None:
    form = PayloadType(handler)._form
    assert form is not None
    assert form.is_unbounded is is_unbounded


@pytest.mark.parametrize(
    "arguments",
    [
        (1, [{"a": 0.1}], "é\0\u2028"),
        (10**40, [{}, {"": float("inf")}]),
        (-1, [{"a": float("nan")}], None, False),
    ],
)
def test_what_is_not_read_again_can_be_read(arguments: tuple[Any, ...]) -> None:
    payload = PayloadType(of_plain_types)
    raw = payload.bind(arguments)
    assert len(raw) <= 90, "longer ones are read"
    assert repr(payload.parse_raw(raw)) == repr(dict(zip(payload.positional, arguments, strict=False)))


@pytest.mark.parametrize(("handler", "value"), [(strict, float("inf")), (shouted, "abc")])
def test_what_its_reader_would_refuse_is_refused(handler: Any, value: object) -> None:
    with pytest.raises(InvalidPayload):
        PayloadType(handler).bind((value,))
