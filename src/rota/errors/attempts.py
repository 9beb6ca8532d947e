"""What ended an attempt or a job, beside the handler's own exceptions: time, lost workers, child processes."""

from rota.errors.client import JobError
from rota.errors.root import RotaError


class JobTimeout(RotaError):
    """The attempt ran longer than its timeout of `seconds`; it is retried like any error."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the attempt ran longer than {self.seconds:g} s"


class JobLost(RotaError):
    """The job was lost with its worker `times` times, so it died; it may be what kills the workers."""

    def __init__(self, times: int) -> None:
        super().__init__(times)
        self.times = times

    def __str__(self) -> str:
        return f"{self.times} executions of it were lost with their worker; it may be what kills them"


class JobExpired(RotaError):
    """The job's payload expired before a worker claimed it, so the job died; a stock client sets that time."""

    def __str__(self) -> str:
        return "its payload had expired before a worker took it"


class JobsGone(RotaError):
    """The jobs of a pipeline are in Redis no more, and did not tell how they ended, so the pipeline died."""

    def __str__(self) -> str:
        return "its jobs are gone: their keys were deleted, or a stock worker ran them; it can be resumed"


class ChildDied(RotaError):
    """The attempt's child process was killed or exited; `status` is as `subprocess` gives it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        how = f"by signal {-self.status}" if self.status < 0 else f"with exit status {self.status}"
        return f"the process of this job ended {how}"


class RemoteError(JobError):
    """An exception of a handler in a child process, as the parent process sees it.

    `may_retry` is what the job's `retry_on` and `give_up_on` say of the exception's class, which only the child knows.
    """

    def __init__(
        self,
        type: str,  # noqa: A002 (wire word)
        message: str,
        traceback: str | None,
        *,
        cause: str = "",
        may_retry: bool = True,
    ) -> None:
        super().__init__(type, message, traceback, cause=cause)
        self.may_retry = may_retry
