"""Takes the secrets that this process was given out of what it says: log lines, errors, events for Sentry.

The passwords of Redis are kept as addresses are made of them, all others as the settings are read.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

#: What stands in a secret's place.
HIDDEN = "***"
#: What is in the names of fields that hold secrets, in any case.
NAMES_OF_SECRETS = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|token|api[-_]?key|authorization|cookie|credential|private[-_]?key"
    r"|access[-_]?key|dsn|csrf|signature"
)
#: A shorter secret is taken out of a server's own errors alone: elsewhere it may be a word.
SHORTEST = 6

_NAME = re.compile(NAMES_OF_SECRETS, re.IGNORECASE)
_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]{1,20}://)[^/?#\s'\"<>]+@", re.IGNORECASE)
#: A key of the API, after the part of it that may be named.
_KEY = re.compile(r"(\brota_[0-9A-Za-z]{8}_)[0-9A-Za-z]{20,}")
#: A server or a proxy that does not know a command repeats what came with it.
_REPEATED = re.compile(r",? with args beginning with:.*", re.DOTALL)


class Secrets:
    """The secrets of a process."""

    def __init__(self) -> None:
        self._all: set[str] = set()
        self._long: re.Pattern[str] | None = None

    def keep(self, *secrets: str | None) -> None:
        """Add secrets that are to be taken out from now on."""
        new = {secret for secret in secrets if secret} - self._all
        if new:
            self._all |= new
            forms = {form for secret in self._all for form in _forms(secret) if len(form) >= SHORTEST}
            self._long = _any_of(forms)

    def hidden(self, text: str) -> str:
        """Return `text` without the secrets, keys of the API, and the user and password of any URL in it."""
        if self._long is not None:
            text = self._long.sub(HIDDEN, text)
        if "rota_" in text:
            text = _KEY.sub(rf"\1{HIDDEN}", text)
        return _LOGIN.sub(rf"\1{HIDDEN}@", text) if "@" in text else text

    def hide_in(self, error: BaseException, *also: str | None) -> None:
        """Take secrets, `also` and short ones too, out of an error of a server and of what it came from."""
        forms = {form for secret in {*self._all, *also} if secret for form in _forms(secret)}
        whole = re.compile(rf"(?<!\w)(?:{_alternatives(forms)})(?!\w)") if forms else None
        for one in _linked(error):
            one.args = tuple(self._without(part, whole) for part in one.args)

    def _without(self, part: object, secrets: re.Pattern[str] | None) -> object:
        if not isinstance(part, str):
            return part
        text = _REPEATED.sub("", part)
        return self.hidden(secrets.sub(HIDDEN, text) if secrets else text)


def _linked(error: BaseException) -> list[BaseException]:
    """Return an error with its causes, and the errors that it was made of."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if not any(one is other for other in found):
            found.append(one)
            linked = (one.__cause__, one.__context__, *one.args)
            waiting += [other for other in linked if isinstance(other, BaseException)]
    return found


def _forms(secret: str) -> set[str]:
    """Return a secret as it is, and as a `repr` and JSON show it."""
    return {secret, repr(secret)[1:-1], secret.replace("'", "\\'"), json.dumps(secret)[1:-1]}


def _any_of(forms: Iterable[str]) -> re.Pattern[str] | None:
    return re.compile(_alternatives(forms)) if forms else None


def _alternatives(forms: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))


def is_secret(name: str) -> bool:
    """Tell whether a field of this name holds a secret, as Sentry is told: its value is not shown."""
    return _NAME.search(name) is not None


def without_named(value: Any, *, below_secret: bool = False) -> Any:
    """Return a JSON value without what stands below a name of a secret; null, true, false and "" stay."""
    if isinstance(value, Mapping):
        return {
            name: without_named(one, below_secret=below_secret or is_secret(name))
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [without_named(one, below_secret=below_secret) for one in value]
    return HIDDEN if below_secret and value not in (None, "") and not isinstance(value, bool) else value


def login_of(url: str) -> tuple[str, ...]:
    """Return the password in a URL, as it is written and as it is meant; where there is none, the user, a key."""
    user, _, password = url.partition("://")[2].partition("/")[0].rpartition("@")[0].partition(":")
    secret = password or user
    return (secret, unquote(secret)) if secret else ()


#: The secrets of this process.
SECRETS = Secrets()
