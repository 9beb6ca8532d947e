"""Sentry's own package, where it is set up; its loggers and words that we must know."""

import sys
from typing import Any

#: What our spans and events say of where they come from.
ORIGIN = "auto.queue.rota"
#: Their failures are reported by us; what they log of them would report them once more.
QUIET = ("arq.worker", "rota.jobs")


def sdk() -> Any:
    """The module `sentry_sdk`, if it is set up in this process; else None. Imports nothing."""
    module = sys.modules.get("sentry_sdk")
    get_client = getattr(module, "get_client", None)
    return module if get_client is not None and get_client().is_active() else None


def is_on() -> bool:
    """Whether Sentry is set up in this process."""
    return sdk() is not None


def quieten() -> None:
    """Let Sentry pass over the log lines about what we report ourselves."""
    from sentry_sdk.integrations.logging import ignore_logger  # noqa: PLC0415 - an extra

    for name in QUIET:
        ignore_logger(name)
