"""Starts the containers of a release beside those that run, and stops those when the new ones are well."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from deploy.release.engine import Container, Failed, Project, Service, each, logs, look

#: Between two looks at a container, seconds.
_LOOK_EVERY = 0.25


class Rollout:
    """The change of some services of a project to another release.

    :param within: how long new containers may take until they are well, in seconds.
    """

    def __init__(self, project: Project, services: Sequence[Service], within: float) -> None:
        self._project = project
        self._services = services
        self._within = within
        self.old: dict[str, list[Container]] = {}
        self.new: dict[str, list[Container]] = {}
        self._stopped: list[Container] = []

    def create(self) -> None:
        """Create the new containers, which do not run yet: as many of a service as run now, or as it is to have."""
        self.old = {service.name: self._project.containers(service.name) for service in self._services}
        more = {one.name: wanted(one, self.old[one.name]) for one in self._services}
        scales = [f"--scale={name}={len(self.old[name]) + count}" for name, count in more.items()]
        try:
            self._project.compose("create", "--no-recreate", "--no-build", *scales, *more)
        finally:
            known = {one.id for old in self.old.values() for one in old}
            for name in more:
                self.new[name] = [one for one in self._project.containers(name) if one.id not in known]

    def start(self, service: Service) -> None:
        """Start the new containers of a service, and wait until they are well. Raises Failed.

        Where a service has a port of the host, which two cannot have, an old container stops before a new one starts.
        """
        old, new = self.old[service.name], self.new[service.name]
        if not service.has_port:
            self._begin(new)
            return
        for before, after in zip_longest((one for one in old if one.runs), new):
            if before is not None:
                self._stopped.append(before)
                each("stop", [before])
            if after is not None:
                self._begin([after])

    def _begin(self, containers: Sequence[Container]) -> None:
        each("start", containers)
        until = time.monotonic() + self._within
        while waiting := [one for one in look([one.id for one in containers]) if not one.is_well]:
            _check(waiting)
            if time.monotonic() > until:
                raise Failed(
                    f"{waiting[0].name} is not healthy after {self._within:g} s:\n{logs(waiting[0])}"
                )
            time.sleep(_LOOK_EVERY)

    def finish(self) -> None:
        """Stop the old containers, which end what they run within their grace period, and remove them."""
        for containers in self.old.values():
            each("stop", containers)
            each("rm", containers)

    def undo(self) -> None:
        """Stop and remove the new containers, and start again what was stopped for them."""
        new = [one for containers in self.new.values() for one in containers]
        each("stop", new)
        each("rm", new)
        each("start", self._stopped)


def wanted(service: Service, old: Iterable[Container]) -> int:
    """Return how many containers of a service there should be: as many as run of one release, or as are stated."""
    running = Counter(one.image for one in old if one.runs)
    return max([service.replicas, *running.values()])


def _check(containers: Iterable[Container]) -> None:
    """Raise Failed where a container ended, or was found ill, with what it said last."""
    for one in containers:
        if one.has_failed:
            state = "is unhealthy" if one.runs else "ended"
            raise Failed(f"{one.name} {state}:\n{logs(one)}")
