"""Modules that a worker does without, by why: each of them would be memory of every worker, and time of its boot."""

COMMANDS = frozenset({"typer", "rich", "rota.cli.main", "rota.cli.screen", "rota.cli.session"})
#: What some deployments need, or some jobs: those load it.
WANTED_BY_SOME = frozenset(
    {"structlog", "sentry_sdk", "opentelemetry", "sqlalchemy", "asyncpg", "aiosqlite", "fakeredis"}
)
#: What the few deployments with webhooks or bulk actions load, and handlers that enqueue.
OF_THE_CLIENT = frozenset(
    {"rota.app.connect", "rota.client.client", "rota.client.sync", "rota.services.bulk.carrying"}
)
OF_THE_API = frozenset({"fastapi", "starlette", "uvicorn", "anyio"})
#: Libraries that wait for their first use, and what they load: logins by a token, lines of logs for people, a scrape.
OF_LIBRARIES = frozenset(
    {"jwt.api_jwt", "cryptography.x509", "pygments", "attr", "click", "prometheus_client"}
)
