"""A type, compiled to check values and to write and read them as JSON; its complaints never show a value."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, get_args, get_origin

from pydantic import ConfigDict, Secret, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, SchemaSerializer, SchemaValidator
from pydantic_core.core_schema import CoreConfig, ErrorType

from rota.model.payload.arrival import change

#: Bytes and infinities, for which JSON has no form, come back as they were sent. Errors do not hold the input.
CONFIG = ConfigDict(
    ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings", hide_input_in_errors=True
)
_CORE_CONFIG = CoreConfig(
    ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings", hide_input_in_errors=True
)

# Parts of a schema that hold data and functions of the user, which can look like a schema.
_OPAQUE = frozenset({"default", "metadata", "serialization", "config", "expected", "function"})

# Keys of a schema whose dictionary holds parts by names of the user, which can be any.
_NAMED = frozenset({"fields", "choices"})

# Types of which JSON writes every value as no other; all others are compared after the way.
_PLAIN = frozenset({"none", "bool", "int", "float", "str", "list", "dict", "nullable", "typed-dict-field"})

# All that a schema may have which takes whatever is of its type.
_OF_UNBOUNDED = frozenset(
    {"type", "schema", "items_schema", "keys_schema", "values_schema", "required", "metadata"}
)

_SECRETS = (Secret, SecretStr, SecretBytes)

_KNOWN_ERRORS = frozenset(get_args(ErrorType))
_MOST_PROBLEMS = 10
_NAME_LIMIT = 60

#: The reason that is given for an argument that the handler does not have.
NOT_AN_ARGUMENT = "is not an argument"

# A validator's own message may quote the value, so these replace it.
_WORDS = {
    "missing": "is required",
    "extra_forbidden": NOT_AN_ARGUMENT,
    "value_error": "was refused by its validator",
    "assertion_error": "was refused by its validator",
    "union_tag_invalid": "has a tag that is none of the expected ones",
}


class Form:
    """A compiled type. The sender uses `check` and `write`, the receiver `read`.

    Raises TypeError for a type whose values cannot be checked or cannot travel as JSON, and NameError for a type with
    a name that is not defined yet.
    """

    __slots__ = ("_schema", "_sequences", "_untyped", "check", "is_plain", "is_unbounded", "read", "write")

    def __init__(self, annotation: Any) -> None:
        self._schema = _schema_of(annotation)
        _refuse_what_json_cannot_carry(self._schema)
        validator = SchemaValidator(self._schema, _CORE_CONFIG)
        serializer = SchemaSerializer(self._schema, _CORE_CONFIG)
        #: Whether every checked value comes back from JSON as it is, so that `change` need not be asked.
        self.is_plain = _is_plain(self._schema)
        #: Whether it is plain, and `read` refuses nothing that `check` returned, unless that is too deep.
        #: A pattern may be against what a text was changed to, and a strict number takes no text for infinity.
        self.is_unbounded = self.is_plain and all(_is_unbounded(node) for node in _nodes(self._schema))
        self._sequences = _with_sequences(self._schema)
        self._untyped = any(node.get("type") == "any" for node in _nodes(self._schema))
        #: Returns a value as the type; raises pydantic's ValidationError.
        self.check = validator.validate_python
        #: Returns the value of JSON bytes; raises pydantic's ValidationError.
        self.read = validator.validate_json
        #: Returns a checked value as JSON that `read` takes; raises ValueError.
        self.write = partial(serializer.to_json, by_alias=True, round_trip=True)

    def json_schema(self, ref_template: str) -> dict[str, Any]:
        """Return the JSON schema of what `read` takes; a part that has none may be anything. For documents."""
        return _Documented(ref_template=ref_template).generate(self._schema)

    def changed_arguments(self, given: dict[str, Any], arrived: dict[str, Any]) -> dict[str, str]:
        """Return what would change each argument on its way through JSON, by field."""
        declared, found = frozenset(_declared(self._schema)), {}
        for name, value in given.items():
            loose = self._sequences is None or name in self._sequences
            if (how := change(value, arrived[name], sequences=loose)) is not None:
                found[_path((name, *how[0]), declared, within=False)] = how[1]
        return found

    def changed(self, given: Any, arrived: Any) -> dict[str, str]:
        """Return what would change a value on its way through JSON, by field; untyped parts may become plain JSON."""
        how = change(given, arrived, sequences=self._sequences != frozenset(), as_json=self._untyped)
        return {} if how is None else {_path(how[0], frozenset(_declared(self._schema)), within=True): how[1]}

    def problems(self, error: ValidationError, *, within: bool = False) -> dict[str, str]:
        """Return the reason for each wrong field, without any of the values.

        The first part of an error's path is an argument's name or, with `within`, already a part of the value.
        """
        declared = frozenset(_declared(self._schema))
        found: dict[str, str] = {}
        for detail in error.errors(include_url=False, include_input=False):
            field, reason = _path(detail["loc"], declared, within=within), _reason(detail)
            if reason not in found.get(field, ""):
                found[field] = f"{found[field]}, or {reason}" if field in found else reason
        kept = dict(list(found.items())[:_MOST_PROBLEMS])
        return kept if len(kept) == len(found) else kept | {"": f"and {len(found) - len(kept)} more"}


class _Documented(GenerateJsonSchema):
    """The maker of schemas for documents, which describes what it can and refuses nothing."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default", "skipped-discriminator"}  # noqa: RUF012 - as the base has it

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}


