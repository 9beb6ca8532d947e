"""The database is named by a URL, PostgreSQL's or SQLite's, and no message shows a password."""

from pathlib import Path

import pytest

from rota.errors.secrets import SECRETS
from rota.settings.database_url import DatabaseTarget, DatabaseTls
from rota.settings.load import ConfigError, load

CANARY = "s3cr3tCanary"
PLAIN = DatabaseTarget(hosts=(("db", 5432),), name="rota", username="ann", password="p@w", session={})


def one_wrong(**env: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(env)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    "scheme",
    [
        "postgres",
        "postgresql",
        "postgresql+asyncpg",
        "postgresql+psycopg",
        "postgresql+psycopg2",
        "postgres+x",
    ],
)
def test_every_way_to_write_postgresql_means_the_same(scheme: str) -> None:
    assert load({"DATABASE_URL": f"{scheme}://ann:p%40w@db/rota"}).database == PLAIN


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("postgresql://", DatabaseTarget(session={})),
        ("postgresql:///rota", DatabaseTarget(name="rota", session={})),
        ("postgresql://a:1,[::1]:2/x", DatabaseTarget(hosts=(("a", 1), ("::1", 2)), name="x", session={})),
        (
            "postgresql:///x?host=/run/pg&port=6000&user=ann",
            DatabaseTarget(hosts=(("/run/pg", 6000),), name="x", username="ann", session={}),
        ),
        (
            "postgresql://%2Frun%2Fpg/x",
            DatabaseTarget(hosts=(("/run/pg", 5432),), name="x", session={}),
        ),
        (
            "postgresql://h/x?application_name=shop&options=-csearch_path%3Drota&connect_timeout=3"
            "&target_session_attrs=read-write&pgbouncer=true",
            DatabaseTarget(
                hosts=(("h", 5432),),
                name="x",
                session={"application_name": "shop", "options": "-csearch_path=rota"},
                connect_timeout=3.0,
                roles="read-write",
                pgbouncer=True,
            ),
        ),
        ("sqlite:///jobs.db", DatabaseTarget("jobs.db")),
        ("sqlite+aiosqlite:////var/jobs%20of%20mine.db", DatabaseTarget("/var/jobs of mine.db")),
    ],
)
def test_a_url_is_read_as_libpq_reads_it(url: str, target: DatabaseTarget) -> None:
    assert load({"DATABASE_URL": url}).database == target


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("", None),
        ("sslmode=require", DatabaseTls("require")),
        ("ssl=true", DatabaseTls("require")),
        ("ssl=verify-full", DatabaseTls("verify-full")),
        ("ssl=0", DatabaseTls("disable")),
        ("sslrootcert=system", DatabaseTls("verify-full")),
        ("sslmode=verify-ca&sslrootcert={pem}", DatabaseTls("verify-ca", "{pem}")),
        (
            "sslmode=require&sslcert={pem}&sslkey={pem}",
            DatabaseTls("require", cert="{pem}", key="{pem}"),
        ),
        ("channel_binding=prefer", None),
    ],
)
def test_tls_is_named_in_libpq_s_words(query: str, tls: DatabaseTls | None, tmp_path: Path) -> None:
    pem = tmp_path / "any.pem"
    pem.touch()
    target = load({"DATABASE_URL": f"postgresql://db/rota?{query.format(pem=pem)}"}).database
    assert target
    files = tls and DatabaseTls(
        tls.mode, *(one and one.format(pem=pem) for one in (tls.rootcert, tls.cert, tls.key))
    )
    assert target.tls == files


