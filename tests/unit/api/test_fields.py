"""The fields by which a job is made: what each is by its schema, and what is written into it as JSON."""

from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from rota import Run, job
from rota.api.documents.document import payload_schema
from rota.api.pages.screens.jobs.fields import fields_of, payload_of


class Size(Enum):
    SMALL = 1
    LARGE = 2


class Address(BaseModel):
    street: str


@job
async def ship(
    run: Run,
    *,
    order_id: Annotated[int, Field(ge=1)],
    street: str,
    weight: float = 1.5,
    express: bool = False,
    kind: Literal["book", "food"] = "book",
    size: Size = Size.SMALL,
    note: Annotated[str | None, Field(description="for the driver")] = None,
    day: date | None = None,
    tags: tuple[str, ...] = (),
    to: Address | None = None,
    either: int | str = 1,
) -> None: ...


FIELDS = fields_of(payload_schema(ship))
BY_NAME = {one.name: one for one in FIELDS}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("order_id", "number"),
        ("street", "text"),
        ("weight", "number"),
        ("express", "choice"),
        ("kind", "choice"),
        ("size", "choice"),
        ("note", "text"),
        ("day", "text"),
        ("tags", "json"),
        ("to", "json"),
        ("either", "json"),
    ],
)
def test_a_field_is_what_its_schema_says(name: str, kind: str) -> None:
    assert BY_NAME[name].kind == kind


def test_a_field_tells_what_its_values_are() -> None:
    assert BY_NAME["express"].choices == ("true", "false")
    assert BY_NAME["kind"].choices == ('"book"', '"food"')
    assert BY_NAME["size"].choices == ("1", "2")
    assert BY_NAME["order_id"].about == "integer ≥ 1"
    assert BY_NAME["note"].about == "for the driver"
    assert BY_NAME["day"].hint == "2030-01-31"
    assert [one.name for one in FIELDS if one.is_required] == ["order_id", "street"]


def test_what_is_written_becomes_a_payload_in_which_empty_fields_are_left_out() -> None:
    written = {
        "order_id": "12345678901234567890",
        "street": "",
        "weight": "",
        "express": "true",
        "kind": '"food"',
        "note": "null",
        "tags": '["a", 1]',
        "either": "7",
    }
    payload, wrong = payload_of(FIELDS, {f"payload.{name}": text for name, text in written.items()})
    assert wrong == {}
    assert payload == {
        "order_id": 12345678901234567890,
        "street": "",
        "express": True,
        "kind": "food",
        "note": "null",
        "tags": ["a", 1],
        "either": 7,
    }


def test_a_number_that_is_none_is_for_the_job_to_refuse_and_json_that_is_none_is_refused() -> None:
    payload, wrong = payload_of(FIELDS, {"payload.order_id": "NaN", "payload.to": "{street"})
    assert payload == {"order_id": "NaN", "street": ""}
    assert wrong == {"to": "is not JSON"}


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("street", 'a "b"', 'a "b"'),
        ("order_id", 7, "7"),
        ("kind", "book", '"book"'),
        ("express", True, "true"),
        ("to", {"street": "x"}, '{\n  "street": "x"\n}'),
        ("note", None, "null"),
    ],
)
def test_a_value_is_written_into_its_field(name: str, value: Any, text: str) -> None:
    assert BY_NAME[name].written(value) == text
