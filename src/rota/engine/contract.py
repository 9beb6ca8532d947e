"""The contract between the engine and what runs its jobs: a claim goes in, a settlement comes out."""

from collections.abc import Collection, Sequence
from typing import Protocol

from rota.engine.execution import Execution
from rota.wire.claims import Claim, Settlement


class Contract(Protocol):
    """The meaning of jobs: arq's, or the service's. The engine knows no more of a job than its claim."""

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Take note of what a step has claimed; it need not be run."""

    async def execute(self, execution: Execution) -> Settlement:
        """Run one claim to its end, and return its settlement. An error of the handler is not raised."""

    def settled(self, settlements: Sequence[Settlement], counted: Sequence[bool]) -> None:
        """Take note that Redis answered the settlements of a step; one whose claim had been lost is not `counted`."""

    def reported(self, claim: Claim, task: str, percent: float, message: str) -> None:
        """Take note that the progress of a running job was written."""

    def strangers(self) -> Collection[str]:
        """Return the names of jobs that are not known here, which the queue had better put off unclaimed."""

    async def finished(self) -> None:
        """Wait until everything that `settled` started has ended."""
