"""rota: background jobs in production, on arq's wire format and client.

What a team writes its jobs with, and enqueues them by, is imported from here. Names that pull in arq and Redis are
loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# At once, and before anything else can import the submodule: it would stand where the decorator is looked for.
from rota.job import Job, job

if TYPE_CHECKING:
    from rota.app import connect
    from rota.backoff import Backoff, exponential, fixed, linear, none
    from rota.batch import Batch
    from rota.batches import BatchHandle, BatchInfo
    from rota.carried import headers
    from rota.client import Client
    from rota.codec import job_deserializer, job_serializer
    from rota.errors import (
        Cancel,
        CheckpointTooLarge,
        EnqueueIncomplete,
        InvalidPayload,
        JobCancelled,
        JobError,
        JobExists,
        JobFailed,
        JobNotFound,
        NotReplayed,
        PayloadTooLarge,
        ResultTimeout,
        Retry,
        RotaError,
        Snooze,
        UnknownJob,
        UnknownQueue,
    )
    from rota.event import Event, EventType
    from rota.flow_handle import FlowHandle, FlowInfo, StageInfo
    from rota.handle import Handle
    from rota.info import JobInfo
    from rota.limits import at_most, per_hour, per_minute, per_second
    from rota.pipelines import Pipeline, each, pipeline
    from rota.run import Run
    from rota.state import State
    from rota.uniqueness import debounce, throttle, unique
    from rota.worker import QueueWorker

__all__ = [
    "Backoff",
    "Batch",
    "BatchHandle",
    "BatchInfo",
    "Cancel",
    "CheckpointTooLarge",
    "Client",
    "EnqueueIncomplete",
    "Event",
    "EventType",
    "FlowHandle",
    "FlowInfo",
    "Handle",
    "InvalidPayload",
    "Job",
    "JobCancelled",
    "JobError",
    "JobExists",
    "JobFailed",
    "JobInfo",
    "JobNotFound",
    "NotReplayed",
    "PayloadTooLarge",
    "Pipeline",
    "QueueWorker",
    "ResultTimeout",
    "Retry",
    "RotaError",
    "Run",
    "Snooze",
    "StageInfo",
    "State",
    "UnknownJob",
    "UnknownQueue",
    "at_most",
    "connect",
    "debounce",
    "each",
    "exponential",
    "fixed",
    "headers",
    "job",
    "job_deserializer",
    "job_serializer",
    "linear",
    "none",
    "per_hour",
    "per_minute",
    "per_second",
    "pipeline",
    "throttle",
    "unique",
]

_HOMES = {
    "rota.app": ("connect",),
    "rota.backoff": ("Backoff", "exponential", "fixed", "linear", "none"),
    "rota.batch": ("Batch",),
    "rota.batches": ("BatchHandle", "BatchInfo"),
    "rota.carried": ("headers",),
    "rota.client": ("Client",),
    "rota.codec": ("job_deserializer", "job_serializer"),
    "rota.event": ("Event", "EventType"),
    "rota.info": ("JobInfo",),
    "rota.limits": ("at_most", "per_hour", "per_minute", "per_second"),
    "rota.flow_handle": ("FlowHandle", "FlowInfo", "StageInfo"),
    "rota.handle": ("Handle",),
    "rota.pipelines": ("Pipeline", "each", "pipeline"),
    "rota.run": ("Run",),
    "rota.state": ("State",),
    "rota.uniqueness": ("debounce", "throttle", "unique"),
    "rota.worker": ("QueueWorker",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'rota' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF.get(name, "rota.errors")), name)
    globals()[name] = value
    return value
