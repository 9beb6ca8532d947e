"""Each sample from the command line, over the API and from the dashboard, in a worker process, on real servers."""

import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.processes import Worker, environment, start
from tests.receivers import Receiver
from tests.samples.mail_servers import MailServer
from tests.servers import RedisServer, free_port
from tests.waiting import until, wait_until

OWN = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True)
class Service:
    """A process that works and has the API and the dashboard, with a database, a folder for files, a mail server."""

    folder: Path
    variables: dict[str, str]
    url: str
    mail_port: int

    @property
    def media(self) -> Path:
        return self.folder / "media"


@pytest.fixture(scope="module")
def service(session_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with session_server.client() as client:
        client.flushall()
    folder, mail_port = tmp_path_factory.mktemp("service"), free_port()
    variables = environment(
        REDIS_URL=session_server.url,
        MODE="all",
        API_PORT="0",
        METRICS_PORT="off",
        LOG_FORMAT="json",
        DATABASE_URL=f"sqlite:///{folder}/jobs.db",
        MEDIA_DIR=str(folder / "media"),
        WEBHOOK_ALLOW="127.0.0.1",
        SMTP_HOST="localhost",
        SMTP_PORT=str(mail_port),
        SMTP_TLS="none",
        SMTP_FROM="shop@example.org",
    )
    with closing(Worker(folder / "log", variables)) as process:
        wait_until(lambda: process.says("api.ready"), f"it is ready: {process.log}")
        (ready,) = process.events("api.ready")
        yield Service(folder, variables, f"http://127.0.0.1:{ready['port']}", mail_port)


@pytest.fixture
async def http(service: Service) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=service.url, timeout=60) as client:
        yield client


#: A way to have a job run: takes its full name and its payload, and returns its queue and its id.
Way = Callable[[Service, httpx2.AsyncClient, str, dict[str, Any]], Any]


async def by_command(
    service: Service, _: httpx2.AsyncClient, name: str, payload: dict[str, Any]
) -> list[str]:
    ran = start(
        *("enqueue", name, json.dumps(payload)),
        cwd=service.folder,
        environment=service.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = ran.communicate(timeout=30)
    assert (ran.returncode, err) == (0, "")
    return str(out).split()


async def by_request(_: Service, http: httpx2.AsyncClient, name: str, payload: dict[str, Any]) -> list[str]:
    made = await http.post(f"/jobs/{name}", json={"payload": payload})
    assert made.status_code == 202, made.text
    return [made.json()["queue"], made.json()["id"]]


async def by_form(_: Service, http: httpx2.AsyncClient, name: str, payload: dict[str, Any]) -> list[str]:
    fields = {"name": name, "by": "json", "payload": json.dumps(payload)}
    made = await http.post("/ui/new", data=fields, headers=OWN)
    assert made.status_code == 303, made.text
    asked = parse_qs(urlsplit(made.headers["location"]).query)
    page = await http.get(made.headers["location"])
    assert page.status_code == 200
    assert asked["id"][0] in page.text
    return [asked["queue"][0], asked["id"][0]]


@pytest.fixture(params=[by_command, by_request, by_form], ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@dataclass(frozen=True)
class Trying:
    """A way to try a sample: enqueues it, waits until it is over, and returns what the API says of it then."""

    service: Service
    http: httpx2.AsyncClient
    way: Way

    async def __call__(self, name: str, **payload: Any) -> dict[str, Any]:
        queue, job_id = await self.way(self.service, self.http, name, payload)

        async def over() -> dict[str, Any] | None:
            job: dict[str, Any] = (await self.http.get(f"/jobs/{queue}/{job_id}")).json()
            return job if job["state"] in ("completed", "dead", "cancelled") else None

        job: dict[str, Any] = await until(over, f"{name} is over")
        return job


@pytest.fixture
def trying(service: Service, http: httpx2.AsyncClient, way: Way) -> Trying:
    return Trying(service, http, way)


async def test_sleep(trying: Trying) -> None:
    job = await trying("default:sleep", seconds=0.05)
    assert (job["state"], job["result"]) == ("completed", 0.05)


async def test_flaky_and_broken(trying: Trying) -> None:
    job = await trying("default:flaky", failures=1)
    assert (job["state"], job["attempt"], job["result"]) == ("completed", 2, 2)
    job = await trying("default:broken")
    assert (job["state"], job["attempt"]) == ("dead", 3)
    assert "no answer to attempt 3" in json.dumps(job["error"])


async def test_email(trying: Trying) -> None:
    service = trying.service
    (service.media / "bills").mkdir(parents=True, exist_ok=True)
    (service.media / "bills" / "7.csv").write_text("1,2\n")
    async with MailServer(service.mail_port) as server:
        job = await trying(
            "email:email",
            to="ann@example.org",
            subject="Your bill",
            body="It is here.",
            html="<p>It is here.</p>",
            attachments=["bills/7.csv"],
        )
    assert job["state"] == "completed", job
    (mail,) = server.mails
    assert (mail["To"], mail["Subject"], mail["Message-ID"]) == (
        "ann@example.org",
        "Your bill",
        job["result"],
    )
    kinds = [part.get_content_type() for part in mail.walk() if not part.is_multipart()]
    assert kinds == ["text/plain", "text/html", "text/csv"]
    (file,) = mail.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("7.csv", "1,2\n")


async def test_webhook(trying: Trying) -> None:
    async with Receiver(["204"], body=b"") as receiver:
        job = await trying("default:webhook", url=receiver.url, body={"paid": True})
    assert (job["state"], job["result"]) == ("completed", 204)
    assert [request.body for request in receiver.requests] == [b'{"paid": true}']


async def test_data_processing(trying: Trying) -> None:
    job = await trying("reports:data_processing", rows=50, seed=1)
    assert (job["state"], job["result"]["rows"]) == ("completed", 50)
    assert sum(group["orders"] for group in job["result"]["groups"]) == 50


async def test_report(trying: Trying) -> None:
    done = await trying("default:sleep", seconds=0)

    async def recorded() -> bool:
        page = await trying.http.get("/jobs", params={"q": f"id:{done['id']} state:completed"})
        return bool(page.json()["items"])

    await until(recorded, "the audit table has the job")
    job = await trying("reports:report", days=1)
    assert job["state"] == "completed", job
    assert (trying.service.media / job["result"]["file"]).read_text().startswith("day,queue,job,completed")
    assert job["result"]["jobs"] >= 1


async def test_film(trying: Trying) -> None:
    from PIL import Image

    job = await trying("media:film", title="Two", scenes=2)
    assert job["state"] == "completed", job
    file = trying.service.media / job["result"]["file"]
    await until(file.exists, "the film is made")
    with Image.open(file) as moving:
        assert getattr(moving, "n_frames", 0) == 8
    assert job["result"]["flow"] in (await trying.http.get("/ui/flows")).text


async def test_tidy(trying: Trying) -> None:
    job = await trying("media:tidy", days=3650)
    assert (job["state"], job["result"]) == ("completed", {"files": 0, "bytes": 0, "more": False})
