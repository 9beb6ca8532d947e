"""The application: its routes, its errors, and what it opens at its start and closes at its end."""

import contextlib
import functools
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from rota.api.access import VISITOR, Gate
from rota.api.archive import Archive
from rota.api.desk import Desk
from rota.api.documents.document import document
from rota.api.heads.strict import Strict
from rota.api.live.hub import Hub
from rota.api.live.later import answer_of
from rota.api.live.origins import answer_origins
from rota.api.pages.routes import add_pages
from rota.api.problems import answer_errors
from rota.api.quotas import Noting
from rota.api.routes import (
    bulk,
    enqueue,
    failures,
    jobs,
    kinds,
    lists,
    live,
    queues,
    schedules,
    static,
    system,
    webhooks,
    workers,
)
from rota.api.unexpected import Unexpected
from rota.app.connect import connect
from rota.model.registry import Registry, discover
from rota.server.rights import Rights, check_rights
from rota.settings.load import Settings, load

_ROUTERS = tuple(
    one.router
    for one in (
        enqueue,
        jobs,
        lists,
        queues,
        schedules,
        workers,
        kinds,
        failures,
        bulk,
        live,
        webhooks,
        static,
        system,
    )
)
_ABOUT = "Enqueue background jobs, look at them, and act on them."


class Application(FastAPI):
    """The API, whose streams are sent when the framework has let go of their requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        if (answer := answer_of(scope)) is not None:
            await answer.run(scope, receive, send)


def create(settings: Settings | None = None, registry: Registry | None = None) -> FastAPI:
    """Return the API as an application, which opens nothing before its start.

    :param settings: without them, those of the environment, read here.
    :param registry: the jobs that can be enqueued; without it, those of `JOBS_PACKAGE`.

    Raises ConfigError, and DiscoveryFailed for jobs that cannot be imported.
    """
    settings = load() if settings is None else settings
    registry = discover(settings.jobs_package, settings.default_queue) if registry is None else registry
    app = Application(
        title="rota",
        version=version("rota"),
        description=_ABOUT,
        lifespan=functools.partial(_opened, settings, registry),
        # The framework's pages load scripts from elsewhere.
        docs_url=None,
        # A route of ours serves it, to those who have a key.
        openapi_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    answer_errors(app)
    app.add_middleware(Strict)
    app.add_middleware(Unexpected)
    answer_origins(app, settings)
    app.router.routes.append(enqueue.ENQUEUE)
    for router in _ROUTERS:
        app.include_router(router)
    if settings.dashboard:
        add_pages(app)
    app.openapi = functools.cache(functools.partial(document, app, registry))  # type: ignore[method-assign]
    return app


def lifespan(api: FastAPI) -> AbstractAsyncContextManager[Any]:
    """Return what starts and ends a mounted API: enter it in the lifespan of the application that mounts it."""
    return api.router.lifespan_context(api)


async def ticket(api: FastAPI, queue: str, job_id: str) -> str:
    """Return a ticket by which a browser may look at one job once, for an application that has mounted the API.

    Whether the job is the visitor's, the application asks itself. Raises ServerError.
    """
    desk: Desk = api.state.desk
    return (await desk.gate.ticket(VISITOR, (queue, job_id)))[0]


@contextlib.asynccontextmanager
async def _opened(settings: Settings, registry: Registry, app: FastAPI) -> AsyncIterator[None]:
    """Open what the routes work with. Raises NoKey, ServerError, MissingExtra."""
    async with contextlib.AsyncExitStack() as stack:
        # Who calls the API is elsewhere, and could not look at what this process had recorded in its tests.
        opening = connect(settings, senders=(*registry.hooks.senders, Noting()), record=False)
        client = await stack.enter_async_context(await opening)
        queues = settings.known_queues(registry.queues)
        await check_rights(client.redis, Rights.of_api(queues, settings.namespace))
        gate = Gate(client.redis, settings)
        await gate.check_start()
        archive = None
        if settings.database is not None:
            archive = Archive(settings.database, settings.sealer)
            stack.push_async_callback(archive.close)
        hub = Hub(client, settings, gate.holds)
        stack.push_async_callback(hub.close)
        app.state.desk = Desk(settings, registry, client, gate, hub, archive)
        stack.callback(delattr, app.state, "desk")
        yield
