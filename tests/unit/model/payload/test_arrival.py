"""What arrives is what was given, in type and value, or it is refused at the enqueue."""

import enum
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field

from rota.errors import InvalidPayload, InvalidResult
from rota.model.payload.payload import PayloadType, ResultType

BERLIN = ZoneInfo("Europe/Berlin")


class Colour(enum.Enum):
    RED = "red"


class Size(enum.StrEnum):
    BIG = "big"


class Mail(BaseModel):
    to: str
    at: datetime | None = None
    tags: tuple[str, ...] = ()


class Invoice(Mail):
    amount: int = 3


class Letter(BaseModel):
    kind: Literal["letter"] = "letter"


class Parcel(BaseModel):
    kind: Literal["parcel"] = "parcel"
    weight: float = 1


class Folder(BaseModel):
    mails: list[Mail] = []
    by_name: dict[str, Mail] = {}
    note: bytes | str | None = None
    rest: Any = None


class Loose(BaseModel, extra="allow"):
    a: int = 1


@dataclass
class Point:
    x: float
    cache: int = field(default=0, compare=False)


@dataclass
class Pixel(Point):
    colour: str = "red"


@dataclass
class Line:
    points: list[Point]


class Moment(datetime):
    """A datetime of a library that has its own class."""


class Money(Decimal):
    currency = ""

    def __init__(self, _value: str) -> None:
        self.currency = "EUR"


@dataclass
class Price:
    amount: Decimal


Doubling = Annotated[int, AfterValidator(lambda value: value * 2)]


def bound(annotation: Any, value: Any) -> Any:
    """Return what arrives of a value that is given for an argument `x` of this type."""

    def handler(run, x): ...  # type: ignore[no-untyped-def]

    handler.__annotations__["x"] = annotation
    payload = PayloadType(handler)
    return payload.parse_raw(payload.bind([value]))["x"]


