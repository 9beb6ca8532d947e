"""The processors: how busy they are, where the system tells."""

import time

from rota.process.cpu import Processors


def test_the_processor_is_between_idle_and_busy() -> None:
    processor = Processors()
    assert processor.percent() is None
    until_busy = time.monotonic() + 0.3
    while time.monotonic() < until_busy:
        pass
    percent = processor.percent()
    assert percent is None or 0 < percent <= 100
