"""Stands where a client has its connections, in a test environment: whatever would ask Redis is told what to do."""

from typing import Any

from rota.errors import OnlyRecorded


class Nowhere:
    """A Redis client that has no Redis, and refuses every call."""

    def __getattr__(self, name: str) -> Any:
        """Raise OnlyRecorded, for whatever Redis was to be asked."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise OnlyRecorded

    async def aclose(self, *, close_connection_pool: bool | None = None) -> None:
        """Do nothing: no connection was opened."""
