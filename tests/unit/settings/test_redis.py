"""Redis is named by a URL or its parts, and no message shows a password."""

from pathlib import Path

import pytest

from rota.server.target import RedisTarget
from rota.server.tls import Tls
from rota.settings.load import ConfigError, Settings, load

CANARY = "s3cr3tCanary"
SENTINELS = {"REDIS_SENTINELS": "h1,h2:1", "REDIS_SENTINEL_MASTER": "mymaster"}


def one_wrong(**env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(env)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("env", "target"),
    [
        ({"REDIS_URL": "redis://:p%40w@cache/2"}, RedisTarget("cache", password="p@w", db=2)),
        ({"REDIS_HOST": "cache"}, RedisTarget("cache")),
        ({"REDIS_HOST": "::1"}, RedisTarget("::1")),
        ({"REDIS_HOST": "cache", "REDIS_PORT": "tcp://10.0.0.1:6379"}, RedisTarget("cache")),
        (
            {"REDIS_HOST": "cache", "REDIS_PORT": "7000", "REDIS_DB": "3", "REDIS_USERNAME": "app"},
            RedisTarget("cache", 7000, db=3, username="app"),
        ),
        ({"REDIS_HOST": "cache", "REDIS_PASSWORD": "p%40w "}, RedisTarget("cache", password="p%40w ")),
        (
            {**SENTINELS, "REDIS_PASSWORD": "pw", "REDIS_SENTINEL_PASSWORD": "spw", "REDIS_DB": "1"},
            RedisTarget(
                sentinels=(("h1", 26379), ("h2", 1)),
                master="mymaster",
                db=1,
                password="pw",
                sentinel_password="spw",
            ),
        ),
        (
            {"REDIS_URL": "redis+sentinel://h1/mymaster", "REDIS_SENTINEL_PASSWORD": "spw"},
            RedisTarget(sentinels=(("h1", 26379),), master="mymaster", sentinel_password="spw"),
        ),
        (
            {**SENTINELS, "REDIS_SENTINEL_USERNAME": "rota", "REDIS_SENTINEL_PASSWORD": "spw"},
            RedisTarget(
                sentinels=(("h1", 26379), ("h2", 1)),
                master="mymaster",
                sentinel_username="rota",
                sentinel_password="spw",
            ),
        ),
        ({"REDIS_HOST": "cache", "REDIS_SSL": "yes"}, RedisTarget("cache", tls=Tls())),
        (
            {"REDIS_HOST": "cache", "REDIS_SSL": "true", "REDIS_SSL_CERT_REQS": "none"},
            RedisTarget("cache", tls=Tls(check_hostname=False, cert_reqs="none")),
        ),
        (
            {"REDIS_URL": "rediss://cache", "REDIS_SSL_CHECK_HOSTNAME": "false"},
            RedisTarget("cache", tls=Tls(check_hostname=False)),
        ),
    ],
)
def test_redis_is_a_url_or_its_parts(env: dict[str, str], target: RedisTarget) -> None:
    assert load(env).redis == target


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"REDIS_URL": "redis://"}, "REDIS_URL names no host"),
        (
            {"REDIS_URL": "redis://cache?x=1"},
            "REDIS_URL has an unknown option; the options are: db, ssl_ca_certs",
        ),
        (
            {"REDIS_URL": "redis://cache", "REDIS_HOST": "cache", "REDIS_DB": "1"},
            "REDIS_URL and REDIS_HOST, REDIS_DB are both set; keep the URL or the parts",
        ),
        (
            {"REDIS_URL": "redis://cache", "REDIS_PASSWORD": "x"},
            "REDIS_URL and REDIS_PASSWORD are both set; keep the URL or the parts",
        ),
        (
            {"REDIS_URL": "redis://cache", "REDIS_SSL": "true"},
            "REDIS_URL and REDIS_SSL are both set; keep the URL or the parts",
        ),
        (
            {"REDIS_URL": "redis://cache", **SENTINELS},
            "REDIS_URL and REDIS_SENTINELS, REDIS_SENTINEL_MASTER are both",
        ),
        (
            {"REDIS_URL": "redis://cache", "REDIS_SENTINEL_PASSWORD": "x"},
            "REDIS_SENTINEL_PASSWORD is set, but REDIS_URL",
        ),
        (
            {"REDIS_HOST": "cache", **SENTINELS},
            "REDIS_HOST and REDIS_SENTINELS, REDIS_SENTINEL_MASTER are both set",
        ),
        (
            {"REDIS_PORT": "1", **SENTINELS},
            "REDIS_PORT and REDIS_SENTINELS, REDIS_SENTINEL_MASTER are both set",
        ),
        ({"REDIS_SENTINELS": "h1"}, "REDIS_SENTINELS and REDIS_SENTINEL_MASTER go together; set both"),
        ({"REDIS_SENTINEL_MASTER": "m"}, "REDIS_SENTINELS and REDIS_SENTINEL_MASTER go together; set both"),
        ({**SENTINELS, "REDIS_SENTINELS": "h1:x"}, "REDIS_SENTINELS names no host or a wrong one"),
        ({"REDIS_SENTINEL_PASSWORD": "x"}, "REDIS_SENTINEL_PASSWORD is set, but no sentinels are"),
        (
            {"REDIS_SENTINEL_USERNAME": "rota", "REDIS_SENTINEL_PASSWORD": "x"},
            "REDIS_SENTINEL_USERNAME, REDIS_SENTINEL_PASSWORD are set, but no sentinels are",
        ),
        (
            {**SENTINELS, "REDIS_SENTINEL_USERNAME": "rota"},
            "REDIS_SENTINEL_USERNAME is set, but REDIS_SENTINEL_PASSWORD is not",
        ),
        ({"REDIS_PORT": "6379"}, "REDIS_PORT is set, but REDIS_HOST is not; set it, or REDIS_URL"),
        ({"REDIS_PASSWORD": "x", "REDIS_DB": "1"}, "REDIS_DB, REDIS_PASSWORD is set, but REDIS_HOST is not"),
        ({"REDIS_PORT": "0"}, "REDIS_PORT is wrong; it must be a whole number from 1 to 65535"),
        ({"REDIS_DB": "first"}, "REDIS_DB is wrong; it must be a whole number from 0 to 1000000"),
        ({"REDIS_SSL": "maybe"}, "REDIS_SSL is wrong; it must be true or false"),
        (
            {"REDIS_SSL_CERT_REQS": "x"},
            "REDIS_SSL_CERT_REQS is wrong; it must be one of: required, optional, none",
        ),
        ({"REDIS_HOST": "cache:6379"}, "REDIS_HOST is not one host; write a port into REDIS_PORT"),
        ({"REDIS_HOST": "redis://cache"}, "REDIS_HOST is not one host; write a port into REDIS_PORT"),
        ({"REDIS_HOST": "a,b"}, "REDIS_HOST is not one host; write a port into REDIS_PORT"),
        (
            {"REDIS_HOST": "cache", "REDIS_SSL_CA_CERTS": "/ca.pem"},
            "REDIS_SSL_CA_CERTS is set, but REDIS_SSL is not true; set it",
        ),
        (
            {"REDIS_HOST": "cache", "REDIS_SSL": "true", "REDIS_SSL_CA_CERTS": "/no/ca.pem"},
            "REDIS_SSL_CA_CERTS (or ssl_ca_certs in REDIS_URL) points to a file that is not there",
        ),
        (
            {"REDIS_URL": "rediss://cache?ssl_certfile=/no/c.pem"},
            "REDIS_SSL_CERTFILE (or ssl_certfile in REDIS_URL) points to a file that is not there",
        ),
        (
            {"REDIS_HOST": "cache", "REDIS_SSL": "true", "REDIS_SSL_KEYFILE": "/no/k.pem"},
            "REDIS_SSL has ssl_keyfile without ssl_certfile; give both",
        ),
        (
            {"REDIS_URL": "redis://cache", "REDIS_SSL_CA_CERTS": "/ca.pem"},
            "REDIS_URL speaks no TLS, but ssl_ca_certs",
        ),
    ],
)
def test_redis_variables_that_do_not_fit_say_which(env: dict[str, str], reason: str) -> None:
    assert one_wrong(**env).startswith(reason)


