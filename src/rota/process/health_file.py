"""The file whose age says whether a worker process is well; `rota.process.health` reads it."""

import logging
from collections.abc import Callable
from pathlib import Path

# The lease keeper's thread touches the file, so its log lines stand among the keeper's.
logger = logging.getLogger("rota.leases")


class HealthFile:
    """A file that is touched while the event loop is heard of.

    :param path: the file; it is created where its folder exists.
    :param silence: returns for how many seconds the loop was not heard of.
    :param complaint: returns why the process is of no use although it is well, "" where it is; that stands in the file.
    :param within: a loop that is silent for as many seconds or more is not well.
    """

    def __init__(
        self, path: Path, silence: Callable[[], float], complaint: Callable[[], str], within: float = 5.0
    ) -> None:
        self._path = path
        self._silence = silence
        self._complaint = complaint
        self._within = within
        self._said = ""
        self._failing = False

    def touch(self) -> None:
        """Touch the file if the loop is well. That it cannot be written is logged once, and once that it can again."""
        if self._silence() < self._within:
            try:
                said = self._complaint()
                if said != self._said:
                    self._path.write_text(said, "utf-8")
                    self._said = said
                self._path.touch()
            except OSError as error:
                if not self._failing:
                    logger.warning("health_file.not_written", extra={"error": str(error)})
                self._failing = True
            else:
                if self._failing:
                    logger.info("health_file.written", extra={"path": str(self._path)})
                self._failing = False
