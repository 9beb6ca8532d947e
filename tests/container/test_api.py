"""The API of the production stack: a key is made, and with it jobs are enqueued over HTTP."""

import http.client
import json
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.container.checkout import copy_checkout
from tests.container.engine import Engine
from tests.container.stack import Stack, wait_until

#: How long a stop may take while a client listens, in seconds.
SOON = 5.0
REDIS = ("REDIS_HOST=redis", "REDIS_USERNAME=rota", "REDIS_PASSWORD_FILE=/run/redis/password")


@pytest.fixture(scope="module")
def served(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield the stack of an untouched checkout, with a worker and an API that are well."""
    folder = copy_checkout(tmp_path_factory.mktemp("served"))
    stack = Stack(engine, folder, f"rota-test-{secrets.token_hex(4)}")
    try:
        stack.compose("up", "--detach", "--wait", timeout=900)
        yield stack
    finally:
        stack.remove()


def connected(stack: Stack, container: int = 1) -> http.client.HTTPConnection:
    """Return a connection to the port of this machine that an API's container has."""
    host, _, port = stack.compose("port", "--index", str(container), "api", "8000").rpartition(":")
    assert host == "127.0.0.1"
    return http.client.HTTPConnection(host, int(port), timeout=60)


def asked(
    stack: Stack,
    method: str,
    path: str,
    body: Any = None,
    *,
    key: str = "",
    wait: int = 0,
    container: int = 1,
) -> tuple[int, dict[str, Any]]:
    """Send a request; return the status and the body of its answer."""
    headers = {"Content-Type": "application/json", "Prefer": f"wait={wait}"} | (shown(key) if key else {})
    with closing(connected(stack, container)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def made_key(stack: Stack) -> str:
    return stack.compose("exec", "-T", "--user", "root", "api", "cat", "/run/api/admin-key")


def shown(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_a_request_needs_the_key_that_the_first_start_has_made(served: Stack) -> None:
    assert {served.health(one) for one in served.ids("api")} == {"healthy"}
    assert asked(served, "GET", "/queues")[0] == 401
    key = made_key(served)
    assert asked(served, "GET", "/queues", key=key)[0] == 200
    assert asked(served, "GET", "/me", key=key)[1]["scopes"] == ["admin"]


def test_a_job_that_is_enqueued_over_http_is_run_by_a_worker(served: Stack) -> None:
    body = {"payload": {"name": "Ann"}}
    status, job = asked(served, "POST", "/jobs/email:greet", body, key=made_key(served), wait=30)
    assert (status, job["state"], job["result"]) == (200, "completed", "Hello, Ann")
    (worker,) = served.ids("worker")
    started = [event for event in served.events([job["id"]]) if event.type == "started"]
    assert [worker.startswith(event.container) for event in started] == [True]


def test_the_key_is_in_no_log_nor_in_redis_and_the_api_itself_cannot_read_it(
    served: Stack, engine: Engine
) -> None:
    key = made_key(served)
    assert key.startswith("rota_")
    assert key not in served.compose("logs", "--no-color")
    assert served.redis_cli("exists", "rota:keys") == "0"
    (api,) = served.ids("api")
    ran = engine.ran("exec", api, "cat", "/run/api/admin-key")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "Permission denied" in ran.stderr


def test_the_key_outlives_the_containers(served: Stack) -> None:
    before = made_key(served)
    served.compose("down", "--timeout", "5")
    served.compose("up", "--detach", "--wait")
    assert made_key(served) == before
    assert asked(served, "GET", "/me", key=before)[0] == 200


def test_another_key_is_made_as_the_page_says(served: Stack) -> None:
    before = made_key(served)
    page = (served.folder / "docs" / "api.md").read_text("utf-8")
    lines = [line.strip() for line in page.splitlines() if line.startswith("    docker compose ")]
    commands = [line.split()[4:] for line in lines if "--entrypoint rm" in line or "--force-recreate" in line]
    assert len(commands) == 2
    for command in commands:
        served.compose(*command)
    wait_until(lambda: made_key(served) != before, "another key is made")
    served.compose("up", "--detach", "--wait")
    assert asked(served, "GET", "/me", key=before)[0] == 401
    assert asked(served, "GET", "/me", key=made_key(served))[0] == 200


def test_several_of_it_serve_each_on_a_port_of_its_own(served: Stack) -> None:
    served.compose("up", "--detach", "--wait", "--scale", "api=2")
    key = made_key(served)
    assert [asked(served, "GET", "/queues", container=one, key=key)[0] for one in (1, 2)] == [200, 200]
    served.compose("up", "--detach", "--wait", "--scale", "api=1")


def test_it_stops_at_once_while_a_client_listens(served: Stack, engine: Engine) -> None:
    (api,) = served.ids("api")
    with closing(connected(served)) as connection:
        connection.request("GET", "/events", headers=shown(made_key(served)))
        stream = connection.getresponse()
        assert stream.readline().startswith(b"id: ")
        began = time.monotonic()
        engine.docker("stop", api)
        assert time.monotonic() - began < SOON
        # Whole to its end, and not cut off.
        stream.read()
    assert served.state(api)["ExitCode"] == 0
    served.compose("start", "api")


def test_without_any_key_it_ends_with_one_sentence(served: Stack, engine: Engine) -> None:
    (api,) = served.ids("api")
    image = str(served.inspect(api)["Image"])
    variables = [word for one in ("MODE=api", *REDIS) for word in ("--env", one)]
    mount = f"{served.name}_redis-password:/run/redis:ro"
    around = ("--network", f"{served.name}_redis", "--volume", mount)
    ran = engine.ran("run", "--rm", *around, *variables, image)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    assert ran.returncode == 2
    (said,) = [line["error"] for line in lines if "error" in line]
    assert "`rota keys make --scope admin`" in said
    assert "Traceback" not in ran.stderr


def test_without_the_file_of_keys_too(served: Stack) -> None:
    ran = served.engine.ran(
        *("compose", "--project-name", served.name, "--file", served.file),
        *("run", "--rm", "--no-deps", "--env", "API_KEYS_FILE=/run/api/none", "api"),
        cwd=served.folder,
    )
    assert ran.returncode == 2
    assert "API_KEYS_FILE points to a file that cannot be read" in ran.stderr
