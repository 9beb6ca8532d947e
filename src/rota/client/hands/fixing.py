"""Changes the arguments of a dead letter and brings it back, in one step; what they were is kept with the action.

All else stays the letter's own: its id, headers, options and flow, when it was enqueued, and what it had saved.
"""

import getpass
import socket
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from rota.client.dead_letters import DeadLetters, Replayed
from rota.errors import NotReplayed, PayloadTooLarge, RefusedPayload, UnreadablePayload
from rota.errors.secrets import without_named
from rota.model.bulk.actions import Action, Actor
from rota.model.job import Call, Job, home_of
from rota.model.policies.terms import of_tenant, tenant_in, terms_and_key
from rota.model.trace import tenant_of
from rota.names import full_name, ids_of
from rota.process.clock import Clock
from rota.server.faults import explained
from rota.settings.settings import Settings
from rota.wire import envelopes
from rota.wire.claims import encode_id
from rota.wire.envelopes import FROM_FLOW, HOME, Envelope
from rota.wire.keys import QueueKeys, actions_key, queue_key
from rota.wire.leading.bulk import ACTIONS
from rota.wire.sealing.sealed import seal_job, unseal_job
from rota.wire.sealing.values import seal_value

#: What a fix is called in the list of actions.
ACTION = "fix_and_retry"
#: How often a letter is read again that changes in the meantime.
_TRIES = 5
#: The kinds of terms that follow from the arguments: rates, slots, the unique key.
_BY_ARGUMENTS = ("r=", "c=", "u=")


class _Letter(NamedTuple):
    """A dead letter as it lies in Redis; `payload` is sealed, where it was."""

    id: str
    payload: bytes
    task: str
    terms: str


class Fixing:
    """How one client fixes letters. `dead_letters` brings them back."""

    def __init__(self, redis: Any, settings: Settings, clock: Clock, dead_letters: DeadLetters) -> None:
        self._redis = redis
        self._settings = settings
        self._clock = clock
        self._dead_letters = dead_letters

    async def fix(
        self, queue: str, job_id: str, call: Call[Any], by: Actor | None, reason: str = ""
    ) -> Replayed:
        """Bring a letter back with the arguments of `call`, for which `by` answers, and say why.

        Raises ValueError for the call of another job, PayloadTooLarge, RefusedPayload, and what a replay raises.
        """
        for _ in range(_TRIES):
            letter = await self._letter(queue, job_id)
            before = self._opened(queue, letter)
            _check_same(letter, before, call.job, queue, self._settings.default_queue)
            payload = self._payload(queue, letter, before, call)
            terms = _terms(letter, before, call, queue, self._settings.namespace)
            action = Action(
                actor=by or Actor("code", own_name()),
                action=ACTION,
                target={"queue": queue, "id": letter.id},
                tenant=tenant_in(letter.terms) or tenant_of(before.headers),
                detail={
                    "before": self._kept(letter, to_json(before.kwargs or before.args)),
                    "after": self._kept(letter, call.arguments),
                    **({"reason": reason} if reason else {}),
                },
            )
            listed = [word for field in action.fields().items() for word in field]
            key = actions_key(self._settings.namespace)
            found = await self._dead_letters.replay_fixed(
                queue, letter.id, key, (letter.payload, payload, terms, ACTIONS, *listed)
            )
            if found is not None:
                return found
        raise NotReplayed(job_id, "changed")

    async def _letter(self, queue: str, job_id: str) -> _Letter:
        """Return a letter by an id. Raises JobNotFound, NoDeadLetter, NotReplayed for one without a payload."""
        dead = QueueKeys.of(queue_key(queue)).dead.encode()
        async with explained(self._redis):
            for found in ids_of(queue, job_id):
                key = dead + b":" + encode_id(found)
                payload, task, terms = await self._redis.hmget(key, "payload", "task", "terms")
                if payload is not None:
                    texts = [(raw or b"").decode("utf-8", "surrogateescape") for raw in (task, terms)]
                    return _Letter(found, payload, *texts)
                if task is not None:
                    raise NotReplayed(found, "empty")
        raise await self._dead_letters.no_letter(queue, job_id)

    def _opened(self, queue: str, letter: _Letter) -> Envelope:
        """Return what a letter has in its payload; of one that cannot be read, only the name of its job."""
        raw = unseal_job(self._settings.sealer, letter.payload, queue=queue, job_id=letter.id)
        try:
            found = envelopes.decode_job(raw)
        except RefusedPayload:  # an encrypted one, whose headers and options would be lost
            raise
        except UnreadablePayload:
            now_ms = self._clock.time_ms()
            return Envelope(letter.task, [], {}, now_ms, None, {}, {}, ours=False)
        if FROM_FLOW in found.options:
            raise NotReplayed(letter.id, "input")
        return found

    def _kept(self, letter: _Letter, arguments: bytes) -> Any:
        """Return arguments as the list of actions has them: encrypted where payloads are, else without secrets."""
        sealer = self._settings.sealer
        if sealer is not None and sealer.encrypts:
            return from_json(seal_value(sealer, arguments, "arguments", letter.id))
        return without_named(from_json(arguments))

    def _payload(self, queue: str, letter: _Letter, before: Envelope, call: Call[Any]) -> bytes:
        """Return the payload with other arguments. Raises PayloadTooLarge."""
        payload = envelopes.encode_job(
            call.job.name,
            call.arguments,
            enqueued_ms=before.enqueued_ms,
            options=before.options,
            headers=before.headers,
        )
        if len(payload) > self._settings.payload_limit:
            raise PayloadTooLarge(full_name(queue, call.job.name), len(payload), self._settings.payload_limit)
        return seal_job(self._settings.sealer, payload, queue=queue, job_id=letter.id)


def own_name() -> str:
    """Return who runs this process and where, as the list of actions names them: `user@host`."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in many containers
        user = ""
    return f"{user}@{socket.gethostname()}"


def _check_same(
    letter: _Letter, before: Envelope, job: Job[Any, Any], queue: str, default_queue: str
) -> None:
    """Raise ValueError where a call is not of the letter's job."""
    home = before.options.get(HOME) or queue
    own, given = full_name(home, before.name), full_name(home_of(job, default_queue), job.name)
    if own != given:
        raise ValueError(f"the dead letter {letter.id} is of {own}, and the arguments are for {given}")


def _terms(letter: _Letter, before: Envelope, call: Call[Any], queue: str, namespace: str) -> str:
    """Return the terms of a letter once it has other arguments: limits and the unique key may follow from these."""
    job, home = call.job, before.options.get(HOME) or queue
    terms, key = terms_and_key(job, queue, call.arguments, namespace=namespace, home=home)
    fresh, _ = of_tenant(terms, key, tenant_in(letter.terms))
    kept = [term for term in letter.terms.split() if not term.startswith(_BY_ARGUMENTS)]
    # A job that held no unique key, as an item of a pipeline, is given none.
    kinds = _BY_ARGUMENTS if " u=" in f" {letter.terms}" else _BY_ARGUMENTS[:2]
    return " ".join([*(term for term in fresh.split() if term.startswith(kinds)), *kept])
