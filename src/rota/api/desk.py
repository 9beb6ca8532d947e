"""What the routes of one application work with: the settings, the jobs, the client, and who is let in."""

from dataclasses import dataclass

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from starlette.requests import HTTPConnection

from rota.api.access import Gate
from rota.api.archive import Archive, Row
from rota.api.live.hub import Hub
from rota.api.problems import Problem
from rota.client.client import Client
from rota.errors import JobNotFound
from rota.model.access.keys import Scope
from rota.model.info import JobInfo
from rota.model.registry import Registry
from rota.settings.settings import Settings
from rota.wire.keys import check_queue


@dataclass(frozen=True, slots=True)
class Desk:
    """The settings, the jobs, the client, the gate and the hub of one application, from its start to its end."""

    settings: Settings
    registry: Registry
    client: Client
    gate: Gate
    hub: Hub
    archive: Archive | None = None

    @property
    def queues(self) -> tuple[str, ...]:
        """Every queue that a job or a setting names."""
        return self.settings.known_queues(self.registry.queues)

    async def find(self, queue: str, job_id: str) -> JobInfo | Row:
        """Return a job as Redis has it, or where it has left Redis its row of the audit table. Raises JobNotFound."""
        try:
            return await self.client.status(known_queue(queue), job_id)
        except JobNotFound:
            row = None if self.archive is None else await self.archive.job(queue, job_id)
            if row is None:
                raise
            return row


def desk_of(request: HTTPConnection) -> Desk:
    """Return the desk of the application that a request has come to. Raises Problem where it was never started."""
    desk = getattr(request.app.state, "desk", None)
    if not isinstance(desk, Desk):
        detail = (
            "the API was mounted and not started: enter rota.api.lifespan(api) in the application's lifespan"
        )
        raise Problem(503, "not-started", "The API is not started", detail)
    return desk


def known_queue(name: str) -> str:
    """Return the name of a queue in a path. Raises Problem for one that no queue can have."""
    try:
        return check_queue(name)
    except ValueError as error:
        raise Problem(404, "no-such-queue", "There is no such queue", str(error)) from None


def needs(*scopes: Scope, tenants: bool = False) -> Dependency:
    """Return what a route depends on that only keys with one of `scopes` may use.

    :param tenants: whether keys of tenants may: the route then shows, and changes, what is the tenant's alone.
    """

    async def check(request: Request) -> None:
        request.state.key = await desk_of(request).gate.admit(request, *scopes, tenants=tenants)

    found: Dependency = Depends(check)
    return found


async def check(request: Request, dependency: Dependency) -> None:
    """Check for a route that is outside the framework's router what it depends on. Raises Problem, ServerError."""
    assert dependency.dependency is not None  # noqa: S101 - for the type checker
    await dependency.dependency(request)


#: What a route depends on, by what its caller has to be allowed. Keys of tenants are refused.
ENQUEUES, READS, OPERATES = needs(Scope.ENQUEUE), needs(Scope.READ), needs(Scope.OPERATE)
#: What a route depends on that any key may use: it is about no tenant's jobs.
ANY_KEY = needs(*Scope, tenants=True)
