"""What a handler saves of how far its job is: any JSON value."""

from typing import Any

from pydantic_core import from_json, to_json

from rota.errors import CheckpointTooLarge
from rota.model.payload.depth import check_depth


def encode(state: Any, limit: int) -> bytes:
    """Return `state` as JSON of at most `limit` bytes.

    Raises TypeError for what JSON cannot carry, CheckpointTooLarge.
    """
    try:
        raw = to_json(state, bytes_mode="base64")
        if b"NaN" in raw or b"Infinity" in raw:
            from_json(raw, allow_inf_nan=False)
        check_depth(raw)
    except ValueError as error:
        reason = str(error).removeprefix("Error serializing to JSON: ")
        raise TypeError(
            f"a checkpoint is a value that JSON can carry, and comes back from it; this one is not: {reason}"
        ) from None
    if len(raw) > limit:
        raise CheckpointTooLarge(len(raw), limit)
    return raw