def test_production_needs_a_redis() -> None:
    problem = "REDIS_URL is not set; production needs it, or REDIS_HOST, or REDIS_SENTINELS"
    assert one_wrong(APP_ENV="production") == problem
    assert one_wrong(APP_ENV="production", REDIS_PORT="tcp://10.0.0.1:6379") == problem


def test_no_password_is_ever_shown(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.touch()
    for env in (
        {"REDIS_URL": f"rediss://app:{CANARY}@cache?ssl_ca_certs={pem}"},
        {"REDIS_HOST": "cache", "REDIS_PASSWORD": CANARY},
        {**SENTINELS, "REDIS_PASSWORD": CANARY, "REDIS_SENTINEL_PASSWORD": CANARY},
    ):
        settings = load(env)
        for shown in (
            repr(settings),
            str(settings),
            settings.model_dump(),
            settings.model_dump_json(),
            settings.redis,
        ):
            assert CANARY not in str(shown)


#: Names and paths, no secrets: what is accepted in them may be shown.
SHOWN = ("REDIS_HOST", "REDIS_USERNAME", "REDIS_SENTINELS", "REDIS_SENTINEL_MASTER")
REDIS_NAMES = sorted(name.upper() for name in Settings.model_fields if name.startswith("redis_"))


@pytest.mark.parametrize("name", REDIS_NAMES)
@pytest.mark.parametrize("value", [CANARY, f"redis://:{CANARY}@cache", f"redis://:a/{CANARY}#@cache:x"])
@pytest.mark.parametrize(
    "more", [{}, {"REDIS_HOST": "cache", "REDIS_SSL": "true"}, SENTINELS, {"LEASE": "0"}]
)
def test_no_error_shows_what_was_put_into_a_redis_variable(
    name: str, value: str, more: dict[str, str]
) -> None:
    try:
        settings = load({**more, name: value})
        shown = "" if name in SHOWN else f"{settings!r} {settings.redis!r}"
    except ConfigError as error:
        chain = (error.__cause__, error.__context__)
        shown = f"{error} {error!r} {chain} {[link.args for link in chain if link]}"
    assert CANARY not in shown
