import contextlib
import enum
import sys
import types
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, computed_field, field_validator
from pydantic_core import from_json

from rota.errors import InvalidPayload, InvalidResult
from rota.model.payload.payload import PayloadType, ResultType

SECRET = "hunter2"
HUGE = 10**5000


class Colour(enum.Enum):
    RED = "red"


class Address(BaseModel):
    street: str
    zip_code: int = Field(alias="zip")
    notes: dict[str, int] = {}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def label(self) -> str:
        return f"{self.street} {self.zip_code}"


@dataclass
class Point:
    x: float
    y: float


class Node(BaseModel):
    children: list["Node"] = []


class Strict(BaseModel, strict=True):
    day: date


class Guarded(BaseModel):
    password: str

    @field_validator("password")
    @classmethod
    def _long(cls, value: str) -> str:
        if len(value) < 20:
            raise ValueError(f"{value} is too short")
        return value


def everything(  # noqa: PLR0917, RUF100 (one of each kind)
    run: object,
    when: datetime,
    wait: timedelta,
    key: uuid.UUID,
    price: Decimal,
    colour: Colour,
    raw: bytes,
    numbers: set[int],
    pair: tuple[int, str],
    address: Address,
    point: Point,
    node: Node,
    ratio: float,
    strict: Strict,
    mode: Literal["a", "b"] = "a",
    *,
    _private: int | None = None,
    model_config: str = "",
) -> None: ...


def arrived(payload: PayloadType, raw: bytes) -> dict[str, Any]:
    return payload.parse([], from_json(raw))


def test_values_come_back_in_their_types() -> None:
    values = {
        "when": datetime(2030, 1, 1, tzinfo=UTC),
        "wait": timedelta(seconds=90),
        "key": uuid.UUID(int=7),
        "price": Decimal("1.10"),
        "colour": Colour.RED,
        "raw": b"\xff\x00",
        "numbers": {1, 2},
        "pair": (1, "a"),
        "address": Address(street="Main", zip=7),
        "point": Point(1, 2),
        "node": Node(children=[Node()]),
        "ratio": float("inf"),
        "strict": Strict(day=date(2030, 1, 1)),
        "mode": "b",
        "_private": 3,
        "model_config": "x",
    }
    payload = PayloadType(everything)
    assert arrived(payload, payload.bind((), values)) == values


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(), inner, max_size=7),
    max_leaves=20,
)


@settings(database=None, deadline=None)
@given(value=JSON)
def test_any_json_value_survives_an_argument_without_a_type(value: Any) -> None:
    def handler(run, anything): ...  # type: ignore[no-untyped-def]

    payload = PayloadType(handler)
    assert arrived(payload, payload.bind([value])) == {"anything": value}


def test_positional_arguments_are_bound_in_order() -> None:
    def handler(run: object, a: int, b: int = 2, *, c: int = 3) -> None: ...

    payload = PayloadType(handler)
    assert payload.bind([1, 5], {"c": 7}) == b'{"a":1,"b":5,"c":7}'
    assert payload.parse([1, 5], {"c": 7}) == {"a": 1, "b": 5, "c": 7}
    assert (payload.names, payload.required) == (("a", "b", "c"), ("a",))


def test_defaults_stay_with_the_handler() -> None:
    def handler(run: object, a: int, b: object = SECRET) -> None: ...

    payload = PayloadType(handler)
    assert payload.bind([1]) == b'{"a":1}'
    assert payload.parse([1]) == {"a": 1}


def test_a_job_without_arguments_has_an_empty_payload() -> None:
    def handler(run: object) -> None: ...

    payload = PayloadType(handler)
    assert payload.bind() == b"{}"
    assert payload.parse() == {}
    with pytest.raises(InvalidPayload, match="x: is not an argument"):
        payload.bind([], {"x": 1})
    with pytest.raises(InvalidPayload, match="x: is not an argument"):
        payload.parse([], {"x": 1})


def scene(run: object, number: int, style: str = "") -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "problems"),
    [
        ((), {}, {"number": "is required"}),
        ((1, "oil", 3), {}, {"": "at most 2 positional arguments are taken; 3 came"}),
        ((1,), {"number": 2}, {"number": "is given twice"}),
        ((1,), {"colour": 2}, {"colour": "is not an argument"}),
        ((1,), {"style": 5}, {"style": "Input should be a valid string"}),
        ((1,), {"a b\n": 5}, {"'a b\\n'": "is not an argument"}),
    ],
)
@pytest.mark.parametrize("side", ["bind", "parse"])
def test_wrong_arguments_are_named_with_the_reason(
    side: str, args: Any, kwargs: Any, problems: dict[str, str]
) -> None:
    payload = PayloadType(scene, "video:scene")
    with pytest.raises(InvalidPayload) as caught:
        getattr(payload, side)(args, kwargs)
    assert caught.value.job == "video:scene"
    assert caught.value.problems == problems


