"""Jobs and final records under their seals. Every function leaves a text as it is where the process has no keys."""

import re
from typing import Any

from pydantic_core import from_json, to_json

from rota.errors import RefusedPayload
from rota.wire.sealing.seals import Place, Sealer

# The job by which a script stops what is left of a flow.
_SWEEP = re.compile(
    rb'(\{"v":1,"f":"_sweep","t":null,"a":\[\],"k":\{\},"et":[0-9]{1,15})(?:,"h":\{[^{}]*\})?\}'
)

_TIME = re.compile(rb',"et":([0-9]+)[,}]')

# What stays readable of an encrypted record; of a job that was not completed its error too, which others know as well.
_SHOWN = ("t", "f", "et", "s", "st", "ft", "q", "id", "h")


def seal_job(sealer: Sealer | None, raw: bytes, *, queue: str, job_id: str) -> bytes:
    """Return a job of ours with its seal; `raw` has its headers already, and so the tenant among them."""
    if sealer is None or not sealer.signs:
        return raw
    return sealer.seal(raw, Place("job", queue, job_id), _outline(raw) if sealer.encrypts else b"")


def seal_stage(sealer: Sealer, raw: bytes, *, queue: str, stage: str) -> bytes:
    """Return a job that scripts put, with its seal: bound to a stage, as `stage_of` names it, and not to an item."""
    return sealer.seal(raw, Place("stage", queue, stage), _outline(raw) if sealer.encrypts else b"")


def unseal_job(sealer: Sealer | None, raw: bytes, *, queue: str, job_id: str) -> bytes:
    """Return a job without its seal, which fits. Raises RefusedPayload."""
    if sealer is None:
        return raw
    try:
        return sealer.open(raw, Place("job", queue, job_id))
    except RefusedPayload as error:
        if error.reason == "unsigned" and (found := _SWEEP.fullmatch(raw)):
            # It stops what is left of a flow that is over, has no arguments, and is made by a script, without a key.
            return found[1] + b"}"
        stage = stage_of(job_id) if error.reason == "bad_signature" else None
        if stage is None:
            raise
    return sealer.open(raw, Place("stage", queue, stage))


def stage_of(job_id: str) -> str | None:
    """Return the stage that a flow's job is of, without the items above it: `<flow>/0.2/each`; None for another id."""
    flow, *rest = job_id.split(".")
    stages, items = rest[::2], rest[1::2]
    if not items or len(stages) != len(items) or not all(map(str.isdigit, stages)):
        return None
    return f"{flow}/{'.'.join(stages)}/{items[-1]}"


def seal_record(sealer: Sealer | None, raw: bytes, *, queue: str, job_id: str) -> bytes:
    """Return the final record of a job with its seal; an empty one, which is none, as it is."""
    if sealer is None or not sealer.signs or not raw:
        return raw
    return sealer.seal(raw, Place("record", queue, job_id), _summary(raw) if sealer.encrypts else b"")


def unseal_record(sealer: Sealer | None, raw: bytes, *, queue: str, job_id: str) -> bytes:
    """Return a final record without its seal, which fits. Raises RefusedPayload."""
    return raw if sealer is None else sealer.open(raw, Place("record", queue, job_id))


def _outline(raw: bytes) -> bytes:
    """Return a job's format, name, time and tenant as an object that begins as every job of ours does."""
    if b'"tenant":' not in raw and (time := _TIME.match(raw, raw.rfind(b',"et":'))):
        return b'%b,"et":%b}' % (raw[: raw.index(b',"a":')], time[1])
    data: dict[str, Any] = from_json(raw)
    tenant = {name: text for name, text in data.get("h", {}).items() if name == "tenant"}
    shown = {"v": data["v"], "f": data["f"], "t": data["t"], "et": data["et"]}
    return to_json({**shown, "h": tenant} if tenant else shown)


def _summary(raw: bytes) -> bytes:
    record: dict[str, Any] = from_json(raw)
    shown = {name: record[name] for name in _SHOWN if name in record}
    return to_json(shown if record["s"] else {**shown, "r": record["r"]})