@pytest.mark.parametrize(
    ("url", "part"),
    [
        (f"mysql://ann:{CANARY}@db/rota", "neither with postgresql:// nor with sqlite://"),
        (f"mysql://ann:{CANARY}@db/rota", "ROTA_DATABASE_URL=off"),
        (CANARY, "write postgresql://user:password@host:5432/name"),
        (f"postgresql://ann:a/{CANARY}@db/rota", "an @ after the host"),
        (f"postgresql://ann:#{CANARY}@db/rota", "percent-encode it"),
        (f"postgresql://ann:{CANARY}%ff@db/rota", "not UTF-8"),
        (f"postgresql://ann:{CANARY}@d_b!/rota", "no host or a wrong one"),
        (f"postgresql://ann:{CANARY}@db:99999/rota", "a wrong one"),
        (f"postgresql://ann:{CANARY}@db/rota/x", "a / in the database's name"),
        (f"postgresql://ann:{CANARY}@db/rota?{CANARY}=1", "the options are: sslmode"),
        (f"postgresql://ann:{CANARY}@db/rota?password=x", "its password twice"),
        ("postgresql://db/rota?port=x", "a wrong port"),
        ("postgresql://db/rota?sslmode=always", "choose one of: disable, allow, prefer, require"),
        ("postgresql://db/rota?sslmode=require&sslmode=require", "sslmode twice"),
        ("postgresql://db/rota?sslmode=", "sslmode without a value"),
        ("postgresql://db/rota?sslcert=/x.pem", "sslmode is not require"),
        ("postgresql://db/rota?sslmode=require&sslkey=/x.pem", "sslkey without sslcert"),
        (
            "postgresql://db/rota?sslmode=verify-full&sslrootcert=/no/x.pem",
            "sslrootcert, which points to a file",
        ),
        ("postgresql://db/rota?channel_binding=require", "asyncpg does not know"),
        ("postgresql://db/rota?connect_timeout=0", "connect_timeout"),
        ("postgresql://db/rota?target_session_attrs=best", "choose one of: any, primary"),
        ("postgresql://db/rota?pgbouncer=perhaps", "true or false"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "ends with its process"),
        ("sqlite:///x.db?mode=ro", "takes none"),
    ],
)
def test_a_wrong_url_is_one_sentence_without_any_of_it(url: str, part: str) -> None:
    problem = one_wrong(DATABASE_URL=url)
    assert problem.startswith("DATABASE_URL: it ")
    assert part in problem
    assert CANARY not in problem


def test_other_wrong_values_are_not_quoted_either() -> None:
    pasted = f"postgresql://ann:{CANARY}@db/rota"
    assert one_wrong(DATABASE_PGBOUNCER=pasted) == "DATABASE_PGBOUNCER is wrong; it must be true or false"
    assert one_wrong(DATABASE_MIGRATE="yes").endswith("it must be one of: auto, check, off")


def test_the_password_is_taken_out_of_what_the_process_says() -> None:
    target = load({"DATABASE_URL": f"postgresql://ann:{CANARY}@db/rota"}).database
    assert CANARY not in f"{target!r} {target}"
    assert SECRETS.hidden(f"login failed: {CANARY}") == "login failed: ***"


def test_the_name_says_which_database_is_meant() -> None:
    assert str(PLAIN) == "the PostgreSQL rota at db:5432"
    assert str(DatabaseTarget("jobs.db")) == "the SQLite file jobs.db"


def test_pgbouncer_is_told_by_the_url_or_by_its_variable() -> None:
    both = load({"DATABASE_URL": "postgresql://db/rota", "DATABASE_PGBOUNCER": "true"}).database
    assert both == load({"DATABASE_URL": "postgresql://db/rota?pgbouncer=true"}).database
    assert "names no PostgreSQL" in one_wrong(DATABASE_PGBOUNCER="true", DATABASE_URL="sqlite:///x.db")


def test_sqlite_is_refused_in_production() -> None:
    production = {"APP_ENV": "production", "REDIS_URL": "redis://h"}
    assert "production needs postgresql://" in one_wrong(**production, DATABASE_URL="sqlite:///x.db")
    assert load({**production, "DATABASE_URL": "postgresql://db/rota"}).database


@pytest.mark.parametrize("env", [{}, {"DATABASE_URL": "mysql://x/y", "ROTA_DATABASE_URL": "off"}])
def test_there_may_be_none(env: dict[str, str]) -> None:
    assert load(env).database is None
