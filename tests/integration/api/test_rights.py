"""The API as a user of Redis that may do what docs/redis.md lists for it, and nothing else."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import rota.api
from rota import Run, every, job
from rota.model.state import State
from rota.server.faults import ServerError
from rota.server.rights import Rights
from rota.settings.load import load
from tests.integration.api.pages.test_rights import routes
from tests.integration.api.pages.visiting import entered, sent
from tests.integration.api.serving import answering
from tests.integration.api.test_access import ENDLESS, OPEN, ROUTES
from tests.servers import RedisServer
from tests.waiting import until_in
from tests.workers import registry_of

PAGE = (Path(__file__).parents[3] / "docs" / "redis.md").read_text("utf-8")
LINE = re.search(r"(?m)^ {4}ACL SETUSER api on >… (.*)$", PAGE)[1].split()  # type: ignore[index]


@job
async def works(run: Run) -> int:
    run.log.info("done")
    return 1


@job(max_attempts=1)
async def fails(run: Run) -> None:
    raise ValueError("never")


@every("1h", name="works")
@job
async def hourly(run: Run) -> None: ...


@pytest.fixture
def url(server: RedisServer) -> Iterator[str]:
    """Yield the address for the API's own user, and see that nothing was refused to it."""
    with server.client() as admin:
        admin.script_flush()
        admin.execute_command("ACL", "SETUSER", "api", "reset", "on", ">secret", *LINE)
        admin.execute_command("ACL", "LOG", "RESET")
        yield f"redis://api:secret@127.0.0.1:{server.port}/0"
        refused = [dict(zip(one[::2], one[1::2], strict=True)) for one in admin.execute_command("ACL", "LOG")]
        admin.execute_command("ACL", "DELUSER", "api")
        admin.execute_command("ACL", "LOG", "RESET")
    assert [one[b"object"] for one in refused] == []


async def test_every_route_is_served_under_the_documented_rights(server: RedisServer, url: str) -> None:
    jobs = (works, fails)
    async with answering(server.url, *jobs) as whole, answering(url, *jobs, works=False) as api:
        dead = await whole.client.enqueue(fails)
        await until_in(dead, State.DEAD)
        for method, path in [*ROUTES, *OPEN]:
            if path in ENDLESS:  # what these read of Redis, the updates of one job do as well
                continue
            place = path.format(
                name="works", queue="default", id=dead.id, cause="none", webhook="none", message="none"
            )
            answer = await api.http.request(method, place, headers={"Prefer": "wait=1"})
            assert answer.status_code < 500, (method, path, answer.text)
        for page in (
            "job?queue=default",
            "job/payload?queue=default",
            "job/beside?queue=default&list=&step=next",
        ):
            answer = await api.http.get(f"/ui/{page}&id={dead.id}")
            assert answer.status_code < 400, (page, answer.text)


async def test_every_page_is_served_under_the_documented_rights(server: RedisServer, url: str) -> None:
    async with answering(server.url, works, fails) as whole, answering(url, works, fails, works=False) as api:
        dead = await whole.client.enqueue(fails)
        await until_in(dead, State.DEAD)
        await entered(api, "admin")
        for _, path in sorted(one for one in routes() if one[0] == "GET" and one[1] != "/live"):
            place = path.format_map(defaultdict(lambda: "none", queue="default", name="works"))
            answer = await api.http.get(f"/ui{place}", params={"queue": "default", "id": dead.id})
            assert answer.status_code < 500, (path, answer.text)
        assert (await sent(api, "/job/retry", queue="default", id=dead.id)).status_code == 303
        assert (await sent(api, "/logout", everywhere="1")).status_code == 303
        assert (await api.http.get("/ui/")).headers["location"].startswith("/ui/login")


def test_the_line_has_what_the_api_looks_for_at_its_start() -> None:
    allowed = {word[1:].upper() for word in LINE if word.startswith("+")}
    assert set(Rights.of_api(["default"], "rota").commands) <= allowed


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ("-xrevrange", "refuses the command XREVRANGE to this user: ACL SETUSER api +xrevrange"),
        ("-zscore", "refuses the command ZSCORE to this user: ACL SETUSER api +zscore"),
    ],
)
async def test_at_its_start_the_api_says_which_right_is_missing(
    server: RedisServer, url: str, lacks: str, says: str
) -> None:
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "api", lacks)
    api = rota.api.create(load({"REDIS_URL": url}), registry_of([works]))
    with pytest.raises(ServerError) as caught:
        await rota.api.lifespan(api).__aenter__()
    assert says in str(caught.value)
    with server.client() as admin:
        admin.execute_command("ACL", "LOG", "RESET")