@pytest.mark.parametrize(
    ("annotation", "value", "where", "how"),
    [
        # a subclass, whose fields would be gone
        (Mail, Invoice(to="a"), "x", "Invoice would arrive as Mail"),
        (Mail | None, Invoice(to="a"), "x", "Invoice would arrive as Mail"),
        (list[Mail], [Mail(to="a"), Invoice(to="a")], "x[1]", "Invoice would arrive as Mail"),
        (dict[str, Mail], {"k": Invoice(to="a")}, "x", "Invoice would arrive as Mail"),
        (tuple[Mail, ...], (Invoice(to="a"),), "x[0]", "Invoice would arrive as Mail"),
        (Folder, Folder(mails=[Invoice(to="a")]), "x.mails[0]", "Invoice would arrive as Mail"),
        (Folder, Folder(by_name={"k": Invoice(to="a")}), "x.by_name", "Invoice would arrive as Mail"),
        (Point, Pixel(1), "x", "Pixel would arrive as Point"),
        (Line, Line([Pixel(1)]), "x.points[0]", "Pixel would arrive as Point"),
        (Mapping[str, Point], {"k": Pixel(1)}, "x", "Pixel would arrive as Point"),
        (Sequence[Mail], (Invoice(to="a"),), "x[0]", "Invoice would arrive as Mail"),
        # unions whose members look alike in JSON
        (bytes | str, "abcd", "x", "str would arrive as bytes"),
        (datetime | str, "2020-01-01T00:00:00", "x", "str would arrive as datetime"),
        (date | str, "2020-01-01", "x", "str would arrive as date"),
        (UUID | str, str(UUID(int=3)), "x", "str would arrive as UUID"),
        (Colour | str, Colour.RED, "x", "Colour would arrive as str"),
        (Size | str, Size.BIG, "x", "Size would arrive as str"),
        (tuple[int, ...] | list[int], (1, 2), "x", "tuple would arrive as list"),
        (set[int] | list[int], {1}, "x", "set would arrive as list"),
        (frozenset[int] | set[int], {1}, "x", "set would arrive as frozenset"),
        (Path | str, "a", "x", "str would arrive as PosixPath"),
        (list[Path | str], [Path("a"), "a"], "x[1]", "str would arrive as PosixPath"),
        (dict[str, bytes | str], {"k": "abcd"}, "x", "str would arrive as bytes"),
        (set[date | str], {"2020-01-01"}, "x", "str would arrive as date"),
        (dict[date | str, int], {date(2020, 1, 1): 1}, "x", "a key of type date would arrive as str"),
        (Folder, Folder(note="abcd"), "x.note", "str would arrive as bytes"),
        # what has no type, and no form of its own in JSON
        (Any, date(2020, 1, 1), "x", "date would arrive as str"),
        (Any, (1, 2), "x", "tuple would arrive as list"),
        (Any, [{"a": (1,)}], "x[0]", "tuple would arrive as list"),
        (Any, {1: 2}, "x", "a key of type int would arrive as str"),
        (Any, b"\xff", "x", "bytes would arrive as str"),
        (Any, {1}, "x", "set would arrive as list"),
        (Any, Decimal(1), "x", "Decimal would arrive as str"),
        (Any, math.nan, "x", "float would arrive as str"),
        (Any, Mail(to="a"), "x", "Mail would arrive as dict"),
        (Any, Size.BIG, "x", "Size would arrive as str"),
        (dict, {1: 2}, "x", "a key of type int would arrive as str"),
        (list, [(1,)], "x[0]", "tuple would arrive as list"),
        (Folder, Folder(rest=date(2020, 1, 1)), "x.rest", "date would arrive as str"),
        (Loose, Loose(b=(1,)), "x", "tuple would arrive as list"),
        # another value
        (Doubling, 1, "x", "would arrive with another value"),
        (datetime, datetime(1800, 1, 1, tzinfo=BERLIN), "x", "would arrive with another value"),
        (Price, Price(Money("1")), "x.amount", "Money would arrive as Decimal"),
    ],
)
def test_what_would_arrive_as_something_else_is_refused_by_its_field(
    annotation: Any, value: Any, where: str, how: str
) -> None:
    with pytest.raises(InvalidPayload) as caught:
        bound(annotation, value)
    assert caught.value.problems.keys() == {where}
    assert caught.value.problems[where].startswith(how)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Mail, Mail(to="a", at=datetime(2020, 1, 1, tzinfo=UTC), tags=("b",))),
        (Mail | Invoice, Invoice(to="a")),
        (Annotated[Letter | Parcel, Field(discriminator="kind")], Parcel(weight=2)),
        (
            Folder,
            Folder(mails=[Mail(to="a")], by_name={"k": Mail(to="b")}, note=b"a b", rest=[1, {"a": None}]),
        ),
        (Loose, Loose(b=[1])),
        (Point, Point(1)),
        (Point, Point(1, cache=0)),
        (bytes | str, "not base64!"),
        (datetime | str, "tomorrow"),
        (UUID | str, UUID(int=3)),
        (Colour | str, "blue"),
        (int | str, "3"),
        (int | float, 1.0),
        (tuple[int, ...] | list[int], [1]),
        (Any, [1, 1.5, "a", None, True, {"a": []}]),
        (datetime, datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)),
        (list[datetime], [datetime(2020, 7, 1, tzinfo=BERLIN), datetime(2020, 7, 1, tzinfo=UTC)]),
        (dict[int, float], {1: math.inf}),
        (dict[UUID, set[date]], {UUID(int=1): {date(2020, 1, 1)}}),
        (AbstractSet[int], frozenset({1})),
    ],
)
def test_what_was_given_arrives_with_its_type_and_value(annotation: Any, value: Any) -> None:
    arrived = bound(annotation, value)
    assert type(arrived) is type(value)
    if isinstance(value, datetime):
        assert (arrived.isoformat(), arrived.utcoffset()) == (value.isoformat(), value.utcoffset())
    else:
        assert arrived == value


