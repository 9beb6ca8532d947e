"""How far a job has come, in its handler's own words: a JSON value with a number, so that the older never wins."""

from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from rota.errors import CheckpointTooLarge
from rota.payload import check_depth


class Checkpoint(NamedTuple):
    """What a run has saved last. `number` counts the saves of a job, over all its attempts; `state` is JSON."""

    number: int = 0
    state: bytes = b"null"

    @classmethod
    def read(cls, raw: bytes | None) -> "Checkpoint":
        """A checkpoint as it lies in Redis, `number state`; one with the number 0 where there is none."""
        if raw is None:
            return _NOTHING  # of most jobs: made once
        number, _, state = raw.partition(b" ")
        return cls(int(number) if number.isdigit() else 0, state)

    def wire(self) -> bytes:
        """What `read` reads."""
        return b"%d %b" % self

    @property
    def value(self) -> Any:
        """The state; raises ValueError for one that is no JSON."""
        return from_json(self.state, allow_inf_nan=False)


_NOTHING = Checkpoint()


def encode(state: Any, limit: int) -> bytes:
    """The JSON of what a handler saves, at most `limit` bytes.

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
