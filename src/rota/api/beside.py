"""The process of MODE=all: workers, and the API beside them in a thread of its own, so that no handler delays it."""

import asyncio
import concurrent.futures
import logging
import os
import signal
from collections.abc import Coroutine
from typing import Any

from rota.api.process import DRAIN, Api
from rota.app.supervisor import Supervisor
from rota.model.registry import Registry
from rota.process.loop_thread import LoopThread
from rota.process.services import EXIT_FAILED
from rota.server.place import locate
from rota.settings.load import Settings

logger = logging.getLogger("rota.api")


class Both:
    """The workers and the API of one process.

    :param parent: the id of the process that started this one, with which it ends; None: nobody.
    """

    def __init__(self, settings: Settings, registry: Registry, parent: int | None = None) -> None:
        self._settings = settings
        self._registry = registry
        self._parent = parent

    def run(self) -> int:
        """Work and answer until a signal; return the exit status. Raises what a worker and an API raise at boot."""
        # Held from the start on, so that an embedded server is not one on which no worker is.
        server = locate(self._settings.redis)
        beside = _Beside(Api(self._settings, self._registry))
        try:
            beside.start()
            workers = Supervisor(self._settings, self._registry, self._parent, on_drain=beside.stop)
            status = workers.run()
            return EXIT_FAILED if beside.has_failed else status
        finally:
            beside.end()
            server.close()


class _Beside:
    """An API in a thread with an event loop of its own."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._thread = LoopThread("rota-api")
        self._stopping = asyncio.Event()
        self._ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        #: Whether the API has ended though nobody has told it to.
        self.has_failed = False

    def start(self) -> None:
        """Start, and return once requests are answered. Raises what the API raises at its start."""
        serving = self._api.serve(self._wait, lambda: self._ready.set_result(None))
        self._serving = self._thread.submit(serving)
        self._serving.add_done_callback(self._ended)
        self._ready.result()

    def stop(self) -> None:
        """Tell the API to stop, without waiting for it."""
        self._thread.tell(self._stopping.set)

    def end(self) -> None:
        """Stop the API, and wait until requests that are under way have ended."""
        self.stop()
        concurrent.futures.wait([self._serving], DRAIN + 1)
        self._thread.stop(1.0)

    async def _wait(self, ended: Coroutine[Any, Any, None]) -> None:
        tasks = {asyncio.ensure_future(ended), asyncio.ensure_future(self._stopping.wait())}
        _, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()

    def _ended(self, serving: "concurrent.futures.Future[None]") -> None:
        error = None if serving.cancelled() else serving.exception()
        if not self._ready.done():
            self._ready.set_exception(error or RuntimeError("the API has ended at its start"))
        elif not self._stopping.is_set():
            # The process is to end with it, and to be started again.
            logger.critical("api.ended", exc_info=error)
            self.has_failed = True
            os.kill(os.getpid(), signal.SIGTERM)
