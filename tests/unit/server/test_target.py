"""A Redis is named by a URL or by parts, and its password is never shown."""

import pickle
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rota.errors import RotaError
from rota.server.target import RedisTarget, addresses
from rota.server.tls import InvalidTarget, Tls

CANARY = "s3cr3tCanary"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://localhost", RedisTarget()),
        ("redis://localhost/", RedisTarget()),
        ("redis://cache:7000/3", RedisTarget("cache", 7000, db=3)),
        ("redis://cache?db=3", RedisTarget("cache", db=3)),
        ("redis://:pw@cache", RedisTarget("cache", password="pw")),
        ("redis://app:pw@cache", RedisTarget("cache", username="app", password="pw")),
        ("redis://:p@w:d@cache", RedisTarget("cache", password="p@w:d")),
        ("redis://:p%40%2F%3F%23%25@cache", RedisTarget("cache", password="p@/?#%")),
        ("redis://us%3Aer:p%20w@cache", RedisTarget("cache", username="us:er", password="p w")),
        ("redis://:a+b@cache", RedisTarget("cache", password="a+b")),
        ("redis://[::1]:7000/1", RedisTarget("::1", 7000, db=1)),
        ("redis://my_service.internal", RedisTarget("my_service.internal")),
        ("rediss://cache", RedisTarget("cache", tls=Tls())),
        (
            "rediss://cache/2?ssl_ca_certs=%2Fca%20dir%2Fca.pem&ssl_check_hostname=no",
            RedisTarget("cache", db=2, tls=Tls("/ca dir/ca.pem", check_hostname=False)),
        ),
        (
            "rediss://cache?ssl_cert_reqs=none",
            RedisTarget("cache", tls=Tls(check_hostname=False, cert_reqs="none")),
        ),
        (
            "rediss://cache?ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
            RedisTarget("cache", tls=Tls(certfile="/c.pem", keyfile="/k.pem")),
        ),
        ("unix:///run/redis.sock", RedisTarget(path="/run/redis.sock")),
        ("unix:///run/my%20redis.sock?db=4", RedisTarget(path="/run/my redis.sock", db=4)),
        ("unix://app:pw@/run/r.sock", RedisTarget(path="/run/r.sock", username="app", password="pw")),
        (
            "redis+sentinel://app:pw@h1:26379,h2/mymaster/5",
            RedisTarget(
                sentinels=(("h1", 26379), ("h2", 26379)),
                master="mymaster",
                db=5,
                username="app",
                password="pw",
            ),
        ),
        ("sentinel://h1:1/m", RedisTarget(sentinels=(("h1", 1),), master="m")),
        ("sentinel://[::1]:1,h2:2/m", RedisTarget(sentinels=(("::1", 1), ("h2", 2)), master="m")),
        ("rediss+sentinel://h1/m", RedisTarget(sentinels=(("h1", 26379),), master="m", tls=Tls())),
    ],
)
def test_a_url_says_where_and_how(url: str, target: RedisTarget) -> None:
    assert RedisTarget.from_url(url) == target


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "starts with none of: redis://"),
        ("localhost:6379", "starts with none of: redis://"),
        ("http://localhost", "starts with none of: redis://"),
        ("REDIS://localhost", "starts with none of: redis://"),
        ("redis:localhost", "starts with none of: redis://"),
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://:6379", "names no host"),
        ("redis://host:0", "names no host or a wrong one"),
        ("redis://host:65536", "names no host or a wrong one"),
        ("redis://host:port", "names no host or a wrong one"),
        ("redis://::1", "names no host or a wrong one"),
        ("redis://ho$t", "names no host or a wrong one"),
        ("redis://a,b", "only redis+sentinel:// takes a list"),
        ("redis://host/first", "wrong database"),
        ("redis://host/-1", "wrong database"),
        ("redis://host/0/1", "wrong database"),
        ("redis://host/٣", "wrong database"),
        ("redis://host/1?db=1", "database twice"),
        ("redis://host?db=1&db=2", "db twice"),
        ("redis://host?db=", "without a value"),
        ("redis://host?database=1", "unknown option; the options are: db, ssl_ca_certs"),
        ("redis://host?socket_timeout=1", "unknown option"),
        ("redis://user@host", "no password before the @"),
        ("redis://user:@host", "no password before the @"),
        ("redis://:@host", "no password before the @"),
        ("redis://:%FF@host", "not UTF-8"),
        ("redis://:a b@host", "percent-encode"),
        ("redis://:a\nb@host", "percent-encode"),
        ("redis://:a#b@host", "percent-encode"),
        ("redis://:a/b@host", "has an @ after the host"),
        ("redis://:a?b@host", "has an @ after the host"),
        ("redis://host?ssl_ca_certs=/ca.pem", "speaks no TLS, but ssl_ca_certs is set; write rediss://"),
        ("unix:///r.sock?ssl_cert_reqs=none", "speaks no TLS"),
        ("rediss://host?ssl_cert_reqs=maybe", "wrong ssl_cert_reqs; choose one of: required, optional, none"),
        ("rediss://host?ssl_check_hostname=maybe", "write true or false"),
        ("rediss://host?ssl_cert_reqs=none&ssl_check_hostname=true", "checks no name"),
        ("rediss://host?ssl_keyfile=/k.pem", "ssl_keyfile without ssl_certfile"),
        ("unix://run/redis.sock", "write unix:///absolute/path"),
        ("unix://", "write unix:///absolute/path"),
        ("unix:///", "write unix:///absolute/path"),
        ("redis+sentinel://h1,h2", "names no master"),
        ("redis+sentinel://h1,/m", "names no host or a wrong one"),
        ("redis+sentinel:///m", "names no host or a wrong one"),
        ("redis+sentinel://h1/m/x", "wrong database"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused_with_what_to_write(url: str, reason: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        RedisTarget.from_url(url)
    assert reason in caught.value.reason
    assert str(caught.value).startswith("the Redis address ")
    assert isinstance(caught.value, RotaError)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"host": ""}, "wrong host or port"),
        ({"port": 0}, "wrong host or port"),
        ({"db": -1}, "wrong database"),
        ({"sentinels": (("h", 1),)}, "sentinels without a master"),
        ({"master": "m"}, "master without sentinels"),
        ({"sentinel_password": "x"}, "no sentinels"),
        ({"sentinels": (("h", 1),), "master": "m", "sentinel_username": "u"}, "no password for them"),
        ({"path": "/r.sock", "tls": Tls()}, "a socket has neither"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(parts: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidTarget, match=reason):
        replace(RedisTarget(), **parts)  # type: ignore[arg-type] # one wrong part at a time


def test_the_servers_certificate_and_its_name_are_checked_by_default() -> None:
    tls = RedisTarget.from_url("rediss://cache").tls
    assert tls == Tls(check_hostname=True, cert_reqs="required")


def test_a_tls_option_is_set_in_the_url_or_beside_it_but_not_in_both() -> None:
    beside = {"ssl_ca_certs": "/ca.pem"}
    assert RedisTarget.from_url("rediss://cache", beside).tls == Tls("/ca.pem")
    with pytest.raises(InvalidTarget, match="ssl_ca_certs, and REDIS_SSL_CA_CERTS is set; keep one"):
        RedisTarget.from_url("rediss://cache?ssl_ca_certs=/x.pem", beside)
    with pytest.raises(InvalidTarget, match="speaks no TLS"):
        RedisTarget.from_url("redis://cache", beside)


def test_addresses_are_listed_with_commas() -> None:
    assert addresses("a, b:1,[fe80::1]:2", 26379) == (("a", 26379), ("b", 1), ("fe80::1", 2))


@pytest.mark.parametrize(
    "url",
    [
        "redis://app:***@cache:7000/3",
        "redis://:***@cache:6379/0",
        "redis://cache:6379/0",
        "redis://[::1]:6379/0",
        "rediss://:***@cache:6379/0",
        "unix://app:***@/run/redis.sock?db=1",
        "redis+sentinel://:***@h1:1,h2:2/mymaster/0",
        "rediss+sentinel://h1:1/mymaster/2",
    ],
)
def test_the_safe_url_is_the_url_with_stars(url: str) -> None:
    assert RedisTarget.from_url(url.replace("***", CANARY)).safe_url == url


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(username=NAMES | st.just(""), password=NAMES, scheme=st.sampled_from(["redis", "rediss"]))
def test_any_percent_encoded_user_and_password_arrive_as_they_were(
    username: str, password: str, scheme: str
) -> None:
    url = f"{scheme}://{quote(username, safe='')}:{quote(password, safe='')}@cache/1"
    target = RedisTarget.from_url(url)
    assert target == RedisTarget(
        "cache", db=1, username=username or None, password=password, tls=Tls() if scheme == "rediss" else None
    )


@given(username=NAMES | st.none(), secret=NAMES, db=st.integers(0, 99))
def test_a_target_shows_its_password_nowhere(username: str | None, secret: str, db: int) -> None:
    assume(CANARY not in (username or ""))
    plain = RedisTarget(db=db, username=username, password=CANARY + secret)
    sentinels = replace(plain, sentinels=(("h", 1),), master="m", sentinel_password=CANARY + secret)
    for target in (plain, replace(plain, path="/r.sock"), sentinels):
        for shown in (repr(target), str(target), target.safe_url, repr([target]), repr({"t": target})):
            assert CANARY not in shown


@given(
    before=st.text(max_size=6),
    after=st.text(max_size=6),
    template=st.sampled_from(
        [
            "redis://:{}@host/0",
            "redis://user:{}@host:6379",
            "redis://{}@host",
            "redis://:{}@",
            "redis://:{}@host:port",
            "redis://:{}@host/x",
            "redis://:{}@host?timeout=1",
            "rediss://:{}@host?ssl_cert_reqs=x",
            "unix://:{}@run/r.sock",
            "redis+sentinel://:{}@a,b",
            "redis+sentinel://:{}@/m",
            "http://:{}@host",
            "rediss:/:{}@host",
            ":{}@host",
            "{}",
        ]
    ),
)
def test_no_error_quotes_a_password_however_malformed_the_url(before: str, after: str, template: str) -> None:
    url = template.format(before + CANARY + after)
    try:
        shown = repr(RedisTarget.from_url(url))
    except InvalidTarget as error:
        shown = f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
    assert CANARY not in shown


def test_a_target_and_its_errors_survive_a_process_boundary() -> None:
    target = RedisTarget.from_url("rediss://app:pw@cache/1")
    assert pickle.loads(pickle.dumps(target)) == target
    error = pickle.loads(pickle.dumps(InvalidTarget("has no host")))
    assert (str(error), error.reason) == ("the Redis address has no host", "has no host")
