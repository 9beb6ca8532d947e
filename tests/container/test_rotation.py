"""The password of Redis is replaced while workers are at work, by the commands of docs/security.md."""

from tests.container.runbooks import commands_under
from tests.container.stack import Stack, wait_until

#: The arguments of each command, in order.
STEPS = commands_under("A new password for Redis")


def test_a_new_password_costs_no_job_and_no_restart(stack: Stack) -> None:
    assert [step[-1] for step in STEPS] == ["next", "redis", "switch", "redis"]
    stack.up(2)
    workers = stack.ids("worker")
    wait_until(lambda: all(stack.health(one) == "healthy" for one in workers), "the workers are well")
    old = stack.compose("exec", "-T", "worker", "cat", "/run/redis/password")
    ids = stack.enqueue(240, 0.2)
    for step in STEPS:
        stack.compose(*step)
    stack.finish(ids)
    new = stack.compose("exec", "-T", "worker", "cat", "/run/redis/password")
    assert (len(new), new == old) == (64, False)
    counted = stack.counted(ids, "completed")
    assert (len(counted), set(counted.values())) == (240, {1})
    assert stack.ids("worker") == workers
    assert {stack.inspect(one)["RestartCount"] for one in workers} == {0}
    login = ("redis-cli", "--no-auth-warning", "--user", "rota", "--pass", old)
    assert "PONG" not in stack.compose("exec", "-T", "redis", *login, "ping")


def test_every_connection_has_logged_in_with_the_new_one(stack: Stack) -> None:
    ids = stack.enqueue(20, 0.05)
    stack.finish(ids)
    logs = stack.compose("logs", "--no-color", "worker")
    assert "AuthenticationError" not in logs
    assert "service.given_up" not in logs
    stack.compose("exec", "-T", "redis", "sh", "/etc/redis/ping")
