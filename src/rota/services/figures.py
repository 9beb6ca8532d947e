"""What a leader has done with the database, for its process' metrics: known also where no database is installed."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class OutboxFigures:
    """Counts of the outbox since the process began; of what waits, None while the process does not lead.

    :param waiting: the rows that wait to be sent.
    :param oldest: for how many seconds the first of them does.
    :param sent: rows that were sent.
    :param again: rows that have to be sent again, as Redis has lost their jobs.
    :param refused: rows that will not be sent.
    """

    waiting: int | None = None
    oldest: float | None = None
    sent: int = 0
    again: int = 0
    refused: int = 0

    def forget(self) -> None:
        """Know no longer what waits: another process leads from now on."""
        self.waiting = self.oldest = None


@dataclass(slots=True)
class Figures:
    """Counts since the process began, written by the leader's thread and read by any.

    :param rows: rows that were written; a job may have several in its life.
    :param lost: entries of the stream that were gone before they were read.
    :param outbox: what the relay has done.
    """

    rows: int = 0
    lost: int = 0
    outbox: OutboxFigures = field(default_factory=OutboxFigures)
