"""A real browser without a window: Chromium, driven by its DevTools protocol over a WebSocket."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.waiting import until

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
#: The command of the browser, if the machine has one. CHROMIUM names another.
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
MISSING = "there is no Chromium on the PATH (Debian: apt-get install chromium-headless-shell)"
_OPTIONS = (
    "--headless",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    # Its sandbox needs rights that root in a container has not; it loads pages of this machine alone.
    "--no-sandbox",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

#: The codes of keys that stand for no letter.
_CODES = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}


class Tab:
    """One page of the browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        #: The errors of its scripts that nobody caught.
        self.errors: list[Any] = []
        self._delay = 0.0
        self._late: set[asyncio.Task[Any]] = set()

    async def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol, and return its result."""
        number = next(self._numbers)
        await self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(30):
            while True:
                told = json.loads(await self._connection.recv())
                if told.get("method") == "Runtime.exceptionThrown":
                    self.errors.append(told["params"])
                if told.get("method") == "Fetch.requestPaused":
                    self._late.add(asyncio.create_task(self._go_on(told["params"]["requestId"])))
                if told.get("id") == number:
                    assert "error" not in told, told["error"]
                    return told["result"]

    async def delay(self, pattern: str, seconds: float) -> None:
        """Let requests to addresses of this pattern, such as `*/app.js`, be sent so much later."""
        self._delay = seconds
        await self.call("Fetch.enable", patterns=[{"urlPattern": pattern}])

    async def _go_on(self, request: str) -> None:
        await asyncio.sleep(self._delay)
        # Its answer is read, and passed over, by the next call.
        told = {
            "id": next(self._numbers),
            "method": "Fetch.continueRequest",
            "params": {"requestId": request},
        }
        await self._connection.send(json.dumps(told))

    async def open(self, url: str) -> None:
        """Load a page, and wait until it is there."""
        for domain in ("Page", "Runtime"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)
        await self.until("location.href !== 'about:blank' && document.readyState === 'complete'")

    async def value(self, script: str) -> Any:
        """Return the value of a JavaScript expression in the page; of a promise, what becomes of it."""
        found = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def press(self, *keys: str) -> None:
        """Press keys one after the other, as the browser gets them from a keyboard: letters, or names of `_CODES`."""
        for key in keys:
            given: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": _CODES.get(key, 0)}
            text = "\r" if key == "Enter" else key if len(key) == 1 else ""
            await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **given)
            await self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    async def until(self, script: str) -> None:
        """Wait until a JavaScript expression is true."""

        async def is_true() -> bool:
            return bool(await self.value(f"(async () => !!(await ({script})))()"))

        await until(is_true, script)


@contextlib.asynccontextmanager
async def browsing() -> AsyncIterator[Tab]:
    """Run the browser with an empty page."""
    assert CHROMIUM
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *_OPTIONS,
            f"--user-data-dir={folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            # Debian's command is a script that waits for the browser: the group is what ends.
            start_new_session=True,
        )
        told = Path(folder) / "DevToolsActivePort"
        try:
            await until(lambda: told.exists() and "\n" in told.read_text(), "the browser has begun")
            port, path = told.read_text().split("\n")[:2]
            async with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as whole:
                found = await Tab(whole).call("Target.createTarget", url="about:blank")
            url = f"ws://127.0.0.1:{port}/devtools/page/{found['targetId']}"
            async with connect(url, max_size=None, max_queue=None) as connection:
                yield Tab(connection)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
