"""The scripts of flows: the keys and arguments of each, and what comes back.

Times are milliseconds here, at the wire, and seconds everywhere above.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rota.model.options import EnqueueOptions
from rota.server.failover.replicated import replicated
from rota.settings.settings import Settings
from rota.wire import envelopes, results
from rota.wire.keys import events_key, flow_alias_key, flow_key
from rota.wire.scripts import FLOW_FAN_OUT, FLOW_RETRY, FLOW_START, FLOW_STOP

#: What `flow_retry` answers.
Retried = Literal["retried", "stopping", "refused", "absent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFlow:
    """A flow that is to be begun.

    :param id: the id under which it lies in Redis.
    :param kind: "pipeline" or "batch".
    :param name: how it is shown.
    :param options: `id` is the user's own id, `keep_result` is how long the flow is kept once it is over, in seconds.
    :param plan: the fields from which the scripts start its stages.
    :param given: the JSON of the first stage's input, where that is not in the payload of the first job.
    :param stages: the names of its stages, as JSON, to be shown.
    :param total: the number of jobs of a batch.
    :param tenant: whose it is, with what the scripts put of it.
    """

    id: str
    kind: Literal["pipeline", "batch"]
    name: str
    options: EnqueueOptions
    plan: Mapping[str, Any]
    given: bytes = b""
    stages: bytes = b"[]"
    total: int = 0
    tenant: str | None = None


class FlowScripts:
    """The scripts that change flows, over one connection. They raise the faults of Redis as they are."""

    def __init__(self, redis: Any, settings: Settings) -> None:
        self._redis = replicated(redis, settings.replicas, settings.durability_timeout, settings.namespace)
        self._settings = settings
        self._events = events_key(settings.namespace)

    async def start(self, flow: NewFlow) -> tuple[bool, str]:
        """Write a flow and its plan down, and start its first stage.

        Returns True and its id; or False and the id of the flow that has the user's id, and nothing is written.
        """
        settings, options = self._settings, flow.options
        key = flow_key(settings.namespace, flow.id)
        alias = () if options.id is None else (flow_alias_key(settings.namespace, options.id),)
        keep = settings.keep_result if options.keep_result is None else options.keep_result
        args: list[Any] = [settings.events_maxlen, flow.id, flow.kind, flow.name]
        args += (_life_ms(keep), _life_ms(settings.dead_retention), flow.given, flow.stages, flow.total)
        args.append(flow.tenant or "")
        for field, value in flow.plan.items():
            args += (field, value)
        created, flow_id = await FLOW_START(self._redis, (key, f"{key}:plan", self._events, *alias), args)
        return bool(created), flow_id.decode()

    async def put(
        self, flow_id: str, stage: int, cursor: int, total: int, jobs: Iterable[Any] = ()
    ) -> tuple[int, int]:
        """Put the jobs of a batch, or the items of a fan-out, from number `cursor` on; -1 only asks.

        `jobs` holds their values as `flow_fan_out.lua` takes them. Returns the number of the first job that is not put
        yet (-1: the stage is over), and how many this call put: none where another call was ahead of this one.
        """
        keys = (flow_key(self._settings.namespace, flow_id), self._events)
        cursor, put = await FLOW_FAN_OUT(
            self._redis, keys, (self._settings.events_maxlen, stage, cursor, total, *jobs)
        )
        return cursor, put

    async def stop(self, key: str, *, cancel: bool) -> tuple[str, bool]:
        """Stop one portion of the jobs that the flow at `key` has left; with `cancel`, cancel the flow first.

        Returns the flow's state before, which is empty for a flow that is unknown, and whether more is left to stop.
        """
        error = results.encode_error(asyncio.CancelledError("the whole of it was cancelled"))
        before, more = await FLOW_STOP(
            self._redis, (key, self._events), (self._settings.events_maxlen, 1 if cancel else 0, error)
        )
        return before.decode(), more == 1

    async def retry(self, key: str, headers: Mapping[str, str]) -> Retried:
        """Let the dead flow at `key` go on; what it puts from then on has `headers`, if there are any."""
        raw = envelopes.encode_headers(headers) if headers else b""
        answer = await FLOW_RETRY(self._redis, (key, self._events), (self._settings.events_maxlen, raw))
        retried: Retried = answer.decode()
        return retried


def _life_ms(seconds: float) -> int:
    # A key cannot live for 0 ms.
    return max(1, round(seconds * 1000))
