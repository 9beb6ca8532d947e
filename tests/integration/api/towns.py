"""A town: an API, tenants with a key each, and jobs of each of them in every state."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from rota import Run, job, unique
from rota.model.access.keys import make, scopes_of
from rota.settings.database_url import DatabaseTarget
from rota.store import audit, migrations
from rota.store.engine import Database
from rota.wire.access import AccessRecords
from tests.integration.api.serving import Api, listening
from tests.servers import RedisServer
from tests.waiting import until
from tests.workers import AnyJob

#: Those whose jobs there are; None: of no tenant.
OWNERS = ("acme", "globex", None)
Caller = dict[str, str]


@job(queue="held")
async def wait(run: Run, secret: str) -> None: ...


@job(queue="long")
async def work(run: Run, secret: str) -> None:
    run.progress(50, secret)
    await asyncio.sleep(60)


@job(queue="quick", unique=unique(key="number"))
async def end(run: Run, secret: str, number: int = 0) -> str:
    run.log.warning(secret)
    return f"{secret} {run.tenant}"


@job(queue="quick", max_attempts=1)
async def fail(run: Run, secret: str) -> None:
    raise ValueError(secret)


JOBS = (wait, work, end, fail)


def secret_of(owner: str | None) -> str:
    return f"secret-of-{owner or 'nobody'}"


@dataclass
class Town:
    """The API, a key of each owner, and the jobs that each has: `(queue, id in Redis, id as it was given)`."""

    api: Api
    keys: dict[str | None, Caller] = field(default_factory=dict)
    jobs: dict[str | None, list[tuple[str, str, str]]] = field(default_factory=dict)

    async def ask(self, owner: str | None, method: str, path: str, **more: Any) -> httpx2.Response:
        return await self.api.http.request(method, path, headers=self.keys[owner], **more)

    async def enqueue(self, owner: str | None, name: str, **options: Any) -> httpx2.Response:
        body = {"payload": {"secret": secret_of(owner)}, "options": options}
        return await self.api.http.post(f"/jobs/{name}", json=body, headers=self.keys[owner])

    async def fill(self, owner: str | None) -> None:
        """Enqueue a job for each state, and wait until it has come to it."""
        wanted: list[tuple[str, dict[str, Any]]] = [
            ("held:wait", {"id": "waits"}),
            ("held:wait", {"id": "later", "delay": 3600}),
            ("long:work", {}),
            ("quick:end", {"id": "ended"}),
            ("quick:fail", {"id": "dead"}),
        ]
        for name, options in wanted:
            answer = await self.enqueue(owner, name, **options)
            assert answer.status_code == 202, answer.text
            found = answer.json()
            assert found["created"], "its ids and unique keys are apart from those of the others"
            job_id = found["id"]
            self.jobs.setdefault(owner, []).append((found["queue"], job_id, str(options.get("id") or job_id)))
        self.jobs[owner].append(("quick", f"row-of-{owner}", f"row-of-{owner}"))
        states = ["waiting", "delayed", "active", "completed", "dead"]

        async def settled() -> bool:
            infos = [
                await self.api.client.status(queue, one) for queue, one, _ in self.jobs[owner][: len(states)]
            ]
            return [one.state.value for one in infos] == states

        await until(settled, "each job is in its state")

    async def state(self) -> list[Any]:
        """Return what the operator sees of all jobs, but for what goes on by itself."""
        paths = [f"/jobs/{queue}/{one}" for jobs in self.jobs.values() for queue, one, _ in jobs]
        return [(await self.ask(None, "GET", path)).json() | {"progress": None} for path in paths]


def row(owner: str | None) -> dict[str, Any]:
    return {
        "id": f"row-of-{owner}",
        "tenant": owner,
        "queue": "quick",
        "name": "end",
        "status": "FAILED",
        "event": "000000000000001-0000000000.00000",
        "attempts": 1,
        "payload": json.dumps({"secret": secret_of(owner)}),
        "error": f"ValueError: {secret_of(owner)}",
        "error_key": "abc",
        "enqueued_at": datetime(2026, 7, 1, tzinfo=UTC),
        "finished_at": datetime(2026, 7, 1, tzinfo=UTC),
    }


@contextlib.asynccontextmanager
async def founded(server: RedisServer, folder: Path, *more: AnyJob) -> AsyncIterator[Town]:
    """Run the API on a server with a database in `folder`, `more` jobs known, and fill it."""
    url = f"sqlite:///{folder}/jobs.db"
    database = Database(DatabaseTarget.from_url(url))
    await migrations.migrate(database)
    async with database.write() as connection:
        await audit.upsert(connection, [row(owner) for owner in OWNERS])
    await database.close()
    async with listening(server.url, *JOBS, *more, DATABASE_URL=url) as api:
        found = Town(api)
        for owner in OWNERS:
            text, key = make(scopes_of(["admin"]), tenant=owner)
            await AccessRecords(api.client.redis, "rota").put({key.id: key.write()})
            found.keys[owner] = {"Authorization": f"Bearer {text}"}
        await api.client.pause("held")
        await asyncio.gather(*(found.fill(owner) for owner in OWNERS))
        yield found


def clear_of(text: str, caller: str) -> None:
    for owner in OWNERS:
        if owner != caller:
            assert secret_of(owner) not in text
            assert f"row-of-{owner}" not in text
