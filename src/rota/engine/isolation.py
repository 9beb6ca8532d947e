"""The isolation of a process: all its slots, which a suspect gets for itself.

A suspect is a job that was lost so often that it may be what kills its workers. The engine that is to run it waits
until nothing runs in the process, in any queue, and nothing else is claimed while it runs.
"""

from typing import Protocol


class Tenant(Protocol):
    """An engine, as the isolation sees it."""

    @property
    def present(self) -> bool:
        """Whether it runs jobs, or has asked for some."""

    def look(self, polled: bool = False) -> None:
        """There may be something to do."""


class Isolation:
    """Shared by the engines of one process."""

    def __init__(self) -> None:
        self._tenants: list[Tenant] = []
        self._holder: Tenant | None = None

    def enter(self, tenant: Tenant) -> None:
        """From now on `tenant` counts."""
        self._tenants.append(tenant)

    def leave(self, tenant: Tenant) -> None:
        """`tenant` is gone."""
        self._tenants.remove(tenant)
        self.give_up(tenant)

    def ask(self, tenant: Tenant) -> None:
        """`tenant` wants the isolation to itself; nothing happens while another has it."""
        if self._holder is None:
            self._holder = tenant
            tenant.look()

    def give_up(self, tenant: Tenant) -> None:
        """`tenant` needs the isolation no longer."""
        if self._holder is tenant:
            self._holder = None
            self._look()

    def is_closed_to(self, tenant: Tenant) -> bool:
        """Whether another has asked for the isolation."""
        return self._holder is not None and self._holder is not tenant

    def is_asked_by(self, tenant: Tenant) -> bool:
        """Whether `tenant` has asked for the isolation, and waits or has it."""
        return self._holder is tenant

    @property
    def is_empty(self) -> bool:
        """Whether nothing runs, and nothing was asked for."""
        return not any(tenant.present for tenant in self._tenants)

    def left(self) -> None:
        """Somebody's job has ended, or a step that asked for some: the isolation may be empty now."""
        if self._holder is not None and self.is_empty:
            self._holder.look()

    def _look(self) -> None:
        for tenant in self._tenants:
            tenant.look()
