"""What the containers of the production stack may do, as the running ones have it."""

import json

import pytest

from tests.container.engine import CommandFailed
from tests.container.stack import Stack


@pytest.fixture
def running(stack: Stack) -> Stack:
    """Return the stack with at least one worker."""
    if not stack.ids("worker"):
        stack.up(1)
    return stack


@pytest.mark.parametrize("service", ["redis", "worker", "redis-password"])
def test_every_container_is_confined(running: Stack, service: str) -> None:
    for container in running.ids(service, stopped=True):
        host = running.inspect(container)["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        # What hands files over may read those of others.
        assert host["CapAdd"] == (["DAC_READ_SEARCH"] if service == "redis-password" else None)
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Privileged"] is False
        assert host["LogConfig"]["Config"]["max-size"] == "10m"
        assert not any("docker.sock" in mount["Source"] for mount in running.inspect(container)["Mounts"])


@pytest.mark.parametrize("service", ["redis", "worker"])
def test_what_serves_has_limits(running: Stack, service: str) -> None:
    for container in running.ids(service):
        host = running.inspect(container)["HostConfig"]
        assert host["Memory"] > 0
        assert host["PidsLimit"] > 0


@pytest.mark.parametrize("service", ["redis", "worker"])
def test_a_process_has_no_root_and_no_capability(running: Stack, service: str) -> None:
    status = running.compose("exec", "-T", service, "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


def test_redis_is_reached_from_its_network_alone(running: Stack) -> None:
    (redis,) = running.ids("redis")
    found = running.inspect(redis)
    assert not any(found["NetworkSettings"]["Ports"].values())
    (network,) = found["NetworkSettings"]["Networks"]
    (shown,) = json.loads(running.engine.docker("network", "inspect", network))
    assert shown["Internal"] is True


def test_redis_keeps_everything_and_throws_nothing_away(running: Stack) -> None:
    stated = running.redis_cli("info").splitlines()
    assert "aof_enabled:1" in stated
    assert "maxmemory_policy:noeviction" in stated
    assert f"maxmemory:{512 * 1024 * 1024}" in stated


def test_a_worker_may_use_redis_and_not_change_how_it_runs(running: Stack) -> None:
    assert running.redis_cli("ping") == "PONG"
    for command in (("flushall",), ("config", "set", "appendonly", "no"), ("shutdown",), ("acl", "list")):
        assert "NOPERM" in running.redis_cli(*command)
    assert "PONG" not in running.redis_cli("ping", user="default")
    assert "NOAUTH" in running.compose("exec", "-T", "redis", "redis-cli", "ping")


def test_root_alone_may_change_how_redis_runs(running: Stack) -> None:
    admin = ("redis", "sh", "/etc/redis/admin", "config", "set", "maxmemory-policy", "noeviction")
    assert running.compose("exec", "-T", "-u", "root", *admin) == "OK"
    for service in ("redis", "worker"):
        with pytest.raises(CommandFailed, match="ermission denied"):
            running.compose("exec", "-T", service, "cat", "/run/redis/admin")
    with pytest.raises(CommandFailed):
        running.compose("exec", "-T", *admin)


def test_the_password_is_made_once_and_shown_nowhere(running: Stack) -> None:
    read = ("exec", "-T", "worker", "cat", "/run/redis/password")
    password = running.compose(*read)
    assert len(password) == 64
    running.compose("run", "--rm", "--no-deps", "redis-password")
    assert running.compose(*read) == password
    shown = [running.compose("config"), running.compose("logs", "--no-color")]
    for service in ("redis", "worker", "redis-password"):
        for container in running.ids(service, stopped=True):
            shown.append(json.dumps(running.inspect(container)))
            if container in running.ids(service):
                shown.append(running.engine.docker("top", container, "-eo", "pid,args"))
    assert not any(password in text for text in shown)
    with pytest.raises(CommandFailed):
        running.compose("exec", "-T", "worker", "sh", "-c", "echo guessed > /run/redis/password")
