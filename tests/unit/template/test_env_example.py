"""`.env.example` and docs/settings.md show every variable there is, and nothing else, with the defaults of the code."""

import re
from pathlib import Path

import pytest

from rota.settings.load import Settings, load
from rota.settings.queues import OPTIONS
from scripts.settings import PAGE, page

EXAMPLE = Path(__file__).parents[3] / ".env.example"
TEXT = EXAMPLE.read_text("utf-8")
SHOWN = dict(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=(.*)$", TEXT, re.MULTILINE))
#: What the last part shows is for Compose; test_compose.py compares it with the compose file.
OF_COMPOSE = set(re.findall(r"^# ([A-Z_]+)=", TEXT.partition("-- docker-compose.prod")[2], re.MULTILINE))
PLAIN = {
    name: value for name, value in SHOWN.items() if not name.startswith("QUEUES__") and name not in OF_COMPOSE
}
OF_A_QUEUE = {name: value for name, value in SHOWN.items() if name.startswith("QUEUES__EMAIL__")}
DEFAULTS = load({})
WITHOUT_DEFAULT = sorted(name for name in PLAIN if getattr(DEFAULTS, name.lower(), ...) is None)
#: A variable that is an error by itself is tried together with these.
COMPANIONS = {
    "REDIS_SENTINELS": {"REDIS_SENTINEL_MASTER": "mymaster"},
    "REDIS_SENTINEL_MASTER": {"REDIS_SENTINELS": "sentinel"},
    "REDIS_SENTINEL_USERNAME": {
        "REDIS_SENTINELS": "sentinel",
        "REDIS_SENTINEL_MASTER": "mymaster",
        "REDIS_SENTINEL_PASSWORD": "secret",
    },
    "REDIS_SENTINEL_PASSWORD": {"REDIS_SENTINELS": "sentinel", "REDIS_SENTINEL_MASTER": "mymaster"},
} | {
    name: {"REDIS_HOST": "localhost"}
    for name in ("REDIS_PORT", "REDIS_USERNAME", "REDIS_PASSWORD", "REDIS_DB", "REDIS_SSL")
}


def comment_of(name: str) -> str:
    block = TEXT[: TEXT.index(f"\n# {name}=")].rpartition("\n\n")[2]
    return " ".join(line.removeprefix("#").strip() for line in block.splitlines())


def test_it_shows_every_setting_and_nothing_else() -> None:
    assert sorted(PLAIN) == sorted(name.upper() for name in Settings.model_fields if name != "queues")


def test_it_shows_every_option_of_a_queue_and_nothing_else() -> None:
    assert sorted(OF_A_QUEUE) == sorted(f"QUEUES__EMAIL__{option}" for option in OPTIONS)
    assert len(PLAIN) + len(OF_A_QUEUE) + len(OF_COMPOSE) == len(SHOWN)


def test_no_variable_is_shown_twice() -> None:
    assert len(re.findall(r"^#? ?[A-Z][A-Z0-9_]*=", TEXT, re.MULTILINE)) == len(SHOWN)


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_each_variable_is_explained(name: str) -> None:
    assert len(comment_of(name)) >= len("In place of BACKOFF.")


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_what_is_shown_is_the_default_or_says_that_there_is_none(name: str, tmp_path: Path) -> None:
    default = getattr(load({}), name.lower())
    if default is None:
        assert "Not set by default" in comment_of(name)
        return
    if name.startswith("REDIS_SSL_"):
        env = {"REDIS_HOST": "localhost", "REDIS_SSL": "true", name: PLAIN[name]}
    else:
        env = {**COMPANIONS.get(name, {}), name: PLAIN[name]}
    assert getattr(load(env), name.lower()) == default


@pytest.mark.parametrize("name", WITHOUT_DEFAULT)
def test_what_is_shown_without_a_default_is_a_value_that_works(name: str, tmp_path: Path) -> None:
    value = PLAIN[name]
    env = {**COMPANIONS.get(name, {}), name: value}
    if name.startswith("REDIS_SSL_"):
        # Its file must be there.
        pem = tmp_path / "any.pem"
        pem.touch()
        env = {"REDIS_HOST": "localhost", "REDIS_SSL": "true", "REDIS_SSL_CERTFILE": str(pem), name: str(pem)}
    if name == "SECRETS_DIR":
        env = {name: str(tmp_path)}
    assert getattr(load(env), name.lower()) is not None


@pytest.mark.parametrize("name", sorted(OF_A_QUEUE))
def test_what_is_shown_for_a_queue_is_what_holds_without_it(name: str) -> None:
    shown, without = load({name: OF_A_QUEUE[name]}).queue("email"), load({}).queue("email")
    if "Not set by default" in comment_of(name):
        option = name.removeprefix("QUEUES__EMAIL__").lower()
        assert (getattr(shown, option) is None, getattr(without, option)) == (False, None)
        return
    assert shown == without


def test_the_page_of_all_settings_is_as_the_code_has_them() -> None:
    assert PAGE.read_text("utf-8") == page(), "`make settings` writes docs/settings.md again"
    named = re.findall(r"(?m)^\| `([A-Z_]+)`", page())
    assert sorted(named) == sorted((*PLAIN, *OF_A_QUEUE, *OF_COMPOSE))


def test_it_changes_nothing_when_copied_as_it_is(tmp_path: Path) -> None:
    copied = tmp_path / ".env"
    copied.write_text(TEXT)
    assert load({}, env_file=copied) == load({})
