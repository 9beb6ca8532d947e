"""The command for webhooks: make one, look, switch it off and on, and what cannot be."""

import json
from pathlib import Path

import pytest

from tests.integration.project import Project
from tests.servers import RedisServer

URL = "https://shop.example.com/rota"


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: RedisServer) -> Project:
    return Project(tmp_path, capsys, server.url)


def test_a_webhook_is_made_seen_switched_off_and_on_and_deleted(
    project: Project, server: RedisServer
) -> None:
    made = project.rota("webhooks", "make", URL, "--jobs", "email:send, email:greet", "--tenant", "acme")
    hook, secret = made.out.split()
    assert (hook[:3], secret[:6]) == ("wh_", "whsec_")
    assert "only time" in made.err
    (listed,) = json.loads(project.rota("webhooks", "--json").out)
    assert (listed["id"], listed["url"], listed["tenant"]) == (hook, URL, "acme")
    assert listed["jobs"] == ["email:send", "email:greet"]
    assert "secret" not in " ".join(listed)
    assert project.rota("webhooks", "off", hook).out == f"{hook} is switched off\n"
    assert "off since" in project.rota("webhooks").out
    warned = [one for one in json.loads(project.rota("doctor", "--json").out) if one["about"] == "webhooks"]
    assert [one["level"] for one in warned] == ["warning"]
    assert f"`rota webhooks on {hook}`" in warned[0]["said"]
    assert project.rota("webhooks", "on", hook).out == f"{hook} is switched on\n"
    assert json.loads(project.rota("webhooks", "rotate", hook, "--json").out)["secret"] != secret
    assert project.rota("webhooks", "delete", hook, "--yes").out == f"{hook} is deleted\n"
    assert json.loads(project.rota("webhooks", "--json").out) == []


def test_what_was_sent_is_listed_and_sent_again(project: Project, server: RedisServer) -> None:
    hook, _ = project.rota("webhooks", "make", URL).out.split()
    with server.client() as redis:
        record = {"body": "{}", "state": "failed", "created": 1_700_000_000_000, "queue": "default"}
        redis.hset(f"rota:webhook:{hook}:msg_1", mapping=record | {"error": "the receiver answers 500"})
        redis.zadd(f"rota:webhook:{hook}:sent", {"msg_1": 1_700_000_000_000})
    assert "the receiver answers 500" in project.rota("webhooks", "sent", hook).out
    assert project.rota("webhooks", "resend", hook, "msg_1").out == "msg_1 is sent again\n"
    (sent,) = json.loads(project.rota("webhooks", "sent", hook, "--json").out)
    assert (sent["id"], sent["state"]) == ("msg_1", "pending")
    with server.client() as redis:
        assert redis.zrange("arq:queue:default", 0, -1) == [f"default:{hook}-msg_1".encode()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("make",), "write `rota webhooks make URL`"),
        (("resend", "wh_1"), "write `rota webhooks resend ID MESSAGE`"),
        (("list", "wh_1"), "write `rota webhooks list`"),
        (("off", "wh_1"), "there is no webhook 'wh_1'"),
        (("make", "http://10.0.0.1/"), "no public address"),
        (("make", URL, "--events", "job.started"), "there is no kind of message 'job.started'"),
        (("make", URL, "--tenant", "a b"), "tenant"),
    ],
)
def test_what_cannot_be_is_refused(project: Project, arguments: tuple[str, ...], said: str) -> None:
    project.rota("webhooks", *arguments).refused(said)