def test_many_problems_are_cut() -> None:
    def handler(run: object, numbers: list[int]) -> None: ...

    with pytest.raises(InvalidPayload) as caught:
        PayloadType(handler).bind([["x"] * 500])
    assert len(caught.value.problems) == 11
    assert caught.value.problems[""] == "and 490 more"
    assert "numbers[9]" in caught.value.problems


def test_a_union_gives_both_reasons_of_one_field() -> None:
    def handler(run: object, key: int | bool) -> None: ...

    with pytest.raises(InvalidPayload) as caught:
        PayloadType(handler).bind([[]])
    assert caught.value.problems == {
        "key": "Input should be a valid integer, or Input should be a valid boolean"
    }


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


def secretive(
    run: object,
    *,
    number: int = 0,
    when: datetime | None = None,
    key: uuid.UUID | None = None,
    counts: dict[str, int] | None = None,
    address: Address | None = None,
    guarded: Guarded | None = None,
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None,
    colour: Colour | None = None,
    anything: Any = None,
) -> None: ...


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", SECRET),
        ("when", SECRET),
        ("key", SECRET),
        ("counts", {SECRET: SECRET}),
        ("address", {"street": "a", "zip": 1, "notes": {SECRET: SECRET}}),
        ("guarded", {"password": SECRET}),
        ("pet", {"kind": SECRET}),
        ("colour", SECRET),
    ],
)
@pytest.mark.parametrize("side", ["bind", "parse"])
def test_no_value_appears_in_an_error(side: str, field: str, value: Any) -> None:
    with pytest.raises(InvalidPayload) as caught:
        getattr(PayloadType(secretive), side)((), {field: value})
    assert any(path.startswith(field) for path in caught.value.problems)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_the_path_into_a_declared_model_is_shown() -> None:
    with pytest.raises(InvalidPayload) as caught:
        PayloadType(secretive).bind((), {"address": {"street": 5, "zip": 1}})
    assert caught.value.problems == {"address.street": "Input should be a valid string"}


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _marked(depth: int) -> Any:
    # Each level is wrapped once more on its way.
    value: Any = 1
    for _ in range(depth):
        value = {"__error__": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        "\ud800",
        HUGE,
        _nested(199),
        _nested(1_000),
        _marked(120),
        lambda: None,
        ValueError("x"),
        {1: object()},
    ],
    ids=["object", "surrogate", "huge", "deep", "deeper", "escaped", "function", "exception", "inside"],
)
def test_what_json_cannot_carry_is_refused_at_the_enqueue(value: Any) -> None:
    with pytest.raises(InvalidPayload) as caught:
        PayloadType(secretive).bind((), {"number": 1, "anything": value})
    assert caught.value.problems == {"anything": "cannot travel as JSON"}


class Lossy(BaseModel):
    ratio: float


def test_a_value_that_would_arrive_wrong_is_refused_at_the_enqueue() -> None:
    def handler(run: object, lossy: Lossy) -> None: ...

    # A model's own settings write infinity as null, which no worker would take for a number.
    with pytest.raises(InvalidPayload, match=r"lossy\.ratio"):
        PayloadType(handler).bind([Lossy(ratio=float("inf"))])


def test_the_worker_reads_by_the_rules_of_json() -> None:
    def handler(run: object, strict: Strict, pair: tuple[int, int]) -> None: ...

    parsed = PayloadType(handler).parse([{"day": "2030-01-01"}, [1, 2]])
    assert parsed == {"strict": Strict(day=date(2030, 1, 1)), "pair": (1, 2)}


def any_args(run: object, *args: int) -> None: ...


def any_kwargs(run: object, **kwargs: int) -> None: ...


def positional_only(run: object, a: int, /) -> None: ...


def field_default(run: object, a: int = Field(5, gt=3)) -> None: ...


def keyword_run(*, run: object) -> None: ...


def takes_callable(run: object, a: int, callback: list[Callable[[], int]]) -> None: ...


def takes_class(run: object, kind: type[int]) -> None: ...


def takes_iterable(run: object, rows: Iterable[int]) -> None: ...


def takes_secret(run: object, token: SecretStr) -> None: ...


class Login(BaseModel):
    token: SecretStr


def takes_hidden_secret(run: object, login: Login) -> None: ...


def takes_event(run: object, number: int, thing: types.SimpleNamespace) -> None: ...


def bad_text(run: object, a: "1 +") -> None: ...  # type: ignore[valid-type]  # noqa: F722 (the mistake under test)


