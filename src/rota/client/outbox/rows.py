"""Jobs that become rows of the outbox: their arguments are checked here, and the headers of senders added."""

from collections.abc import Sequence
from typing import Any

from rota.client.calls import check_enqueueable
from rota.client.sending.drafts import Draft, Drafter, outgoing
from rota.model.flows.stages import Pipeline
from rota.model.trace import tenant_of
from rota.names import full_name, new_id
from rota.seams import Outgoing, Senders
from rota.store.outbox.rows import NewRow


def check_job(job: Any) -> None:
    """Raise TypeError for anything but a job; also for a pipeline, whose start is several rows."""
    if isinstance(job, Pipeline):
        raise TypeError(
            "a pipeline cannot be enqueued in a transaction; enqueue a job there whose handler starts the pipeline"
        )
    check_enqueueable(job)


class Rows:
    """Makes rows of calls.

    :param drafter: checks the payloads.
    :param senders: add headers; they are told of no job, since nobody knows yet whether the transaction is committed.
    :param namespace: that of the deployment whose leader is to send the rows.
    """

    def __init__(self, drafter: Drafter, senders: Senders, namespace: str) -> None:
        self.drafter = drafter
        self.senders = senders
        self._namespace = namespace

    def outgoing(self, drafts: Sequence[Draft]) -> list[Outgoing]:
        """Return the jobs as senders see them, under the ids that they will have. Raises TypeError."""
        for mould, _, _, unique in drafts:
            if self.drafter.seals and unique and mould.on_taken in ("replace", "debounce"):
                raise TypeError(
                    f"{full_name(mould.queue, mould.task)} replaces the job that has its unique key, and a payload "
                    "that is signed in a transaction cannot change its id then; use on_taken='existing' or 'refuse'"
                )
        return outgoing(drafts)

    def of(self, drafts: Sequence[Draft], jobs: Sequence[Outgoing]) -> list[NewRow]:
        """Return the rows of drafts, with the headers that the senders have added."""
        return [self._row(draft, job) for draft, job in zip(drafts, jobs, strict=True)]

    def _row(self, draft: Draft, job: Outgoing) -> NewRow:
        mould, (terms, unique) = draft.mould, draft.terms_of(job)
        return NewRow(
            # An id that a user gave may come again, once its job is over.
            key=job.id if mould.own_id is None else new_id(),
            id=job.id,
            namespace=self._namespace,
            queue=mould.queue,
            name=mould.task,
            payload=self.drafter.sealed(draft, job),
            terms=terms,
            unique_key=unique,
            on_taken=mould.on_taken,
            due_ms=None if mould.at_ms < 0 else mould.at_ms,
            delay_ms=mould.delay_ms,
            tenant=tenant_of(job.headers),
        )