@pytest.mark.parametrize(
    ("annotation", "value", "arrived"),
    [
        (int, "3", 3),
        (float, 3, 3.0),
        (Mail, {"to": "a"}, Mail(to="a")),
        (date, "2020-01-01", date(2020, 1, 1)),
        (list[int], (1, 2), [1, 2]),
        (Sequence[int], (1, 2), [1, 2]),
        (set[int], [1, 1], {1}),
        (Colour, "red", Colour.RED),
        (datetime, Moment(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)),
        (str, Size.BIG, "big"),
    ],
)
def test_what_the_annotation_converts_is_converted_as_before(
    annotation: Any, value: Any, arrived: Any
) -> None:
    assert bound(annotation, value) == arrived


@pytest.mark.parametrize("annotation", [float, float | None, list[float], dict[str, float], Point])
def test_what_is_not_a_number_arrives_as_that(annotation: Any) -> None:
    value: Any = {float: math.nan, list[float]: [math.nan], dict[str, float]: {"a": math.nan}}.get(annotation)
    arrived = bound(
        annotation, Point(math.nan) if annotation is Point else math.nan if value is None else value
    )
    assert "nan" in repr(arrived)


VALUES = st.one_of(
    st.text(),
    st.binary(),
    st.integers(),
    st.floats(),
    st.dates().map(str),
    st.dates(),
    st.datetimes().map(str),
    st.datetimes(),
    st.uuids(),
    st.uuids().map(str),
    st.booleans(),
    st.none(),
)
Mixed = bytes | str | bool | int | float | date | datetime | timedelta | UUID | None


@settings(database=None, deadline=None)
@given(value=st.lists(VALUES | st.tuples(VALUES), max_size=3))
def test_whatever_is_given_arrives_as_it_was_or_is_refused(value: list[Any]) -> None:
    for annotation in (list[Mixed | tuple[Mixed] | list[Mixed]], Any):
        try:
            arrived = bound(annotation, value)
        except InvalidPayload:
            continue
        assert repr(arrived) == repr(value)


def test_an_argument_of_any_name_is_compared() -> None:
    def handler(run: object, *, config: bytes | str = "", default: bytes | str = "") -> None: ...

    for name in ("config", "default"):
        with pytest.raises(InvalidPayload, match=f"{name}: str would arrive as bytes"):
            PayloadType(handler).bind((), {name: "abcd"})


def test_no_value_appears_in_the_reason() -> None:
    with pytest.raises(InvalidPayload) as caught:
        bound(dict[str, bytes | str], {"hunter2hunter22x": "hunter2hunter22x"})
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def result_of(annotation: Any, value: Any) -> bytes:
    def handler(run): ...  # type: ignore[no-untyped-def]

    handler.__annotations__["return"] = annotation
    return ResultType(handler).dump(value)


@pytest.mark.parametrize(
    ("annotation", "value", "where"),
    [
        (Mail, Invoice(to="a"), ""),
        (list[Mail], [Invoice(to="a")], "[0]"),
        (Folder, Folder(mails=[Invoice(to="a")]), "mails[0]"),
        (Point, Pixel(1), ""),
        (bytes | str, "abcd", ""),
        (tuple[int, ...] | list[int], (1,), ""),
    ],
)
def test_a_result_that_would_arrive_as_something_else_fails_its_attempt(
    annotation: Any, value: Any, where: str
) -> None:
    with pytest.raises(InvalidResult) as caught:
        result_of(annotation, value)
    assert caught.value.problems.keys() == {where}
    assert "would arrive as" in caught.value.problems[where]


@pytest.mark.parametrize(
    ("annotation", "value", "raw"),
    [
        (Any, (date(2020, 1, 1), {1: b"a"}), b'["2020-01-01",{"1":"YQ=="}]'),
        (dict[str, Any], {"when": date(2020, 1, 1)}, b'{"when":"2020-01-01"}'),
        (dict[str, object], {"mail": Letter()}, b'{"mail":{"kind":"letter"}}'),
    ],
)
def test_a_result_without_a_type_is_its_json_value(annotation: Any, value: Any, raw: bytes) -> None:
    assert result_of(annotation, value) == raw
