"""rota: background jobs in production, on arq's wire format and client.

What a team writes its jobs with, and enqueues them by, is imported from here. Names that pull in arq and Redis are
loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rota.app.connect import connect, connect_sync
    from rota.client.client import Client
    from rota.client.recording.recorded import RecordedWarning
    from rota.client.sync import SyncBatchHandle, SyncClient
    from rota.client.webhooks.fetch import fetch
    from rota.errors import (
        Cancel,
        CheckpointTooLarge,
        EnqueueIncomplete,
        FetchFailed,
        FetchRefused,
        InvalidPayload,
        JobCancelled,
        JobError,
        JobExists,
        JobFailed,
        JobNotFound,
        NoDatabase,
        NoDeadLetter,
        NotReplayed,
        NotRunning,
        OnlyRecorded,
        OutboxUnusable,
        PayloadTooLarge,
        ResultTimeout,
        Retry,
        RotaError,
        Snooze,
        UnknownJob,
        UnknownQueue,
        UnknownSchedule,
        WorkerSilent,
    )
    from rota.flows.batches import BatchHandle, BatchInfo
    from rota.model.event import Event, EventType, StreamEvent
    from rota.model.flows.batch import Batch
    from rota.model.flows.handle import FlowHandle, FlowInfo, StageInfo
    from rota.model.flows.pipelines import each, pipeline
    from rota.model.flows.stages import Pipeline
    from rota.model.handle import Handle
    from rota.model.headers import headers
    from rota.model.history.series import DeployMark, Distribution, HistoryPoint, QueueHistory
    from rota.model.info import FailureGroup, JobInfo
    from rota.model.job import Job, job
    from rota.model.log.lines import LogLine
    from rota.model.policies.backoff import Backoff, exponential, fixed, linear, none
    from rota.model.policies.limits import at_most, per_hour, per_minute, per_second
    from rota.model.policies.uniqueness import debounce, throttle, unique
    from rota.model.run import Run
    from rota.model.schedules.every import every
    from rota.model.schedules.info import ScheduleInfo
    from rota.model.stack.stack import JobStack, StackFrame
    from rota.model.state import State
    from rota.model.sync import SyncFlowHandle, SyncHandle
    from rota.process.outbound.fetching import Answer
    from rota.seams import CallNext, Middleware, Outgoing, Sender, Subscriber
    from rota.server.faults import ServerError
    from rota.settings.settings import ConfigError
    from rota.store.reading import audit_connection
    from rota.telemetry.metrics.page import client_metrics
    from rota.wire.envelopes import job_deserializer, job_serializer
    from rota.worker.arq_settings import run_worker
    from rota.worker.worker import QueueWorker

__all__ = [
    "Answer",
    "Backoff",
    "Batch",
    "BatchHandle",
    "BatchInfo",
    "CallNext",
    "Cancel",
    "CheckpointTooLarge",
    "Client",
    "ConfigError",
    "DeployMark",
    "Distribution",
    "EnqueueIncomplete",
    "Event",
    "EventType",
    "FailureGroup",
    "FetchFailed",
    "FetchRefused",
    "FlowHandle",
    "FlowInfo",
    "Handle",
    "HistoryPoint",
    "InvalidPayload",
    "Job",
    "JobCancelled",
    "JobError",
    "JobExists",
    "JobFailed",
    "JobInfo",
    "JobNotFound",
    "JobStack",
    "LogLine",
    "Middleware",
    "NoDatabase",
    "NoDeadLetter",
    "NotReplayed",
    "NotRunning",
    "OnlyRecorded",
    "OutboxUnusable",
    "Outgoing",
    "PayloadTooLarge",
    "Pipeline",
    "QueueHistory",
    "QueueWorker",
    "RecordedWarning",
    "ResultTimeout",
    "Retry",
    "RotaError",
    "Run",
    "ScheduleInfo",
    "Sender",
    "ServerError",
    "Snooze",
    "StackFrame",
    "StageInfo",
    "State",
    "StreamEvent",
    "Subscriber",
    "SyncBatchHandle",
    "SyncClient",
    "SyncFlowHandle",
    "SyncHandle",
    "UnknownJob",
    "UnknownQueue",
    "UnknownSchedule",
    "WorkerSilent",
    "at_most",
    "audit_connection",
    "client_metrics",
    "connect",
    "connect_sync",
    "debounce",
    "each",
    "every",
    "exponential",
    "fetch",
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
    "run_worker",
    "throttle",
    "unique",
]

_HOMES = {
    "rota.app.connect": ("connect", "connect_sync"),
    "rota.model.policies.backoff": ("Backoff", "exponential", "fixed", "linear", "none"),
    "rota.model.flows.batch": ("Batch",),
    "rota.flows.batches": ("BatchHandle", "BatchInfo"),
    "rota.model.headers": ("headers",),
    "rota.client.client": ("Client",),
    "rota.client.recording.recorded": ("RecordedWarning",),
    "rota.client.sync": ("SyncBatchHandle", "SyncClient"),
    "rota.client.webhooks.fetch": ("fetch",),
    "rota.process.outbound.fetching": ("Answer",),
    "rota.telemetry.metrics.page": ("client_metrics",),
    "rota.wire.envelopes": ("job_deserializer", "job_serializer"),
    "rota.model.history.series": ("DeployMark", "Distribution", "HistoryPoint", "QueueHistory"),
    "rota.model.event": ("Event", "EventType", "StreamEvent"),
    "rota.model.info": ("FailureGroup", "JobInfo"),
    "rota.model.job": ("Job", "job"),
    "rota.model.log.lines": ("LogLine",),
    "rota.model.policies.limits": ("at_most", "per_hour", "per_minute", "per_second"),
    "rota.model.flows.handle": ("FlowHandle", "FlowInfo", "StageInfo"),
    "rota.model.handle": ("Handle",),
    "rota.model.flows.pipelines": ("each", "pipeline"),
    "rota.model.flows.stages": ("Pipeline",),
    "rota.model.run": ("Run",),
    "rota.model.schedules.every": ("every",),
    "rota.model.schedules.info": ("ScheduleInfo",),
    "rota.model.stack.stack": ("JobStack", "StackFrame"),
    "rota.model.state": ("State",),
    "rota.model.sync": ("SyncFlowHandle", "SyncHandle"),
    "rota.seams": ("CallNext", "Middleware", "Outgoing", "Sender", "Subscriber"),
    "rota.server.faults": ("ServerError",),
    "rota.settings.settings": ("ConfigError",),
    "rota.store.reading": ("audit_connection",),
    "rota.model.policies.uniqueness": ("debounce", "throttle", "unique"),
    "rota.worker.arq_settings": ("run_worker",),
    "rota.worker.worker": ("QueueWorker",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'rota' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF.get(name, "rota.errors")), name)
    globals()[name] = value
    return value
