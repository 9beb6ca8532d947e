"""The settings in force as people may see them: no password, key or token, and where each value stood."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pydantic import SecretStr

from rota.api.pages.words import counted, duration
from rota.errors.secrets import SECRETS
from rota.settings.queues import QueueOptions, variable_prefix
from rota.settings.settings import Settings
from rota.settings.types import unit_of
from rota.units import format_size

#: What is shown of a value that is a secret, or may have one in it.
_UNSEEN = "set, and not shown"
#: Commands may have a token among their words.
_SECRET = frozenset({"autoscaler_command"})
#: The options behind an address may be a key.
_OPTIONS = re.compile(r"\?\S*")


class Variable(NamedTuple):
    """A setting in force: its variable, the value in words, and where it stood."""

    name: str
    value: str
    place: str

    @property
    def is_set(self) -> bool:
        """Whether it is another than the default, or was at least said."""
        return self.place != "default"


def variables_of(settings: Settings) -> list[Variable]:
    """Return every setting by its variable, in the order in which they are documented."""
    found = [
        Variable(name.upper(), _shown(settings, name), settings.place_of(name.upper()))
        for name in Settings.model_fields
        if name != "queues"
    ]
    return [*found, *_of_queues(settings)]


def _of_queues(settings: Settings) -> Iterator[Variable]:
    for queue, options in settings.queues.items():
        for name, field in QueueOptions.model_fields.items():
            if (value := getattr(options, name)) is not None:
                variable = f"{variable_prefix(queue)}{name.upper()}"
                yield Variable(variable, _in_words(value, unit_of(field)), settings.place_of(variable))


def _shown(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if value is None:
        return "\N{EN DASH}"
    if name in _KEYS:
        return counted(_KEYS[name](value), "key")
    if name in _ADDRESSES:
        return _ADDRESSES[name](settings)
    if isinstance(value, SecretStr) or name in _SECRET:
        return _UNSEEN
    return _in_words(value, unit_of(Settings.model_fields[name]))


#: How many keys a setting has, and the addresses that are shown without their passwords.
_KEYS: dict[str, Callable[[Any], int]] = {"api_keys": len, "payload_keys": lambda ring: len(ring.texts)}
_ADDRESSES: dict[str, Callable[[Settings], str]] = {
    "redis_url": lambda settings: settings.redis.safe_url if settings.redis else "",
    "database_url": lambda settings: str(settings.database),
}


def _in_words(value: Any, unit: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if unit == "seconds":
        return duration(value)
    if unit == "bytes":
        return format_size(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return _OPTIONS.sub("?***", SECRETS.hidden(text)) if "://" in text else SECRETS.hidden(text)
