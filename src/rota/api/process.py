"""The process of MODE=api: the application behind uvicorn, from its settings to its exit status."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvicorn
from fastapi import FastAPI

from rota.api.application import create, lifespan
from rota.api.heads.protocol import StrictProtocol
from rota.api.live.lean import LeanWebSocket
from rota.api.live.socket import LARGEST_MESSAGE
from rota.api.pages.frame import ROOT
from rota.model.registry import Registry
from rota.process.event_loop import loop_factory
from rota.process.ports import listen
from rota.process.signals import until_signalled
from rota.settings.load import Settings
from rota.telemetry.tracing.sentry import sentry

logger = logging.getLogger("rota.api")

#: How long requests that are under way may take to end, once the process is told to stop, in seconds.
DRAIN = 10

#: The garbage collector runs after this many new objects. A request makes hundreds that end with it: at Python's own
#: 700 the collector spent a seventh of the time on those of the requests under way.
_COLLECT_AFTER = 10_000

#: Waits until the API is to stop. It is given a coroutine that ends if the API stops by itself.
Waiting = Callable[[Coroutine[Any, Any, None]], Awaitable[object]]


class HttpServer(uvicorn.Server):
    """A server that leaves the signals to the process around it."""

    def __init__(self, app: FastAPI) -> None:
        # What it says of itself at each start and end is said here in one line.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                # Whose word on the visitor is taken is for API_PROXIES to say.
                proxy_headers=False,
                timeout_graceful_shutdown=DRAIN,
                http=StrictProtocol,
                ws=LeanWebSocket,
                ws_max_size=LARGEST_MESSAGE,
                # Each connection would have 50 KiB of its own for it.
                ws_per_message_deflate=False,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


class Api:
    """The API of one process: alone by `run`, or beside workers by `serve`."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry

    def run(self) -> int:
        """Answer until a signal; return the exit status. Raises what `serve` raises."""
        sentry.start(self._settings)
        gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self.serve(until_signalled))
        finally:
            sentry.close()
        return 0

    async def serve(self, waiting: Waiting, ready: Callable[[], object] | None = None) -> None:
        """Answer until `waiting` ends; `ready` is called once that begins.

        Raises EndpointError, NoKey, ServerError, EmbeddedServerError.
        """
        app = create(self._settings, self._registry)
        # Started here and not by uvicorn, which would make a traceback of the sentence in which that fails.
        async with lifespan(app):
            with contextlib.closing(listen(self._settings.api_host, self._settings.api_port)) as listener:
                serving = HttpServer(app)
                task = asyncio.create_task(serving.serve(sockets=[listener]))
                host, port = listener.getsockname()[:2]
                more = {"dashboard": f"http://{host}:{port}{ROOT}/"} if self._settings.dashboard else {}
                about = {"host": host, "port": port, "jobs": len(self._registry.jobs), **more}
                logger.info("api.ready", extra=about)
                if ready is not None:
                    ready()
                await waiting(_ended(task))
                # Who listens would be waited for: streams end of themselves only now.
                await app.state.desk.hub.close()
                serving.should_exit = True
                await task
        logger.info("api.stopped")


async def _ended(task: "asyncio.Task[None]") -> None:
    await asyncio.wait([task])
