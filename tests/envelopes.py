"""Sentry without a Sentry: a transport that keeps what would have been sent."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk import utils
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from rota.telemetry.tracing.sentry.failure import FailureReporter

DSN = "https://0123456789abcdef@sentry.invalid/1"


class Captured(Transport):
    """Every envelope, in order."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)

    @property
    def raw(self) -> str:
        """All of it, as it would go over the wire."""
        return "\n".join(envelope.serialize().decode() for envelope in self.envelopes)

    def _items(self, kind: str) -> list[dict[str, Any]]:
        items = [item for envelope in self.envelopes for item in envelope.items if item.type == kind]
        return [json.loads(item.get_bytes()) for item in items]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The events."""
        return self._items("event")

    @property
    def transactions(self) -> list[dict[str, Any]]:
        """The transactions, with their spans."""
        return self._items("transaction")

    @property
    def check_ins(self) -> list[dict[str, Any]]:
        """The check-ins at monitors."""
        return self._items("check_in")


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Afterwards no Sentry is set up, and nothing is left of what was told to it."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            # An SDK that is given no release starts git at each set-up.
            patch.setattr(utils, "get_git_revision", lambda: None)
            yield
    finally:
        FailureReporter.reports_retries = False
        sentry_sdk.get_client().close(timeout=0)
        sentry_sdk.get_global_scope().set_client(None)
        sentry_sdk.get_isolation_scope().clear()
        sentry_sdk.get_current_scope().clear()
