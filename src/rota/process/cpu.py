"""How busy the processors of this machine are, on systems that tell."""

from pathlib import Path

_STAT = Path("/proc/stat")


class Processors:
    """The processors of this machine, as a share of time between two questions."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None

    def percent(self) -> float | None:
        """Return how busy they were since the last question, from 0 to 100; None the first time, and if unknown."""
        try:
            ticks = [int(one) for one in _STAT.read_text("ascii").split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        idle, total = ticks[3] + ticks[4], sum(ticks)
        last, self._last = self._last, (idle, total)
        if last is None or total <= last[1]:
            return None
        return 100.0 * (1 - (idle - last[0]) / (total - last[1]))
