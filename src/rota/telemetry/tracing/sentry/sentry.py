"""Sentry: one trace from the request that enqueued a job to the job's error, and each failure reported once.

`publish` is around every enqueue, `process` around every attempt, and `report` is told what became of them. They do
something only where Sentry is set up: in a worker with a SENTRY_DSN, or a program that did so by itself. In all
others `sentry_sdk` is never imported.
"""

from rota.telemetry.tracing.sentry.attempt import process
from rota.telemetry.tracing.sentry.enqueue import publish
from rota.telemetry.tracing.sentry.failure import report
from rota.telemetry.tracing.sentry.setup import close, start

__all__ = ["close", "process", "publish", "report", "start"]
