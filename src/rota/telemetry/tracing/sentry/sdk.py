"""Sentry's own package, where it is set up, and the names that it and we must agree on."""

import contextlib
import sys
from typing import Any

from rota.errors.secrets import SECRETS
from rota.telemetry.tracing.sentry import remote

#: What our spans and events name as their origin.
ORIGIN = "auto.queue.rota"
#: Loggers whose lines Sentry would send as events: these lines are about failures that we report ourselves.
QUIET = ("arq.worker", "rota.jobs")


def sdk() -> Any:
    """Return the module `sentry_sdk` if it is set up in this process, else None. Imports nothing."""
    module = sys.modules.get("sentry_sdk")
    get_client = getattr(module, "get_client", None)
    return module if get_client is not None and get_client().is_active() else None


def is_on() -> bool:
    """Tell whether Sentry is set up in this process. Each enqueue asks."""
    return "sentry_sdk" in sys.modules and sdk() is not None


def report(error: BaseException) -> None:
    """Send an error that belongs to no attempt, if Sentry is set up in this process."""
    module = sdk()
    if module is not None:
        module.capture_exception(error)


def prepare() -> None:
    """Let Sentry, by whomever it was set up, send each error of an attempt once, and without this process' secrets."""
    from sentry_sdk.integrations.logging import ignore_logger  # noqa: PLC0415 - an extra
    from sentry_sdk.scope import add_global_event_processor, global_event_processors  # noqa: PLC0415

    for name in QUIET:
        ignore_logger(name)
    if _once not in global_event_processors:
        add_global_event_processor(_once)


def _once(event: Any, hint: Any) -> Any:
    record = (hint or {}).get("log_record")
    if record is not None and record.exc_text and not record.exc_info and hasattr(record, "job_id"):
        # An error that a child process has logged; the child may raise it too.
        remote.remember(record.job_id, getattr(record, "attempt", 0), record.exc_text)
        event |= remote.event_of_text(record.exc_text, {"type": "logging", "handled": True})
    return _discreet(event) if is_first(event, hint) else None


def is_first(event: Any, hint: Any) -> bool:
    """Tell whether Sentry has not sent this error of an attempt yet: a handler may log an error and raise it."""
    error = ((hint or {}).get("exc_info") or (None, None))[1]
    job = event.get("contexts", {}).get("job")
    if error is None or job is None:
        return True
    attempt = (job.get("id"), job.get("attempt"))
    if getattr(error, "_rota_sent", None) == attempt:
        return False
    with contextlib.suppress(Exception):
        # An exception may refuse new attributes.
        error._rota_sent = attempt
    return True


def _discreet(value: Any) -> Any:
    """Return an event without this process' secrets."""
    if isinstance(value, str):
        return SECRETS.hidden(value)
    if isinstance(value, dict):
        return {key: _discreet(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_discreet(one) for one in value]
    return value
