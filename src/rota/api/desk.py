"""What the routes of one application work with: the settings, the jobs, the client, and who is let in."""

from dataclasses import dataclass

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from starlette.requests import HTTPConnection

from rota.api.access import Gate
from rota.api.problems import Problem
from rota.client.client import Client
from rota.model.access.keys import Scope
from rota.model.registry import Registry
from rota.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Desk:
    """The settings, the jobs, the client and the gate of one application, from its start to its end."""

    settings: Settings
    registry: Registry
    client: Client
    gate: Gate


def desk_of(request: HTTPConnection) -> Desk:
    """Return the desk of the application that a request has come to. Raises Problem where it was never started."""
    desk = getattr(request.app.state, "desk", None)
    if not isinstance(desk, Desk):
        detail = (
            "the API was mounted and not started: enter rota.api.lifespan(api) in the application's lifespan"
        )
        raise Problem(503, "not-started", "The API is not started", detail)
    return desk


def needs(*scopes: Scope) -> Dependency:
    """Return what a route depends on that only keys with one of `scopes` may use."""

    async def check(request: Request) -> None:
        request.state.key = await desk_of(request).gate.admit(request, *scopes)

    found: Dependency = Depends(check)
    return found


#: What a route depends on, by what its caller has to be allowed.
ENQUEUES, READS, OPERATES = needs(Scope.ENQUEUE), needs(Scope.READ), needs(Scope.OPERATE)
