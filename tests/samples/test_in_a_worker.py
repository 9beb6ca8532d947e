"""The sample jobs in a worker, on a real Redis, with mail servers that take, delay, refuse and drop mail."""

import asyncio
import contextlib
import io
import logging
import shutil
import ssl
import statistics
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from jobs.samples.data_processing import Report, data_processing, make_orders
from jobs.samples.email import email
from jobs.samples.failing import broken, flaky
from jobs.samples.sleep import sleep
from rota import Client, JobFailed, JobInfo, JobNotFound, State, none
from tests.samples.mail_servers import MailServer
from tests.servers import RedisServer
from tests.waiting import until_job
from tests.workers import serving

HELLO = {"to": "ann@example.org", "subject": "Grüße 👋", "body": "How are you?\n.\nÄnne"}
SMTP_VARIABLES = ["HOST", "PORT", "TLS", "FROM", "USERNAME", "PASSWORD", "PASSWORD_FILE"]


@pytest.fixture(autouse=True)
def no_mail_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SMTP_VARIABLES:
        monkeypatch.delenv(f"SMTP_{name}", raising=False)
    monkeypatch.setenv("APP_ENV", "development")
    monkeypatch.chdir(tmp_path)


class Post:
    """Sends mail to one server, through a worker whose settings name that server."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._url = url
        self._monkeypatch = monkeypatch

    @contextlib.asynccontextmanager
    async def towards(self, server: MailServer | None, **variables: str) -> AsyncIterator[Client]:
        """Yield a client whose worker sends mail to `server`."""
        if server is not None:
            variables = {"FROM": "shop@example.org", "TLS": "none"} | variables
            variables |= {"HOST": "localhost", "PORT": str(server.port)}
        for name, value in variables.items():
            self._monkeypatch.setenv(f"SMTP_{name}", value)
        async with serving(self._url, package="jobs") as works:
            yield works.client


@pytest.fixture
def post(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Post:
    return Post(server.url, monkeypatch)


async def sent(client: Client, **mail: str) -> JobInfo:
    """Send one mail, without the waits between its attempts, and return its ended job."""
    handle = await client.enqueue(email.options(backoff=none()), **{**HELLO, **mail})
    return await client.wait(handle.queue, handle.id, timeout=30)


async def test_a_mail_arrives_as_it_was_written(post: Post) -> None:
    async with MailServer() as server, post.towards(server) as client:
        info = await sent(client)
    assert (info.state, info.attempts) == (State.COMPLETED, 1)
    (mail,) = server.mails
    assert server.recipients == [["ann@example.org"]]
    assert (mail["From"], mail["To"], mail["Subject"]) == ("shop@example.org", "ann@example.org", "Grüße 👋")
    assert mail.get_content().splitlines() == ["How are you?", ".", "Änne"]
    assert info.enqueued_at is not None
    milliseconds = round(info.enqueued_at.timestamp() * 1000)
    assert mail["Message-ID"] == info.result == f"<{info.id}.{milliseconds}@example.org>"


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_a_mail_that_is_refused_for_good_is_dead_at_once_with_the_reason(
    post: Post, command: str
) -> None:
    async with MailServer() as server, post.towards(server) as client:
        server.answers[command] = ["550 5.1.1 nobody here of that name"]
        info = await sent(client)
    assert (info.state, info.attempts, server.mails) == (State.DEAD, 1, [])
    assert info.error is not None
    assert info.error.type.endswith("MailRefused")
    assert info.error.message.endswith("refuses this mail: 550 5.1.1 nobody here of that name")


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_a_mail_that_is_delayed_is_sent_again(post: Post, command: str) -> None:
    async with MailServer() as server, post.towards(server) as client:
        server.answers[command] = ["451 4.7.1 try again later", "421 4.3.2 too busy"]
        info = await sent(client)
    assert (info.state, info.attempts, len(server.mails)) == (State.COMPLETED, 3, 1)


async def test_a_mail_that_is_delayed_for_ever_is_dead_and_can_be_brought_back(post: Post) -> None:
    async with MailServer() as server, post.towards(server) as client:
        server.answers["RCPT"] = ["451 4.7.1 try again later"] * 8
        info = await sent(client)
        assert (info.state, info.attempts, server.mails) == (State.DEAD, 8, [])
        assert info.error is not None
        assert "does not take this mail now: 451 4.7.1 try again later" in info.error.message
        again = await client.retry("email", info.id)
        assert (await client.wait("email", again.id, timeout=30)).state is State.COMPLETED
        assert len(server.mails) == 1


async def test_a_mail_waits_for_a_server_that_is_away(post: Post) -> None:
    server = MailServer()
    async with post.towards(server) as client:
        handle = await client.enqueue(email.options(backoff=none(), max_attempts=10_000), **HELLO)
        await until_job(handle, lambda info: info.attempts >= 3)
        async with server:
            await handle.result(timeout=30)
    assert len(server.mails) == 1


async def test_a_mail_that_was_sent_twice_is_known_by_its_message_id(post: Post) -> None:
    """As after a crash: the server has the mail, and the worker does not know that it has."""
    async with MailServer() as server, post.towards(server) as client:
        server.answers["DATA"] = ["250 OK, and hangs up"]
        info = await sent(client)
    assert (info.state, info.attempts) == (State.COMPLETED, 2)
    first, second = server.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first.as_bytes() == second.as_bytes()


async def test_two_mails_have_two_message_ids_also_under_one_id(post: Post) -> None:
    async with MailServer() as server, post.towards(server) as client:
        for _ in range(2):
            handle = await client.enqueue(email.options(id="weekly", keep_result=0), **HELLO)
            assert handle.id == "email:weekly"
            with pytest.raises(JobNotFound):
                await handle.result(timeout=10)
    first, second = server.mails
    assert first["Message-ID"] != second["Message-ID"]


async def test_an_error_while_quitting_makes_no_second_mail(post: Post) -> None:
    async with MailServer() as server, post.towards(server) as client:
        server.answers["QUIT"] = ["221 Bye, and hangs up"]
        info = await sent(client)
    assert (info.state, info.attempts, len(server.mails)) == (State.COMPLETED, 1, 1)


async def test_no_header_is_smuggled_in_by_a_client_that_checks_nothing(post: Post) -> None:
    async with MailServer() as server, post.towards(server) as client:
        for field in ("to", "subject"):
            payload = {**HELLO, field: "ann@example.org\r\nBcc: all@example.org"}
            handle = await client.enqueue_by_name("email:email", payload)
            info = await client.wait("email", handle.id, timeout=30)
            assert (info.state, info.reason, info.attempts) == (State.DEAD, "invalid", 1)
    assert server.mails == []


async def test_in_development_a_mail_without_a_server_is_logged(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "jobs.mail")
    async with post.towards(None) as client:
        info = await sent(client)
    assert info.state is State.COMPLETED
    (record,) = (record for record in caplog.records if record.name == "jobs.mail")
    assert (record.getMessage(), vars(record)["subject"]) == ("mail.logged", "Grüße 👋")


async def test_in_production_a_mail_without_a_server_is_dead_and_says_what_to_set(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    async with post.towards(None) as client:
        info = await sent(client)
    assert (info.state, info.attempts) == (State.DEAD, 1)
    assert info.error is not None
    assert info.error.message.startswith("SMTP_HOST is not set; set it and SMTP_FROM")


async def test_settings_that_cannot_work_are_the_reason_why_a_mail_is_dead(post: Post) -> None:
    async with post.towards(None, HOST="localhost") as client:
        info = await sent(client)
    assert (info.state, info.attempts) == (State.DEAD, 1)
    assert info.error is not None
    assert info.error.message == "SMTP_HOST is set, but SMTP_FROM is not; set it to the sender of all mail"


# TLS and passwords


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a self-signed certificate for `localhost`, and its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no `openssl` to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = (
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(path),
        "-out",
        str(path.with_suffix(".crt")),
    )
    subprocess.run([openssl, *options.split(), *names], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def only_ann(_: SMTP, __: Session, ___: Envelope, mechanism: str, login: Any) -> AuthResult:
    known = isinstance(login, LoginPassword) and (login.login, login.password) == (
        b"ann",
        b"p@ss w\xc3\xb6rd",
    )
    return AuthResult(success=known, handled=False)


def guarded(certificate: Path) -> MailServer:
    """Return a server that takes mail only over TLS and with a password."""
    return MailServer(
        tls_context=server_side(certificate),
        require_starttls=True,
        auth_required=True,
        authenticator=only_ann,
    )


async def test_mail_goes_over_starttls_and_with_a_password(
    post: Post, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    login = {"USERNAME": "ann", "PASSWORD": "p@ss wörd"}
    async with guarded(certificate) as server, post.towards(server, TLS="starttls", **login) as client:
        assert (await sent(client)).state is State.COMPLETED
    assert len(server.mails) == 1


async def test_a_wrong_password_is_not_tried_again_and_does_not_show(
    post: Post, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    login = {"USERNAME": "ann", "PASSWORD": "canary"}
    async with guarded(certificate) as server, post.towards(server, TLS="starttls", **login) as client:
        info = await sent(client)
    assert (info.state, info.attempts, server.mails) == (State.DEAD, 1, [])
    assert info.error is not None
    assert "refuses this mail: 535" in info.error.message
    assert "canary" not in f"{info.error} {info.error.traceback}"


async def test_mail_goes_over_tls_from_the_first_byte(
    post: Post, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = MailServer()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: SMTP(server, loop=loop, hostname="mail.test"),
        "localhost",
        server.port,
        ssl=server_side(certificate),
    )
    async with listening, post.towards(server, TLS="tls") as client:
        assert (await sent(client)).state is State.COMPLETED
    assert len(server.mails) == 1


async def test_a_server_whose_certificate_is_not_trusted_gets_no_mail(post: Post, certificate: Path) -> None:
    async with guarded(certificate) as server, post.towards(server, TLS="starttls") as client:
        info = await sent(client)
    assert (info.state, server.mails) == (State.DEAD, [])
    assert "certificate verify failed" in str(info.error)


async def test_a_server_without_tls_gets_no_mail_unless_tls_is_set_to_none(post: Post) -> None:
    async with MailServer() as server, post.towards(server, TLS="starttls") as client:
        info = await sent(client)
    assert (info.state, info.attempts, server.mails) == (State.DEAD, 1, [])
    assert "STARTTLS extension not supported" in str(info.error)


# The other samples


async def test_data_processing_reports_what_an_independent_computation_finds(server: RedisServer) -> None:
    file = io.StringIO(newline="")
    make_orders(file, 100_000, 42, lambda _: None)
    amounts: dict[str, list[float]] = defaultdict(list)
    for line in file.getvalue().splitlines()[1:]:
        _, region, amount = line.split(",")
        amounts[region].append(float(amount))

    async with serving(server.url, package="jobs") as works:
        report = await (await works.client.enqueue(data_processing, seed=42)).result(timeout=60)

    assert isinstance(report, Report)
    assert report.rows == 100_000
    assert [group.region for group in report.groups] == sorted(amounts)
    for group in report.groups:
        own = amounts[group.region]
        assert group.orders == len(own)
        assert group.total == pytest.approx(sum(own))
        assert group.mean == pytest.approx(statistics.fmean(own))
        assert group.deviation == pytest.approx(statistics.stdev(own))
        assert (group.smallest, group.largest) == (min(own), max(own))


async def test_data_processing_is_seen_to_advance_and_can_be_stopped(server: RedisServer) -> None:
    async with serving(server.url, package="jobs") as works:
        handle = await works.client.enqueue(data_processing, rows=1_000_000)
        info = await until_job(handle, lambda info: info.percent)
        assert "of 1,000,000 rows" in info.message
        assert await handle.cancel() == "requested"
        assert (await works.client.wait(handle.queue, handle.id, timeout=30)).state is State.CANCELLED


async def test_sleep_is_seen_to_advance(server: RedisServer) -> None:
    async with serving(server.url, package="jobs") as works:
        handle = await works.client.enqueue(sleep, 2)
        percents = set()

        def over(info: JobInfo) -> bool:
            percents.add(info.percent)
            return info.state is State.COMPLETED

        assert (await until_job(handle, over)).result == 2
    assert len(percents) > 3


async def test_flaky_recovers_and_broken_does_not(server: RedisServer) -> None:
    async with serving(server.url, package="jobs") as works:
        recovers = await works.client.enqueue(flaky.options(backoff=none()), failures=2)
        fails = await works.client.enqueue(broken.options(backoff=none()))
        assert await recovers.result(timeout=10) == 3
        with pytest.raises(JobFailed, match="no answer to attempt 3"):
            await fails.result(timeout=10)
