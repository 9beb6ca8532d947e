"""Secrets in what a process says: which are taken out, where, and which words stay."""

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from rota.errors.secrets import SHORTEST, Secrets, login_of, without_named

LONG, SHORT = "open'sesame", "pw"


@pytest.fixture
def secrets() -> Secrets:
    secrets = Secrets()
    secrets.keep(LONG, SHORT, None, "")
    return secrets


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"AUTH {LONG} failed", "AUTH *** failed"),
        (f"{LONG!r}", '"***"'),
        (repr(f'"{LONG}"'), "'\"***\"'"),
        ("redis://ann:other@host:6379/0", "redis://***@host:6379/0"),
        ("from https://key@o1.ingest.example.com/1 on", "from https://***@o1.ingest.example.com/1 on"),
        (
            "mail to ann@example.com of https://example.com/@ann",
            "mail to ann@example.com of https://example.com/@ann",
        ),
        ("redis://:p@ss@host/0", "redis://***@host/0"),
        ("https://example.com?to=ann@example.com", "https://example.com?to=ann@example.com"),
        ("a pw is a word", "a pw is a word"),
    ],
)
def test_what_is_said_has_no_secret(secrets: Secrets, text: str, hidden: str) -> None:
    assert secrets.hidden(text) == hidden


def test_without_secrets_a_text_stays_as_it_is() -> None:
    assert Secrets().hidden(f"AUTH {LONG}") == f"AUTH {LONG}"


def test_an_error_of_a_server_and_what_it_came_from_have_none(secrets: Secrets) -> None:
    cause = ResponseError(f"unknown command 'AUTH', with args beginning with: '{SHORT}' 'mine'")
    error = RedisConnectionError(cause)
    error.__cause__, cause.__context__ = cause, error
    secrets.hide_in(error, "mine")
    assert str(error) == "unknown command 'AUTH'"
    other = ResponseError("ERR pw for mine is not pwned", 7)
    secrets.hide_in(other, "mine")
    assert other.args == ("ERR *** for *** is not pwned", 7)


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("http://ann:open%20sesame@host/", ("open%20sesame", "open sesame")),
        ("https://key@o1.ingest.example.com/1", ("key", "key")),
        ("http://host/@x", ()),
        ("", ()),
    ],
)
def test_the_login_in_a_url_is_found(url: str, login: tuple[str, ...]) -> None:
    assert login_of(url) == login
    assert len(SHORT) < SHORTEST <= len(LONG)


def test_what_stands_below_a_name_of_a_secret_is_hidden_but_what_tells_nothing() -> None:
    value = {
        "to": ["ann", 7],
        "API_Token": "open-sesame",
        "user": [{"password": {"old": None, "is_set": True, "pins": [1234, 0]}}],
        "secret": "",
    }
    assert without_named(value) == {
        "to": ["ann", 7],
        "API_Token": "***",
        "user": [{"password": {"old": None, "is_set": True, "pins": ["***", "***"]}}],
        "secret": "",
    }
