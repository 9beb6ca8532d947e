"""Takes the rows of an outbox in a test environment, and records them in place of inserting them."""

from collections.abc import Callable, Sequence
from typing import Any

from rota.client.recording.recorded import Recorded, record
from rota.process.clock import SYSTEM_CLOCK
from rota.store.outbox.holders import holder_of
from rota.store.outbox.rows import NewRow


class RecordingHolder:
    """The holder of a transaction that is left alone: what is enqueued in it counts at once, committed or not."""

    def __init__(self, given: Any) -> None:
        """Stand in front of what was given. Raises TypeError for what holds no transaction."""
        self.is_async = holder_of(given).is_async

    def insert(self, rows: Sequence[NewRow]) -> None:
        """Add the jobs of rows to the list of what was enqueued."""
        now_ms = SYSTEM_CLOCK.time_ms()
        for row in rows:
            due_ms = now_ms + row.delay_ms if row.due_ms is None else row.due_ms
            record(Recorded(row.queue, row.name, row.id, row.payload, due_ms))

    def on_commit(self, callback: Callable[[], object]) -> None:
        """Forget the callback, which wakes nobody here."""
