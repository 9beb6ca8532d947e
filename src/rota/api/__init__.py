"""The API over HTTP: an application of its own, by MODE=api, or mounted in a team's own FastAPI application.

api = rota.api.create()

@asynccontextmanager
async def lifespan(app):
    async with rota.api.lifespan(api):
        yield

app = FastAPI(lifespan=lifespan)
app.mount("/rota", api)
"""

from importlib.util import find_spec

if find_spec("fastapi") is None:
    raise ImportError("rota.api needs fastapi; install the extra: rota[api]")

from rota.api.application import create, lifespan, ticket

__all__ = ["create", "lifespan", "ticket"]
