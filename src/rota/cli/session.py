"""What the commands about jobs share: the settings, what the code names, and a client for one action."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from rota.app import connect
from rota.cli import screen
from rota.client.client import Client
from rota.errors import RotaError, UnknownJob, UnknownQueue
from rota.model.registry import Registry, discover
from rota.process.tasks import end
from rota.settings.load import Settings, load
from rota.settings.settings import ConfigError
from rota.wire.keys import check_queue


@dataclass(frozen=True, slots=True)
class Known:
    """The knowledge of a command before it asks Redis.

    :param registry: the jobs of the code, without those of modules that cannot be imported.
    :param queues: every queue that a job or a setting names.
    :param is_whole: whether all of the code was read, so that another name is a wrong one.
    """

    settings: Settings
    registry: Registry
    queues: tuple[str, ...]
    is_whole: bool

    @property
    def served(self) -> tuple[str, ...]:
        """The queues that workers with these settings serve. Raises ConfigError for a choice that does not exist."""
        if self.is_whole:
            return self.settings.served_queues(self.registry.queues)
        chosen = self.settings.worker_queues
        return self.queues if chosen is None else tuple(one for one in self.queues if one in chosen)

    async def check_queue(self, client: Client, queue: str) -> None:
        """Raise UnknownQueue for a queue that no job and no setting names, and on which nothing lies."""
        if queue in self.queues or not self.is_whole:
            return
        if not any((await client.counts(queue)).values()) and not await client.paused_since(queue):
            raise UnknownQueue(queue, self.queues)

    def check_job(self, queue: str, task: str | None) -> None:
        """Raise UnknownJob for a job of which nothing was found, and that no code has on this queue."""
        if task is None or not self.is_whole:
            return
        names = self.registry.by_any_name(queue)
        if task.removeprefix(f"{queue}:") not in names:
            raise UnknownJob(task, [f"{queue}:{name}" for name in names])


def known() -> Known:
    """Return what settings and code say; what of the code cannot be read is one line of warning."""
    settings = load()
    failures: list[RotaError] = []
    registry = discover(settings.jobs_package, settings.default_queue, on_failure=failures.append)
    try:
        queues = settings.known_queues(registry.queues)
    except ConfigError as error:
        failures.append(error)
        queues = settings.known_queues(())
    for line in _about(failures):
        screen.warn(line)
    return Known(settings, registry, queues, is_whole=not failures)


def _about(failures: list[RotaError]) -> Iterator[str]:
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        yield f"{failures[0]}{more}; this command goes on without it"


def serving(queue: str) -> Settings:
    """Return the settings, for what needs the jobs. Raises UnknownQueue for a queue that nothing names."""
    settings = load()
    queues = settings.served_queues(discover(settings.jobs_package, settings.default_queue).queues)
    if queue not in queues:
        raise UnknownQueue(queue, queues)
    return settings


def on_queue(queue: str, act: Callable[[Client, Known], Coroutine[Any, Any, None]]) -> None:
    """Run `act` with a client, on a queue that there is. Raises UnknownQueue for any other."""
    _allowed(queue)
    here = known()

    async def checked(client: Client) -> None:
        await here.check_queue(client, queue)
        await act(client, here)

    with_client(here.settings, checked)


def _allowed(queue: str) -> None:
    try:
        check_queue(queue)
    except ValueError as error:
        raise RotaError(str(error)) from None


def with_client(settings: Settings, act: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    """Run `act` with a client on the Redis of the settings, which is tried once."""

    async def go() -> None:
        async with await connect.connect_at_once(settings, tell=screen.warn) as client:
            # In a task of its own, which is cancelled until it ends: one cancellation, as that of Ctrl-C, may be lost.
            acting = asyncio.create_task(act(client))
            try:
                await asyncio.wait({acting})
            finally:
                await end({acting})
            acting.result()

    asyncio.run(go())
