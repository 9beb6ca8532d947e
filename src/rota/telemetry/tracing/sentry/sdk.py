"""Sentry's own package, where it is set up, and the names that it and we must agree on."""

import sys
from typing import Any

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
    """Tell whether Sentry is set up in this process."""
    return sdk() is not None


def quieten() -> None:
    """Let Sentry pass over the log lines about failures that we report ourselves."""
    from sentry_sdk.integrations.logging import ignore_logger  # noqa: PLC0415 - an extra

    for name in QUIET:
        ignore_logger(name)
