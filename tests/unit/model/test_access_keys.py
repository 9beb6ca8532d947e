"""Keys of the API: made, read back, and told apart from those with a mistake in them."""

from datetime import UTC, datetime, timedelta

import pytest

from rota.errors.secrets import SECRETS
from rota.model.access.keys import AccessKey, Scope, make, parts_of, scopes_of
from rota.model.access.rates import RequestRate

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def test_a_key_is_read_back_by_its_text_and_by_what_is_kept_of_it() -> None:
    text, made = make(frozenset({Scope.ENQUEUE, Scope.READ}), "the shop", life=timedelta(days=90))
    key_id, secret = parts_of(text) or ("", "")
    assert key_id == made.id
    assert AccessKey.read(key_id, made.write()) == made
    assert made.fits(secret, NOW) is (made.expires is not None and made.expires > NOW)
    assert not made.fits(secret[::-1], NOW)
    assert secret not in made.write().decode()
    assert secret not in made.stored()


def test_a_key_with_a_mistake_in_it_is_none() -> None:
    text, _ = make(frozenset({Scope.READ}))
    wrong = "A" if text[20] != "A" else "B"
    for other in (text[:20] + wrong + text[21:], text[:-1], f"{text}0", text.upper(), "", "rota_", "Bearer"):
        assert parts_of(other) is None


def test_keys_are_unlike_each_other() -> None:
    assert len({make(frozenset({Scope.READ}))[0] for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("own", "lets"),
    [
        ("enqueue", {"enqueue"}),
        ("read", {"read"}),
        ("operate", {"read", "operate"}),
        ("admin", {"enqueue", "read", "operate", "admin"}),
        ("enqueue read", {"enqueue", "read"}),
    ],
)
def test_a_scope_has_those_below_it(own: str, lets: set[str]) -> None:
    _, key = make(scopes_of(own.split()))
    assert {scope.value for scope in Scope if key.lets(scope)} == lets


def test_a_key_is_refused_from_its_end_on() -> None:
    text, key = make(frozenset({Scope.READ}), life=timedelta(seconds=60))
    _, secret = parts_of(text) or ("", "")
    assert key.created is not None
    assert key.fits(secret, key.created + timedelta(seconds=59))
    assert not key.fits(secret, key.created + timedelta(seconds=60))
    sooner = key.ending(key.created + timedelta(seconds=5))
    assert not sooner.fits(secret, key.created + timedelta(seconds=5))
    assert key.ending(key.created + timedelta(days=9)).expires == key.expires


def test_it_is_read_as_a_secret_store_has_it() -> None:
    _, key = make(frozenset({Scope.OPERATE, Scope.ENQUEUE}))
    given = AccessKey.of_stored(key.stored())
    assert (given.id, given.digest, given.scopes) == (key.id, key.digest, key.scopes)
    for wrong in (
        "",
        "x",
        f"{key.id}:{key.digest}:",
        f"{key.id}:{key.digest}:all",
        f"{key.id}:{key.digest[:-1]}:read",
    ):
        with pytest.raises(ValueError, match=r"scope|id:digest:scopes"):
            AccessKey.of_stored(wrong)


@pytest.mark.parametrize(
    "raw", [None, b"", b"{}", b"[]", b"\xff", b'{"digest":"x","scopes":["later"],"name":""}', b'"x"']
)
def test_a_record_that_cannot_be_read_is_no_key(raw: bytes | None) -> None:
    assert AccessKey.read("12345678", raw) is None


def test_a_key_without_scopes_or_with_a_long_name_is_not_made() -> None:
    for wrong in ([], ["all"], ["read", ""]):
        with pytest.raises(ValueError, match="scope"):
            scopes_of(wrong)
    with pytest.raises(ValueError, match="at most 80"):
        make(frozenset({Scope.READ}), "x" * 81)


def test_a_key_is_taken_out_of_what_a_process_says() -> None:
    text, key = make(frozenset({Scope.READ}))
    assert SECRETS.hidden(f"sent {text} twice") == f"sent rota_{key.id}_*** twice"


def test_the_bounds_of_a_key_are_kept_with_it() -> None:
    _, key = make(frozenset({Scope.READ}), tenant="acme")
    key = key.bound(tenant="acme", rate=RequestRate.parse("100/m", 20), most_jobs=7)
    assert AccessKey.read(key.id, key.write()) == key
    assert make(frozenset({Scope.READ}))[1].like(key).rate == key.rate
    with pytest.raises(ValueError, match="leave out --stored"):
        key.stored()
    for spoiled in (b'"burst":0', b'"burst":true', b'"burst":"20"'):
        assert AccessKey.read(key.id, key.write().replace(b'"burst":20', spoiled)) is None


def test_the_tenant_of_a_key_of_the_settings_is_its_fourth_field() -> None:
    _, key = make(frozenset({Scope.READ}), tenant="acme")
    assert key.stored().endswith(":read:acme")
    assert AccessKey.of_stored(key.stored()).tenant == "acme"
    for tail in (":", ":a b", ":acme:more"):
        with pytest.raises(ValueError, match=r"it is not|is not allowed"):
            AccessKey.of_stored(key.stored().removesuffix(":acme") + tail)


@pytest.mark.parametrize(
    "text", ["", "100", "0/s", "1/w", "-1/s", "1.5/s", "9999999/s", "100 / s", "\u0661/s"]
)
def test_a_rate_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not written as 100/s"):
        RequestRate.parse(text)


def test_a_rate_says_the_time_between_two_requests_and_that_of_a_burst() -> None:
    rate = RequestRate.parse("100/s")
    assert (rate.burst, rate.interval_us, rate.window, str(rate)) == (100, 10_000, 1, "100/s")
    assert RequestRate.parse("60/h", 2).window == 120
    for burst in (0, 1_000_001):
        with pytest.raises(ValueError, match="it is a number of requests"):
            RequestRate.parse("1/s", burst)
