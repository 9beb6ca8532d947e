"""A job that never leaves C code, in a module that a child process loads at once."""

import itertools

from rota.model.job import job
from rota.model.run import Run


@job(process=True)
def counts(run: Run) -> int:
    return sum(itertools.repeat(1, 10**12))
