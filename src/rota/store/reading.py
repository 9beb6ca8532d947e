"""Reading the audit table from code of a team's own: a connection of SQLAlchemy's to the database of the settings."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from rota.errors import NoDatabase
from rota.settings.load import load
from rota.store.engine import PATIENCE, Database

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


@contextlib.asynccontextmanager
async def audit_connection(*, patience: float = PATIENCE) -> AsyncIterator["AsyncConnection"]:
    """Yield a connection that reads the database of DATABASE_URL, in which `_jobs` is: one state of the data.

    A statement may take `patience` seconds. Raises NoDatabase where none is set, RotaError where it cannot be asked.
    """
    target = load().database
    if target is None:
        raise NoDatabase
    database = Database(target, patience=patience, most=1)
    try:
        async with database.read() as connection:
            yield connection
    finally:
        await database.close()
