"""The plan of a flow under the seals of its client: what scripts put from it was signed before the flow began."""

from collections.abc import Mapping
from typing import Any

from rota.wire import envelopes
from rota.wire.sealing.sealed import seal_job, seal_stage
from rota.wire.sealing.seals import Sealer


def with_headers(
    plan: Mapping[str, Any], headers: Mapping[str, str], sealer: Sealer | None, flow_id: str
) -> dict[str, Any]:
    """Return the plan of a flow with the headers of all that scripts put from it.

    They are a field of the plan, which scripts add to each payload; in a plan that is signed the payloads have them.
    """
    if sealer is None or not sealer.signs:
        return {**plan, **({"headers": envelopes.encode_headers(headers)} if headers else {})}
    return {name: _field(plan, name, headers, sealer, flow_id) for name in plan}


def _field(
    plan: Mapping[str, Any], name: str, headers: Mapping[str, str], sealer: Sealer, flow_id: str
) -> Any:
    at, _, field = name.rpartition(":")
    if field not in ("payload", "fan_out"):
        return plan[name]
    raw, queue = envelopes.with_headers(plan[name], headers), plan[f"{at}:queue"]
    if at in ("finished", "died"):  # what a batch calls back
        return seal_job(sealer, raw, queue=queue, job_id=f"{flow_id}.0.{at}")
    # The items above a stage have no numbers yet, and make no difference to what the plan says of it.
    item = "each" if field == "fan_out" else "0"
    return seal_stage(sealer, raw, queue=queue, stage=f"{flow_id}/{at}/{item}")
