"""Examples of payloads for documents, made of their JSON schemas."""

from typing import Any

_BY_FORMAT = {
    "date-time": "2030-01-31T08:00:00Z",
    "date": "2030-01-31",
    "time": "08:00:00",
    "duration": "PT1H",
    "email": "ann@example.com",
    "uri": "https://example.com/",
    "uuid": "01234567-89ab-4cde-8f01-23456789abcd",
    "binary": "aGVsbG8=",
}
_BY_TYPE: dict[str, Any] = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}
#: Deeper than this a schema refers to itself.
_DEEPEST = 8


def example_of(schema: dict[str, Any], schemas: dict[str, Any], depth: int = 0) -> Any:
    """Return a value that fits the schema as far as one can tell; None where none is found."""
    if depth > _DEEPEST:
        return None
    for key in ("default", "const", "example"):
        if key in schema:
            return schema[key]
    if several := schema.get("examples") or schema.get("enum"):
        return several[0]
    if "$ref" in schema:
        return example_of(schemas.get(schema["$ref"].rpartition("/")[2], {}), schemas, depth + 1)
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        if choice.get("type") != "null":
            return example_of(choice, schemas, depth + 1)
    return _of_type(schema, schemas, depth)


def _of_type(schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        fields, required = schema.get("properties", {}), schema.get("required", ())
        return {name: example_of(fields[name], schemas, depth + 1) for name in fields if name in required}
    if kind == "array":
        return _items(schema, schemas, depth)
    if kind in ("integer", "number"):
        return _number(schema, kind)
    if kind == "string":
        text = _BY_FORMAT.get(schema.get("format", ""), "text")
        return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
    return _BY_TYPE.get(kind or "")


def _items(schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> list[Any]:
    given = schema.get("prefixItems", [])
    rest = [schema["items"]] * max(1, schema.get("minItems", 1)) if "items" in schema and not given else []
    return [example_of(one, schemas, depth + 1) for one in [*given, *rest]]


def _number(schema: dict[str, Any], kind: str) -> Any:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    if low is not None:
        return low + 1 if "exclusiveMinimum" in schema else low
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if high is not None and high <= _BY_TYPE[kind]:
        return high - 1
    return _BY_TYPE[kind]
