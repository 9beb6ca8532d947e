"""Passes a job's headers on to all jobs that it enqueues, and its trace where no tracer is at work."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rota.model.headers import current_headers, has_headers, inherit
from rota.model.run import Run
from rota.model.trace import TENANT, TRACE_HEADERS
from rota.names import check_tenant
from rota.seams import Outgoing, Switched


def receive(run: Run) -> None:
    """Carry the headers of the job through its attempt, in place of the headers around the start of the worker."""
    headers = run.facts.headers
    if headers or current_headers():
        inherit(headers)


class HeaderSender(Switched):
    """A sender: adds the headers that are carried. It comes after the tracers, whose trace goes first.

    A tenant that the job has already, by its options or its client, stays.
    """

    is_on = staticmethod(has_headers)

    @contextmanager
    def __call__(self, jobs: Sequence[Outgoing]) -> Iterator[None]:
        headers = current_headers()
        own = {name: value for name, value in headers.items() if name not in TRACE_HEADERS}
        trace = {name: value for name, value in headers.items() if name in TRACE_HEADERS}
        for job in jobs:
            chosen = {TENANT: job.headers[TENANT]} if TENANT in job.headers else {}
            job.headers.update((own if "traceparent" in job.headers else own | trace) | chosen)
        yield


class TenantSender:
    """A sender: what a client of one tenant enqueues is that tenant's, unless the options of a job name another."""

    def __init__(self, tenant: str) -> None:
        self.tenant = check_tenant(tenant)

    @contextmanager
    def __call__(self, jobs: Sequence[Outgoing]) -> Iterator[None]:
        for job in jobs:
            job.headers.setdefault(TENANT, self.tenant)
        yield