@pytest.mark.parametrize(
    ("handler", "named"),
    [
        (any_args, r"\*args: int cannot be checked"),
        (any_kwargs, r"\*\*kwargs: int cannot be checked"),
        (positional_only, "'a' is positional only"),
        (field_default, "default of 'a' is a Field"),
        (keyword_run, "first parameter receives its run"),
        (takes_callable, "argument 'callback' .* function"),
        (takes_class, "argument 'kind' .* class"),
        (takes_iterable, "argument 'rows' .* use list"),
        (takes_secret, "argument 'token' .* masked in JSON"),
        (takes_hidden_secret, "argument 'login' .* masked in JSON"),
        (takes_event, "argument 'thing' .*SimpleNamespace"),
        (bad_text, "an annotation is not a type"),
    ],
)
def test_a_signature_that_cannot_be_checked_is_refused_at_decoration(handler: Any, named: str) -> None:
    with pytest.raises(TypeError, match=f"job {handler.__name__}: .*{named}"):
        PayloadType(handler)


DEFERRED = """
from __future__ import annotations
from typing import TYPE_CHECKING
from pydantic import BaseModel
if TYPE_CHECKING:
    from rota.run import Run
    from nowhere import Gone

def early(run: Run, later: Later, number: int = 0) -> Later: ...
def never(run: Run, gone: Gone) -> Gone: ...

payload, result, hopeless = make(early)[0], make(early)[1], make(never)[0]

class Part(BaseModel):
    whole: Later | None = None
class Later(BaseModel):
    name: str
"""


@pytest.fixture
def deferred(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("deferred_annotations")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(module)["make"] = lambda handler: (PayloadType(handler), ResultType(handler))
    exec(compile(DEFERRED, "deferred.py", "exec", dont_inherit=True), vars(module))
    return module


def test_an_annotation_may_be_defined_further_down(deferred: types.ModuleType) -> None:
    assert deferred.payload.parse([{"name": "x"}]) == {"later": deferred.Later(name="x")}
    assert deferred.result.dump({"name": "x"}) == b'{"name":"x"}'


def test_an_annotation_that_never_comes_is_a_clear_error(deferred: types.ModuleType) -> None:
    with pytest.raises(TypeError, match=r"job never: .*'Gone' is not defined.*not under TYPE_CHECKING"):
        deferred.hopeless.resolve()
    with pytest.raises(TypeError, match="'Gone' is not defined"):
        deferred.hopeless.bind([1])


def returns_list(run: object) -> list[str]:
    return []


def returns_address(run: object) -> Address: ...  # type: ignore[empty-body]


def returns_none(run: object) -> None: ...


def returns_nothing_said(run):  # type: ignore[no-untyped-def]
    return 1


def returns_never(run: object) -> NoReturn:
    raise RuntimeError


def returns_callable(run: object) -> Callable[[], int]: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("handler", "value", "raw"),
    [
        (returns_list, ["a"], b'["a"]'),
        (returns_list, ("a",), b'["a"]'),
        (returns_address, Address(street="a", zip=1), b'{"street":"a","zip":1,"notes":{}}'),
        (returns_none, None, b"null"),
        (returns_nothing_said, {"a": (1, Decimal(2))}, b'{"a":[1,"2"]}'),
        (returns_never, None, b"null"),
    ],
)
def test_a_result_is_written_as_json(handler: Any, value: Any, raw: bytes) -> None:
    assert ResultType(handler).dump(value) == raw


def test_a_result_is_read_in_its_type() -> None:
    result = ResultType(returns_address)
    address = Address(street="a", zip=1)
    assert result.parse(from_json(result.dump(address))) == address
    assert ResultType(returns_nothing_said).parse({"a": [1]}) == {"a": [1]}


@pytest.mark.parametrize(
    ("handler", "value", "problems"),
    [
        (returns_list, [SECRET, 5], {"[1]": "Input should be a valid string"}),
        (returns_none, SECRET, {"": "Input should be None"}),
        (returns_address, {"street": SECRET}, {"": "is required"}),
        (returns_nothing_said, object(), {"": "cannot travel as JSON"}),
        (returns_nothing_said, _nested(199), {"": "cannot travel as JSON"}),
        pytest.param(returns_nothing_said, HUGE, {"": "cannot travel as JSON"}, id="huge"),
    ],
)
def test_a_wrong_result_is_named_without_its_value(
    handler: Any, value: Any, problems: dict[str, str]
) -> None:
    with pytest.raises(InvalidResult) as caught:
        ResultType(handler, "video:scene").dump(value)
    assert caught.value.problems == problems
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("handler", [returns_none, returns_nothing_said])
def test_a_result_that_is_a_call_nobody_awaited_says_so(handler: Any) -> None:
    async def body() -> None: ...

    with pytest.raises(InvalidResult, match="a coroutine that nobody has awaited"):
        ResultType(handler).dump(body())
    with pytest.raises(InvalidResult, match="a context manager that nobody has entered"):
        ResultType(handler).dump(contextlib.nullcontext())


def test_a_result_of_another_version_is_refused_by_its_reader() -> None:
    with pytest.raises(InvalidResult, match="job returns_list: "):
        ResultType(returns_list).parse({"a": 1})


def test_a_result_that_cannot_be_checked_is_refused_at_decoration() -> None:
    with pytest.raises(TypeError, match="job returns_callable: its result cannot be checked"):
        ResultType(returns_callable)
