"""The reference of what is imported from rota: one page a module, each name with its signature and its docstring."""

import rota
import rota.api
import rota.testing

#: The names of `rota`, by what a reader does with them.
GROUPS = {
    "Writing jobs": ("job", "Job", "Run", "every", "Cancel", "Retry", "Snooze", "fetch", "Answer"),
    "How often, how fast, how many": (
        *("exponential", "linear", "fixed", "none", "Backoff"),
        *("per_second", "per_minute", "per_hour", "at_most", "unique", "debounce", "throttle"),
    ),
    "Enqueueing and looking": (
        "connect",
        "connect_sync",
        "headers",
        "Client",
        "SyncClient",
        "client_metrics",
        "audit_connection",
    ),
    "What an enqueue returns": (
        "Handle",
        "SyncHandle",
        "BatchHandle",
        "SyncBatchHandle",
        "FlowHandle",
        "SyncFlowHandle",
    ),
    "Pipelines and batches": ("pipeline", "each", "Pipeline", "Batch"),
    "What is known of a job": (
        *("State", "JobInfo", "FailureGroup", "LogLine", "JobStack", "StackFrame", "ScheduleInfo"),
        *("BatchInfo", "FlowInfo", "StageInfo", "QueueHistory", "HistoryPoint", "Distribution", "DeployMark"),
    ),
    "Code around every job": (
        *("CallNext", "Middleware", "Subscriber", "Sender", "Outgoing"),
        *("Event", "EventType", "StreamEvent"),
    ),
    "From arq": ("QueueWorker", "run_worker", "job_serializer", "job_deserializer"),
    "Errors": (
        *("RotaError", "ConfigError", "ServerError", "InvalidPayload", "PayloadTooLarge", "JobExists"),
        *("EnqueueIncomplete", "JobNotFound", "JobError", "JobFailed", "JobCancelled", "ResultTimeout"),
        *("NoDeadLetter", "NotReplayed", "NotRunning", "WorkerSilent", "UnknownJob", "UnknownQueue"),
        *(
            "UnknownSchedule",
            "CheckpointTooLarge",
            "FetchFailed",
            "FetchRefused",
            "OutboxUnusable",
            "NoDatabase",
        ),
        *("OnlyRecorded", "RecordedWarning"),
    ),
}
_OPENINGS = {
    "rota": "What jobs are written with and enqueued by. The guides say when to use which.",
    "rota.testing": "What jobs are tested with, on a clock without waiting: [the guide](../docs/testing.md).",
    "rota.api": "The API within an application of yours: [the guide](../docs/api.md).",
}


def reference() -> dict[str, str]:
    """Return the text of each page of the reference by the name of its file."""
    modules = {rota.testing: rota.testing.__all__, rota.api: rota.api.__all__}
    pages = {
        f"{module.__name__}.md": _page(module.__name__, _entries(module.__name__, names, 2))
        for module, names in modules.items()
    }
    parts = (f"## {title}\n\n{_entries('rota', names, 3)}" for title, names in GROUPS.items())
    return {"rota.md": _page("rota", "\n".join(parts)), **pages}


def _page(module: str, body: str) -> str:
    return f"# {module}\n\n{_OPENINGS[module]}\n\n{body}"


def _entries(module: str, names: tuple[str, ...] | list[str], level: int) -> str:
    entry = "::: {}.{}\n    options:\n      heading_level: {}\n"
    return "\n".join(entry.format(module, name, level) for name in names)
