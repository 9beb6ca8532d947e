"""Sentry: one trace from the request that enqueued a job to the job's error, and each failure reported once.

All parts do something only where Sentry is set up: in a worker with a SENTRY_DSN, or in a program that set Sentry up by
itself. In all other processes `sentry_sdk` is never imported.
"""

from rota.telemetry.tracing.sentry.attempt import AttemptTracer
from rota.telemetry.tracing.sentry.checkins import CheckIns
from rota.telemetry.tracing.sentry.enqueue import EnqueueTracer
from rota.telemetry.tracing.sentry.failure import FailureReporter
from rota.telemetry.tracing.sentry.sdk import report
from rota.telemetry.tracing.sentry.setup import close, start

__all__ = ["AttemptTracer", "CheckIns", "EnqueueTracer", "FailureReporter", "close", "report", "start"]
