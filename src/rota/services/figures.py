"""What the recorder of a process has done, for the process' metrics: known also where no database is installed."""

from dataclasses import dataclass


@dataclass(slots=True)
class Figures:
    """Counts since the process began, written by the leader's thread and read by any.

    :param rows: rows that were written; a job may have several in its life.
    :param lost: entries of the stream that were gone before they were read.
    """

    rows: int = 0
    lost: int = 0
