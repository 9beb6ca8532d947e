"""Drafts: jobs that are ready to be sent, with their arguments checked and encoded."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from pydantic_core import to_json

from rota.client.sending.moulds import Mould, Moulds
from rota.errors import InvalidPayload, PayloadTooLarge
from rota.model.job import Job
from rota.model.options import EnqueueOptions
from rota.model.policies.terms import of_tenant
from rota.model.trace import tenant_of
from rota.names import full_name, new_id, new_ids
from rota.process.clock import Clock
from rota.seams import Outgoing
from rota.settings.settings import Settings
from rota.wire import envelopes
from rota.wire.sealing.sealed import seal_job


class Draft(NamedTuple):
    """A job ready to be sent.

    :param mould: what it has in common with all enqueues of its kind.
    :param payload: its envelope, without headers.
    :param terms: what the scripts must know of it beside the payload.
    :param unique: the value of its unique key; empty without one.
    """

    mould: Mould
    payload: bytes
    terms: str
    unique: str

    @property
    def outgoing(self) -> Outgoing:
        """The job as senders see it, under the id that it will have."""
        return _outgoing(self, new_id())

    def terms_of(self, job: Outgoing) -> tuple[str, str]:
        """Return the terms, and the value of the unique key, once the senders have said whose job it is."""
        return of_tenant(self.terms, self.unique, tenant_of(job.headers))


# As `Draft._make`, which calls it through two functions more.
_draft = partial(tuple.__new__, Draft)


def _outgoing(draft: Draft, new: str) -> Outgoing:
    mould = draft.mould
    job_id, declared = mould.own_id or new, mould.job is not None
    return Outgoing(mould.queue, mould.task, job_id, draft.payload, {**mould.headers}, declared)


def outgoing(drafts: Sequence[Draft]) -> list[Outgoing]:
    """Return jobs as senders see them, under the ids that they will have."""
    return list(map(_outgoing, drafts, new_ids(len(drafts))))


class Drafter:
    """Makes drafts.

    :param settings: namespace, default queue and payload limit.
    :param clock: the time at which jobs are enqueued.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._namespace = settings.namespace
        self._payload_limit = settings.payload_limit
        self._clock = clock
        self._sealer = settings.sealer
        self._moulds = Moulds(settings.default_queue, settings.namespace)

    def draft(self, job: Job[Any, Any], arguments: bytes) -> Draft:
        """Return a draft of a job with its arguments (JSON). Raises PayloadTooLarge, InvalidPayload."""
        mould = self._moulds.of(job)
        payload = self._payload(mould, arguments)
        if mould.terms is not None:
            return _draft((mould, payload, mould.terms, ""))
        return _draft((mould, payload, *self._moulds.terms(job, mould.queue, mould.home, arguments)))

    def draft_by_name(self, name: str, payload: Mapping[str, Any] | None, options: EnqueueOptions) -> Draft:
        """Return a draft of a job of which only `queue:name`, or `name` on the default queue, is known.

        Raises PayloadTooLarge, InvalidPayload, ValueError for an impossible name, TypeError for a payload by position.
        """
        mould = self._moulds.of_name(name, options)
        return Draft(
            mould, self._payload(mould, _arguments(name, mould.task, payload)), mould.terms or "", ""
        )

    def _payload(self, mould: Mould, arguments: bytes) -> bytes:
        payload = envelopes.put_between(mould.begun, arguments, self._clock.time_ms(), mould.ended)
        if len(payload) > self._payload_limit:
            raise PayloadTooLarge(full_name(mould.queue, mould.task), len(payload), self._payload_limit)
        return payload

    @property
    def seals(self) -> bool:
        """Whether payloads are signed."""
        return self._sealer is not None and self._sealer.signs

    def sealed(self, draft: Draft, job: Outgoing) -> bytes:
        """Return the payload of a draft as it is sent: with the headers that its senders have added, and a seal."""
        payload = envelopes.with_headers(job.payload, job.headers)
        if self._sealer is None:
            return payload
        return seal_job(self._sealer, payload, queue=draft.mould.queue, job_id=job.id)


def _arguments(name: str, task: str, payload: Mapping[str, Any] | None) -> bytes:
    """Return the arguments of a job whose types are not known, as JSON. Raises InvalidPayload, TypeError."""
    if payload is not None and not isinstance(payload, Mapping):
        raise TypeError(
            f'the payload of {name} is {type(payload).__name__}; give arguments by name: {{"to": "ann"}}'
        )
    try:
        # Bytes and infinities as typed jobs write them, whose types read them.
        return to_json(dict(payload or {}), bytes_mode="base64", inf_nan_mode="strings")
    except ValueError as error:
        raise InvalidPayload(task, {"": "cannot travel as JSON"}) from error
