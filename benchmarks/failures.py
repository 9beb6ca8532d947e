"""What can go wrong in a run, each a sentence that names it; a wrong measurement is never reported as a figure."""


class BenchFailed(Exception):
    """The root of them; the run ends, and exits with status 2."""


class WrongSize(BenchFailed):
    """Raised for a BENCH_ variable that is not a whole number of 1 or more."""


class NotOurServer(BenchFailed):
    """Raised when a server does not start, or something else answers on its port."""


class WorkerFailed(BenchFailed):
    """Raised for a worker that ended or stood still, with the end of its log."""


class LedgerMismatch(BenchFailed):
    """Raised for a run in which a job was lost, failed, or ran twice."""
