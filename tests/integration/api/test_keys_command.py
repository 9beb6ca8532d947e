"""`rota keys`: keys made, listed, rotated and revoked from the command line."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rota.model.access.keys import AccessKey, parts_of
from rota.settings.load import load
from tests.integration.project import Project
from tests.servers import RedisServer


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    return Project(tmp_path / "project", capsys, server.url)


def test_a_key_is_made_listed_rotated_and_revoked(project: Project, server: RedisServer) -> None:
    made = project.rota("keys", "make", "--scope", "enqueue,read", "--name", "the shop", "--expires", "90d")
    text = made.out.strip()
    key_id, secret = parts_of(text) or ("", "")
    assert "this is the only time that the key is shown" in made.err
    with server.client() as client:
        assert secret not in str(client.hgetall("rota:keys"))

    (listed,) = json.loads(project.rota("keys", "--json").out)
    assert (listed["id"], listed["name"], listed["scopes"]) == (key_id, "the shop", ["enqueue", "read"])
    assert secret not in project.rota("keys").out

    new = json.loads(project.rota("keys", "rotate", key_id, "--overlap", "1h", "--json").out)
    assert (new["replaces"], new["scopes"], new["name"]) == (key_id, ["enqueue", "read"], "the shop")
    with server.client() as client:
        old = AccessKey.read(key_id, client.hget("rota:keys", key_id))
    assert old is not None
    assert old.expires is not None
    assert timedelta(minutes=59) < old.expires - datetime.now(UTC) <= timedelta(hours=1)

    project.rota("keys", "revoke", key_id).refused("Nobody is there to say so: --yes says it")
    assert "is revoked" in project.rota("keys", "revoke", key_id, "--yes").out
    project.rota("keys", "revoke", key_id, "--yes").refused(f"there is no key '{key_id}'")
    assert [one["id"] for one in json.loads(project.rota("keys", "--json").out)] == [new["id"]]


def test_a_new_key_in_the_place_of_one_has_its_tenant_and_its_bounds(project: Project) -> None:
    bounds = ("--tenant", "acme", "--rate", "100/s", "--burst", "200", "--most-jobs", "1000")
    made = json.loads(project.rota("keys", "make", "--scope", "read", *bounds, "--json").out)
    new = json.loads(project.rota("keys", "rotate", made["id"], "--json").out)
    for one in (made, new):
        assert (one["tenant"], one["most_jobs"]) == ("acme", 1000)
        assert one["rate"] == {"most": "100/s", "burst": 200}
    assert "100/s, 200 at once" in project.rota("keys").out


def test_a_key_for_a_secret_store_is_not_in_redis(project: Project, server: RedisServer) -> None:
    made = json.loads(project.rota("keys", "make", "--scope", "admin", "--stored", "--json").out)
    (key,) = load({"REDIS_URL": server.url, "API_KEYS": made["stored"]}).api_keys or ()
    assert key.id == made["id"]
    with server.client() as client:
        assert not client.exists("rota:keys")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("make",), "no key was made: choose at least one scope from: enqueue, read, operate, admin"),
        (("make", "--scope", "all"), "no key was made: there is no scope 'all'"),
        (("make", "--scope", "read", "--name", "x" * 81), "at most 80 are kept"),
        (("make", "--scope", "read", "--expires", "soon"), "'soon' is no time"),
        (("make", "--scope", "read", "--tenant", "a b"), "tenant 'a b' is not allowed"),
        (
            ("make", "--scope", "read", "--rate", "fast"),
            "no key was made: the rate 'fast' is not written as 100/s",
        ),
        (("make", "--scope", "read", "--burst", "7"), "--burst goes with --rate"),
        (("make", "--scope", "read", "--most-jobs", "0"), "the quota is 0; it is a number of jobs"),
        (("make", "--scope", "read", "--stored", "--rate", "1/s"), "leave out --stored"),
        (("make", "abc"), "`rota keys make` takes no id"),
        (("rotate",), "write `rota keys rotate ID`"),
        (("rotate", "abcdefgh"), "there is no key 'abcdefgh' in Redis"),
        (("revoke",), "write `rota keys revoke ID`"),
    ],
)
def test_what_cannot_be_done_is_said(project: Project, arguments: tuple[str, ...], sentence: str) -> None:
    project.rota("keys", *arguments).refused(sentence)


@pytest.mark.parametrize("given", ["abc", "abcdefgh:1234:read", "abcdefgh:" + "0" * 64 + ":all"])
def test_a_key_of_the_settings_that_is_none_is_refused_at_boot(project: Project, given: str) -> None:
    project.rota("keys", API_KEYS=given).refused("API_KEYS")
