"""The fields of a form that makes a job: from the schema of its payload to inputs, and from what is written to JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json, to_json

#: What a field is written into: a text, a number, one of some values, or JSON where its schema is not flat.
Kind = Literal["text", "number", "choice", "json"]

#: What stands before the name of a field in the form, so that it is none of the form's own.
PREFIX = "payload."
_BOOLEANS = ("true", "false")
#: What is shown in a field that is empty, by the format of its text.
_HINTS = {
    "date": "2030-01-31",
    "date-time": "2030-01-31T08:00:00Z",
    "time": "08:00:00",
    "duration": "PT1H",
    "uuid": "01234567-89ab-4cde-8f01-23456789abcd",
    "email": "ann@example.com",
    "uri": "https://example.com/",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a payload.

    :param choices: the values of a choice, as JSON.
    :param about: what its values are to be, in words.
    """

    name: str
    kind: Kind
    is_required: bool
    choices: tuple[str, ...] = ()
    about: str = ""
    hint: str = ""

    @property
    def input(self) -> str:
        """The name of its input in the form."""
        return PREFIX + self.name

    def written(self, value: Any) -> str:
        """Return a value as it is written into the field."""
        if self.kind == "text" and isinstance(value, str):
            return value
        return to_json(value, indent=2 if self.kind == "json" else None).decode()

    def read(self, text: str) -> Any:
        """Return the value that was written. What is not JSON stays a text, for the job to say what is wrong with it.

        Raises ValueError for what is to be JSON, and is not.
        """
        if self.kind == "text":
            return text
        try:
            return from_json(text, allow_inf_nan=False)
        except ValueError:
            if self.kind == "json":
                raise ValueError("is not JSON") from None
            return text


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    """Return a field for each argument of a payload, by the schema of that."""
    required, known = schema.get("required", ()), schema.get("$defs", {})
    return [
        _field(name, _flat(one, known), name in required)
        for name, one in schema.get("properties", {}).items()
    ]


def payload_of(fields: list[Field], form: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the payload that was written into the fields, and what is wrong in which; optional ones may be empty."""
    payload, wrong = {}, {}
    for one in fields:
        text = form.get(one.input, "")
        if not text and not (one.is_required and one.kind == "text"):
            continue
        try:
            payload[one.name] = one.read(text)
        except ValueError as error:
            wrong[one.name] = str(error)
    return payload, wrong


def _flat(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema without what leads to it: its name among others, and that it may be null."""
    choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(choices) == 1:
        return _flat({**choices[0], **_said(schema)}, known)
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return {**known.get(name, {}), **_said(schema)}
    return schema


def _said(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: schema[name] for name in ("description",) if name in schema}


def _field(name: str, schema: Mapping[str, Any], is_required: bool) -> Field:
    kind, about = schema.get("type"), str(schema.get("description", ""))
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if values is not None:
        return Field(name, "choice", is_required, tuple(to_json(one).decode() for one in values), about)
    if kind == "boolean":
        return Field(name, "choice", is_required, _BOOLEANS, about)
    if kind in ("integer", "number"):
        return Field(name, "number", is_required, about=about or f"{kind}{_bounds(schema)}")
    if kind == "string":
        form = str(schema.get("format", ""))
        return Field(name, "text", is_required, about=about or form, hint=_HINTS.get(form, ""))
    return Field(name, "json", is_required, about=about or f"{kind or 'a value'}, as JSON")


def _bounds(schema: Mapping[str, Any]) -> str:
    """Return the bounds of a number in words."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return "".join(f" {sign} {schema[name]}" for name, sign in signs.items() if name in schema)
