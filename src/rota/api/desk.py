"""What the routes of one application work with: the settings, the jobs, the client, who is let in and who did what."""

import logging
from collections import Counter
from dataclasses import dataclass

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from starlette.requests import HTTPConnection

from rota.api.access import Gate
from rota.api.archive import Archive, Row
from rota.api.live.hub import Hub
from rota.api.problems import Problem, wrong_parameter
from rota.client.client import Client
from rota.errors import JobNotFound
from rota.model.access.keys import AccessKey, Scope
from rota.model.bulk.actions import Action, Actor
from rota.model.info import JobInfo
from rota.model.registry import Registry
from rota.names import id_of_tenant
from rota.server.faults import ServerError
from rota.settings.settings import Settings
from rota.wire.keys import check_queue

logger = logging.getLogger("rota.api")

#: The most characters that are kept of the reason of an action.
LONGEST_REASON = 200


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

    async def find(self, key: AccessKey, queue: str, job_id: str) -> JobInfo | Row:
        """Return a job as Redis has it, or where it has left Redis its row of the audit table.

        Raises JobNotFound, also for a job of another tenant than that of the caller's `key`.
        """
        names = names_of(key, job_id)
        for name in names:
            info = await self._live(key, known_queue(queue), name)
            if info is not None:
                return info
        for name in names:
            row = self.archive and await self.archive.job(queue, name, tenant=key.tenant)
            if row:
                return row
        raise JobNotFound(job_id)

    async def own_id(self, key: AccessKey, queue: str, job_id: str, *, letter: bool = False) -> str:
        """Return the id of a job in Redis on which the caller may act, by what was given as its id.

        A key of no tenant may act on whatever is there, so Redis is not asked. With `letter` the dead letter of the id
        is looked at, as a later job may have the same. Raises JobNotFound, as `find` does.
        """
        known_queue(queue)
        if key.tenant is None:
            return job_id
        for name in names_of(key, job_id):
            info = await self._live(key, queue, name, letter=letter)
            if info is not None:
                return info.id
        raise JobNotFound(job_id)

    async def actions(self, *, before: str | None, tenant: str | None, limit: int) -> list[Action]:
        """Return the newest actions of people, or those before a position; with a tenant, those on its jobs.

        They are those that Redis keeps, and behind these what the database has.
        """
        found = await self.client.actions.page(before=before, limit=limit, tenant=tenant)
        if len(found) < limit and self.archive is not None:
            last, rest = found[-1].position if found else before, limit - len(found)
            namespace = self.settings.namespace
            found += await self.archive.actions(namespace, before=last, tenant=tenant, limit=rest)
        return found

    async def _live(self, key: AccessKey, queue: str, name: str, *, letter: bool = False) -> JobInfo | None:
        try:
            info = await self.client.status(queue, name, letter=letter)
        except JobNotFound:
            return None
        return info if key.sees(info.tenant) else None


def names_of(key: AccessKey, job_id: str) -> tuple[str, ...]:
    """Return what an id can mean to the holder of a key: an id, or one that was given for the key's tenant."""
    return (job_id,) if key.tenant is None else (job_id, id_of_tenant(key.tenant, job_id))


def caller_of(request: HTTPConnection) -> AccessKey:
    """Return the key by which a request was let in."""
    key: AccessKey = request.state.key
    return key


def desk_of(request: HTTPConnection) -> Desk:
    """Return the desk of the application that a request has come to. Raises Problem where it was never started."""
    desk = getattr(request.app.state, "desk", None)
    if not isinstance(desk, Desk):
        detail = (
            "the API was mounted and not started: enter rota.api.lifespan(api) in the application's lifespan"
        )
        raise Problem(503, "not-started", "The API is not started", detail)
    return desk


async def record(request: Request, action: str, *, reason: str = "", **target: str) -> None:
    """Add to the list of actions what the caller has done; what was done stays done where that cannot be."""
    key, why = caller_of(request), reason.strip()[:LONGEST_REASON]
    detail = {"reason": why} if why else {}
    entry = Action(actor=actor_of(request), action=action, target=target, tenant=key.tenant, detail=detail)
    try:
        await desk_of(request).client.actions.record(entry)
    except ServerError as error:
        logger.warning("actions.unrecorded", extra={"action": action, "error": str(error)})


def actor_of(request: Request) -> Actor:
    """Return who sends a request, by the key that it shows."""
    key = caller_of(request)
    return Actor("api", key.id, key.name)


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
        _check_query(request)
        request.state.key = await desk_of(request).gate.admit(request, *scopes, tenants=tenants)

    found: Dependency = Depends(check)
    return found


def _check_query(request: Request) -> None:
    """Raise Problem for a parameter that is there twice: one value would count, and nobody has said which."""
    if not request.scope["query_string"]:
        return
    names = Counter(name for name, _ in request.query_params.multi_items())
    if names.total() > len(names):
        twice = names.most_common(1)[0][0][:60]
        raise wrong_parameter(f"{twice} is there twice", [{"parameter": twice, "detail": "is there twice"}])


async def check(request: Request, dependency: Dependency) -> None:
    """Check for a route that is outside the framework's router what it depends on. Raises Problem, ServerError."""
    assert dependency.dependency is not None  # noqa: S101 - for the type checker
    await dependency.dependency(request)


#: What a route depends on, by what its caller has to be allowed. Keys of tenants are refused.
ENQUEUES, READS, OPERATES = needs(Scope.ENQUEUE), needs(Scope.READ), needs(Scope.OPERATE)
#: The same where keys of tenants are taken: such a route is cut for the tenant of `caller_of`.
OWN_ENQUEUES, OWN_READS, OWN_OPERATES = (
    needs(scope, tenants=True) for scope in (Scope.ENQUEUE, Scope.READ, Scope.OPERATE)
)
#: What a route depends on that any key may use: it is about no tenant's jobs.
ANY_KEY = needs(*Scope, tenants=True)
