"""How webhooks, and what was sent to them, look on a terminal and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rota.cli import screen
from rota.cli.commands.look import moment
from rota.client.webhooks.deliveries import Delivery
from rota.model.webhooks.subscription import KINDS, Subscription

_SECRETS = ("secret", "old_secret", "old_until_ms")


def listed(found: Sequence[Subscription], as_json: bool) -> None:
    """Print webhooks, without their secrets."""
    if as_json:
        screen.value([_known(one) for one in found])
    else:
        screen.table(("webhook", "url", "tenant", "told of", "is", "for"), map(_row, found))


def secret(made: Subscription, as_json: bool) -> None:
    """Print a webhook whose secret was just made, the only time that it is seen."""
    if as_json:
        screen.value({**_known(made), "secret": made.secret})
        return
    screen.say(made.id)
    screen.say(made.secret)
    screen.note("this is the only time that the secret is shown")


def sent(found: Sequence[Delivery], as_json: bool) -> None:
    """Print messages to one webhook, the newest first."""
    if as_json:
        screen.value([{**asdict(one), "body": one.body.decode("utf-8", "replace")} for one in found])
    else:
        rows = ([one.id, one.state, one.attempts, one.status, moment(one.last), one.error] for one in found)
        screen.table(("message", "is", "attempts", "answer", "last", "why"), rows)


def _known(one: Subscription) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name not in _SECRETS}


def _row(one: Subscription) -> list[object]:
    kinds = "" if set(one.events) == set(KINDS) else ", ".join(one.events)
    jobs = ", ".join((*one.queues, *one.jobs)) or ("jobs that name it" if one.chosen_only else "all jobs")
    since = moment(datetime.fromtimestamp(one.off_ms / 1000, UTC)) if one.off else ""
    state = f"off since {since}: {one.off}" if one.off else "on"
    return [one.id, one.url, one.tenant, f"{jobs} {kinds}".strip(), state, one.description]
