"""What a request to another machine may meet, which a job sends to an address that others gave."""

from rota.errors.root import RotaError


class FetchRefused(RotaError):
    """Raised for a request that is never sent: of its URL, or because of where its host lies. No retry cures it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the request is not sent: {self.reason}"


class FetchFailed(RotaError):
    """Raised for a request that was not answered: the other side is away, too slow, or says too much."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the request was not answered: {self.reason}"
