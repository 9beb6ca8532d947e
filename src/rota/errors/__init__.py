"""Every error that rota raises, one root for the faults and one for the signals; each says what to do about it.

* `signals`: what a handler raises to choose the outcome of its attempt. Signals are not faults.
* `payloads`: arguments, results and checkpoints that are refused.
* `client`: what an application meets that enqueues jobs and waits for them.
* `attempts`: what ended an attempt, beside the handler's own exceptions.
* `outbound`: what requests to other machines, and webhooks, may meet.
* `bulk`: what is refused of actions on many jobs.
* `boot`: jobs that a worker cannot start with.

A fault keeps what it is about as attributes, says it in one sentence, and can be pickled.
"""

from rota.errors.attempts import ChildDied, JobExpired, JobLost, JobsGone, JobTimeout, RemoteError
from rota.errors.boot import DiscoveryFailed, JobClash, LifespanFailed, LimitClash, ScheduleClash
from rota.errors.bulk import (
    InvalidFilter,
    MoreThanExpected,
    TooManyOperations,
    Uncounted,
    UnknownOperation,
)
from rota.errors.client import (
    EnqueueIncomplete,
    IdempotencyMismatch,
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
    ResultTimeout,
    UnknownJob,
    UnknownQueue,
    UnknownSchedule,
    WorkerSilent,
)
from rota.errors.outbound import DeliveryFailed, FetchFailed, FetchRefused, UnknownWebhook, WebhookRefused
from rota.errors.payloads import (
    CheckpointTooLarge,
    InvalidPayload,
    InvalidResult,
    PayloadTooLarge,
    RefusedPayload,
    ResultTooLarge,
    UnreadablePayload,
)
from rota.errors.root import RotaError
from rota.errors.signals import Cancel, Retry, Signal, Snooze

__all__ = [
    "Cancel",
    "CheckpointTooLarge",
    "ChildDied",
    "DeliveryFailed",
    "DiscoveryFailed",
    "EnqueueIncomplete",
    "FetchFailed",
    "FetchRefused",
    "IdempotencyMismatch",
    "InvalidFilter",
    "InvalidPayload",
    "InvalidResult",
    "JobCancelled",
    "JobClash",
    "JobError",
    "JobExists",
    "JobExpired",
    "JobFailed",
    "JobLost",
    "JobNotFound",
    "JobTimeout",
    "JobsGone",
    "LifespanFailed",
    "LimitClash",
    "MoreThanExpected",
    "NoDatabase",
    "NoDeadLetter",
    "NotReplayed",
    "NotRunning",
    "OnlyRecorded",
    "OutboxUnusable",
    "PayloadTooLarge",
    "RefusedPayload",
    "RemoteError",
    "ResultTimeout",
    "ResultTooLarge",
    "Retry",
    "RotaError",
    "ScheduleClash",
    "Signal",
    "Snooze",
    "TooManyOperations",
    "Uncounted",
    "UnknownJob",
    "UnknownOperation",
    "UnknownQueue",
    "UnknownSchedule",
    "UnknownWebhook",
    "UnreadablePayload",
    "WebhookRefused",
    "WorkerSilent",
]

# Records, logs and traces write an error's type as its module and name. The name is `rota.errors.JobTimeout` for good,
# in whichever module of this package the class is defined.
for _name in __all__:
    globals()[_name].__module__ = __name__
