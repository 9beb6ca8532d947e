"""What is refused of actions on many jobs at once."""

from collections.abc import Mapping

from rota.errors.root import RotaError


class InvalidFilter(RotaError):
    """Raised for conditions that choose no jobs that the action could be done to, or that are none.

    `problems` says what is wrong by the names of the fields; "" stands for the filter as a whole.
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "; ".join(f"{name}: {why}" if name else why for name, why in self.problems.items())


class MoreThanExpected(RotaError):
    """Raised where an action would be done to more jobs than its caller has seen; nothing was done."""

    def __init__(self, count: int, expected: int, *, is_whole: bool = True) -> None:
        self.count = count
        self.expected = expected
        self.is_whole = is_whole
        super().__init__(count, expected)

    def __str__(self) -> str:
        found = f"{self.count} jobs" if self.is_whole else f"{self.count} jobs or more"
        return f"{found} are chosen now, and {self.expected} were expected: look again; nothing was done"


class Uncounted(RotaError):
    """Raised where the jobs of a filter could not be counted in the time for it; nothing was done."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(seconds)

    def __str__(self) -> str:
        return (
            f"the jobs could not be counted within {self.seconds:g} seconds: choose a queue or a shorter time, "
            "or act without expecting a number; nothing was done"
        )


class TooManyOperations(RotaError):
    """Raised where too many operations wait already."""

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(most)

    def __str__(self) -> str:
        return f"{self.most} operations wait to be done already: wait for them, or abort some"


class UnknownOperation(RotaError):
    """Raised for an operation that Redis does not hold: it keeps one for seven days after its end."""

    def __init__(self, operation_id: str) -> None:
        self.operation_id = operation_id
        super().__init__(operation_id)

    def __str__(self) -> str:
        return f"there is no operation {self.operation_id!r}; one that is over is kept for seven days"