def _path(location: tuple[int | str, ...], declared: frozenset[str], *, within: bool) -> str:
    path = ""
    for depth, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
        elif depth == 0 and not within:
            path = part if part.isidentifier() else ascii(part[:_NAME_LIMIT])
        elif part in declared:
            # Other names deeper down are keys of a dictionary, which are data.
            path += f".{part}"
    return path.removeprefix(".")


def _reason(detail: ErrorDetails) -> str:
    kind, message = detail["type"], detail["msg"]
    if kind in _WORDS:
        return _WORDS[kind]
    if kind not in _KNOWN_ERRORS:
        return "was refused by its validator"
    context = detail.get("ctx", {})
    if "error" in context or "encoding_error" in context:
        return message.partition(", ")[0].partition(": ")[0]
    return message


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for key, part in schema.items():
            if key in _NAMED and isinstance(part, dict):
                yield from _nodes(list(part.values()))
            elif key not in _OPAQUE:
                yield from _nodes(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _nodes(part)


def _declared(schema: Any) -> Iterator[str]:
    for node in _nodes(schema):
        fields = node.get("fields")
        if isinstance(fields, dict):
            yield from fields
        elif isinstance(fields, list):
            yield from (field["name"] for field in fields if "name" in field)


def _is_plain(schema: Any) -> bool:
    # Of the arguments themselves, which are a typed dictionary, only the parts count.
    nodes = _nodes(list(schema["fields"].values()) if schema["type"] == "typed-dict" else schema)
    return all(node.get("type") in _PLAIN and _has_plain_keys(node) for node in nodes)


def _is_unbounded(node: dict[str, Any]) -> bool:
    return node.get("type") == "typed-dict" or node.keys() <= _OF_UNBOUNDED


def _has_plain_keys(node: dict[str, Any]) -> bool:
    keys = node.get("keys_schema", {})
    return node["type"] != "dict" or bool(keys.get("type") == "str")


def _with_sequences(schema: Any) -> frozenset[str] | None:
    """Return which arguments have a Sequence in their type; None where that cannot be told apart.

    A Sequence is taken in any form, and arrives as a list.
    """
    if schema["type"] == "typed-dict":
        return frozenset(name for name, part in schema["fields"].items() if _has_sequence(part))
    return None if _has_sequence(schema) else frozenset()


def _has_sequence(schema: Any) -> bool:
    classes = (node.get("cls") for node in _nodes(schema) if node.get("type") == "is-instance")
    return any((get_origin(kind) or kind) is Sequence for kind in classes)


def _schema_of(annotation: Any) -> Any:
    try:
        adapter = TypeAdapter[Any](annotation)
        if not adapter.pydantic_complete:
            adapter.rebuild(force=True, raise_errors=True)
    except PydanticUndefinedAnnotation as error:
        raise NameError(f"name {error.name!r} is not defined") from None
    except PydanticSchemaGenerationError as error:
        named = str(error).partition("\n")[0].partition("schema for ")[2].partition(". Set `")[0]
        raise TypeError(f"pydantic does not know how to check {named or annotation}") from None
    except PydanticUserError as error:
        raise TypeError(str(error).partition("\n")[0]) from None
    return adapter.core_schema


def _refuse_what_json_cannot_carry(schema: Any) -> None:
    for node in _nodes(schema):
        kind, owner = node.get("type"), node.get("cls")
        if kind in {"callable", "is-subclass"}:
            raise TypeError("a function or a class cannot travel as JSON; pass a name")
        if kind == "generator":
            raise TypeError("an Iterable is checked only as it is read; use list or Sequence")
        if kind == "is-instance" and isinstance(owner, type) and issubclass(owner, _SECRETS):
            raise TypeError(f"a {owner.__name__} is masked in JSON; pass a reference and look the secret up")
