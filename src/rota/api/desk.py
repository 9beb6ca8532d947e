"""What the routes of one application work with: the settings, the jobs, and the client."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from rota.api.problems import Problem
from rota.client.client import Client
from rota.model.registry import Registry
from rota.settings.settings import Settings


@dataclass(frozen=True, slots=True)
class Desk:
    """The settings, the jobs and the client of one application, from its start to its end."""

    settings: Settings
    registry: Registry
    client: Client


def desk_of(request: HTTPConnection) -> Desk:
    """Return the desk of the application that a request has come to. Raises Problem where it was never started."""
    desk = getattr(request.app.state, "desk", None)
    if not isinstance(desk, Desk):
        detail = (
            "the API was mounted and not started: enter rota.api.lifespan(api) in the application's lifespan"
        )
        raise Problem(503, "not-started", "The API is not started", detail)
    return desk
