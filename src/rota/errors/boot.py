"""What a worker cannot start with: names that clash, limits that disagree, modules or a lifespan that fail."""

from rota.errors.root import RotaError


class _Clash(RotaError):
    """A name that two places in the code give to different things, and the places."""

    def __init__(self, name: str, first: str, second: str) -> None:
        super().__init__(name, first, second)
        self.name = name
        self.first = first
        self.second = second


class JobClash(_Clash):
    """Raised at boot when two handlers of one queue have one name: rename either, with `name=`."""

    def __str__(self) -> str:
        return f"two jobs are named {self.name}: {self.first} and {self.second}; rename one with name="


class ScheduleClash(_Clash):
    """Raised at boot when two schedules have one name: rename either, with `@every(..., name=)`."""

    def __str__(self) -> str:
        return f"two schedules are named {self.name}: of {self.first} and of {self.second}; rename one with name="


class LimitClash(_Clash):
    """Raised at boot when two jobs share a limit by its name, and give it different figures."""

    def __str__(self) -> str:
        return f"the limit {self.name!r} is not the same at {self.first} and {self.second}; give both the same figures"


class DiscoveryFailed(RotaError):
    """Raised at boot when a module of the jobs package cannot be imported or holds a wrong lifespan."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(module, reason)
        self.module = module
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot collect the jobs of {self.module}: {self.reason}"


class LifespanFailed(RotaError):
    """Raised where the jobs' lifespan raises, as `doing` says: when it starts or when it ends."""

    def __init__(self, doing: str, reason: str) -> None:
        super().__init__(doing, reason)
        self.doing = doing
        self.reason = reason

    def __str__(self) -> str:
        return f"the lifespan of the jobs failed when it was to {self.doing}: {self.reason}"
