"""The browser itself: nothing of it is left when a test is over."""

import contextlib
import os

import psutil
import pytest

from tests.browser.chromium import CHROMIUM, MISSING, browsing
from tests.processes import gone
from tests.waiting import until

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)


def browsers() -> set[int]:
    """Return the processes of the browser that this process has started, and those that they started."""
    found = set()
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {process.pid} if any("--user-data-dir" in word for word in process.cmdline()) else set()
    return found


async def test_no_process_of_a_browser_outlives_it() -> None:
    async with browsing() as tab:
        await tab.open("data:text/html,<p>here</p>")
        running = browsers()
        assert running
    await until(lambda: all(map(gone, running)), "all of them have ended")
