"""A job that a child process can import."""

import os

from rota import Run, job


@job(process=True)
def process_id(run: Run) -> int:
    run.progress(50)
    return os.getpid()
