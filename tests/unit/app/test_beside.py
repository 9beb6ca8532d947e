import pytest

from rota.app.beside import webhooks_queue
from rota.settings.load import load


@pytest.mark.parametrize(
    ("variables", "queues", "chosen"),
    [
        ({}, ["default", "email"], "default"),
        ({}, ["email", "video"], "email"),
        ({"DEFAULT_QUEUE": "video"}, ["email", "video"], "video"),
        ({"WEBHOOK_QUEUE": "hooks"}, ["email"], "hooks"),
        ({}, [], "default"),
    ],
)
def test_messages_are_put_on_a_queue_that_is_served(
    variables: dict[str, str], queues: list[str], chosen: str
) -> None:
    assert webhooks_queue(load(variables), queues) == chosen


def test_the_queue_of_webhooks_is_served_like_one_that_jobs_declare() -> None:
    settings = load({"WEBHOOK_QUEUE": "hooks"})
    assert settings.served_queues(["email"]) == ("email", "hooks")
