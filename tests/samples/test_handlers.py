"""The sample jobs without a worker: a handler is a function, and a run is easily made."""

import io
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.samples.data_processing import REGIONS, data_processing, make_orders, summarize
from jobs.samples.email import email
from jobs.samples.failing import OtherSideAway, broken, flaky
from jobs.samples.mailer import Mail
from jobs.samples.sleep import sleep
from jobs.samples.webhook import WebhookDelayed, WebhookRefused, webhook
from rota import FetchRefused, InvalidPayload, Retry, Run
from rota.client.webhooks import fetch as fetching
from rota.model.webhooks.destinations import Allowed
from tests.receivers import Receiver

SRC = Path(__file__).resolve().parents[2] / "src"

Reports = list[tuple[float, str]]


def a_run(reports: Reports | None = None, **fields: Any) -> Run:
    def report(percent: float, message: str) -> None:
        if reports is not None:
            reports.append((percent, message))

    return Run(**{"id": "1", "job": "any", "queue": "any", "report": report, **fields})


class Outbox:
    """A mailer that keeps the mails it is given."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []

    async def send(self, mail: Mail) -> str:
        self.sent.append(mail)
        return f"<{mail.key}@example.org>"


async def test_sleep_reports_how_far_it_is() -> None:
    reports: Reports = []
    assert await sleep(a_run(reports), 0.02) == 0.02
    percents = [percent for percent, _ in reports]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1], len(percents)) == (0, 95, 20)


@pytest.mark.parametrize("seconds", [-1, 301, float("nan"), "long"])
def test_sleep_refuses_an_impossible_time(seconds: float) -> None:
    with pytest.raises(InvalidPayload, match="seconds"):
        sleep.call(seconds)


async def test_flaky_recovers_after_its_failures() -> None:
    for attempt in (1, 2):
        with pytest.raises(OtherSideAway):
            await flaky(a_run(attempt=attempt), failures=2)
    assert await flaky(a_run(attempt=3), failures=2) == 3


async def test_broken_never_works() -> None:
    with pytest.raises(OtherSideAway, match="attempt 3"):
        await broken(a_run(attempt=3, max_attempts=3))


async def test_email_hands_the_mail_to_its_mailer_under_a_key_of_its_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outbox = Outbox()
    monkeypatch.setattr("jobs.samples.email.mailer_of", lambda _: outbox)
    run = a_run(id="0190", enqueued_ms=1_700_000_000_123)
    assert await email(run, "ann@example.org", "Hello", "How are you?") == "<0190.1700000000123@example.org>"
    at = datetime(2023, 11, 14, 22, 13, 20, 123000, tzinfo=UTC)
    assert outbox.sent == [Mail("ann@example.org", "Hello", "How are you?", key="0190.1700000000123", at=at)]


def test_a_mail_server_that_says_later_gets_half_an_hour_and_more() -> None:
    assert email.backoff is not None
    assert email.max_attempts is not None
    waits = [email.backoff.delay(attempt, random=lambda: 0.5) for attempt in range(1, email.max_attempts)]
    assert waits == [5, 15, 45, 135, 405, 900, 900]


@pytest.mark.parametrize(
    "to", ["ann@example.org", "Ann.Lee+news@mail.example.org", "zoë@exämple.org", "o'neil@x"]
)
def test_an_address_is_taken(to: str) -> None:
    email.call(to, "Hello", "How are you?")


@pytest.mark.parametrize(
    "to",
    [
        *(
            "",
            "ann",
            "@example.org",
            "ann@",
            "ann@b@c",
            "Ann <ann@example.org>",
            "ann@example.org,bob@example.org",
        ),
        *(
            "ann@example.org\r\nBcc: all@example.org",
            "ann@example.org\n",
            "ann @example.org",
            "ann@example.org> SIZE=1",
        ),
        *("ann@example.org\u2028", "ann\u202e@example.org", "ann\x00@example.org", f"{'a' * 250}@b.org"),
    ],
)
def test_what_is_more_or_less_than_one_address_is_refused(to: str) -> None:
    with pytest.raises(InvalidPayload, match="to: "):
        email.call(to, "Hello", "How are you?")


@pytest.mark.parametrize(
    "subject", ["a\nb", "a\rb", "a\r\nBcc: all@example.org", "a\x00b", "a\u2028b", "a\x85b", "a" * 501]
)
def test_a_subject_is_one_line(subject: str) -> None:
    with pytest.raises(InvalidPayload, match="subject: "):
        email.call("ann@example.org", subject, "How are you?")


def orders(rows: int, seed: int) -> str:
    file = io.StringIO(newline="")
    make_orders(file, rows, seed, lambda _: None)
    return file.getvalue()


def test_the_same_seed_makes_the_same_file_and_another_another() -> None:
    assert orders(100, seed=1) == orders(100, seed=1)
    assert orders(100, seed=1) != orders(100, seed=2)


def test_a_report_says_what_an_independent_computation_says() -> None:
    text = orders(2_000, seed=3)
    report = summarize(io.StringIO(text), lambda _: None)
    assert report.rows == 2_000
    assert [group.region for group in report.groups] == sorted(REGIONS)
    for group in report.groups:
        lines = (line.split(",") for line in text.splitlines()[1:])
        amounts = [float(amount) for _, region, amount in lines if region == group.region]
        assert group.orders == len(amounts)
        assert group.total == pytest.approx(sum(amounts))
        assert group.mean == pytest.approx(statistics.mean(amounts))
        assert group.deviation == pytest.approx(statistics.stdev(amounts))
        assert (group.smallest, group.largest) == (min(amounts), max(amounts))


def test_one_row_deviates_from_nothing() -> None:
    (group,) = summarize(io.StringIO("order,region,amount\n1,Asia,12.34\n"), lambda _: None).groups
    assert (group.orders, group.total, group.deviation, group.smallest, group.largest) == (
        1,
        12.34,
        0,
        12.34,
        12.34,
    )


def test_data_processing_reports_from_the_first_row_to_the_last() -> None:
    reports: Reports = []
    report = data_processing(a_run(reports), rows=10_000)
    assert report.rows == 10_000
    assert reports == [
        (25, "made 5,000 of 10,000 rows"),
        (50, "made 10,000 of 10,000 rows"),
        (75, "read 5,000 of 10,000 rows"),
        (100, "read 10,000 of 10,000 rows"),
    ]


@pytest.mark.parametrize("rows", [0, -1, 1_000_001])
def test_data_processing_refuses_a_number_of_rows_that_cannot_be(rows: int) -> None:
    with pytest.raises(InvalidPayload, match="rows"):
        data_processing.call(rows)


def test_an_application_that_only_enqueues_needs_none_of_the_libraries_of_the_samples() -> None:
    program = (
        "import sys; sys.modules |= dict.fromkeys(['aiosmtplib', 'PIL', 'sqlalchemy'])\n"
        "from rota.model.registry import discover\n"
        "assert len(discover('jobs').jobs) > 10\n"
        "from jobs.samples.email import email\n"
        "print(email.call('ann@example.org', 'Hello', 'How are you?').arguments)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=SRC)
    assert "ann@example.org" in ran.stdout


HERE = Allowed.parse("127.0.0.1")


async def test_webhook_sends_json_under_a_key_of_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_of_settings", lambda: HERE)
    run = a_run(id="0190", enqueued_ms=1_700_000_000_123)
    async with Receiver(["204"], body=b"") as receiver:
        assert await webhook(run, receiver.url, {"paid": True}) == 204
    (request,) = receiver.requests
    assert (request.line, request.body) == ("POST /hook HTTP/1.1", b'{"paid": true}')
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"] == "0190.1700000000123"


async def test_webhook_tells_answers_that_may_change_from_those_that_will_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "_of_settings", lambda: HERE)
    async with Receiver(["404", "302 Location: http://127.0.0.1/", "503", "429 Retry-After: 70"]) as receiver:
        for kind in (WebhookRefused, WebhookRefused, WebhookDelayed):
            with pytest.raises(kind, match="the receiver answers"):
                await webhook(a_run(), receiver.url, {})
        with pytest.raises(Retry) as caught:
            await webhook(a_run(), receiver.url, {})
    assert (caught.value.delay, receiver.connections) == (70, 4)


async def test_webhook_is_not_led_into_the_network_that_it_is_sent_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for url in ("ftp://example.com/", "https://", "https://a b/"):
        with pytest.raises(InvalidPayload, match="url"):
            webhook.call(url, {})
    monkeypatch.delenv("WEBHOOK_ALLOW", raising=False)
    fetching._of_settings.cache_clear()
    async with Receiver() as receiver:
        with pytest.raises(FetchRefused, match="no public address"):
            await webhook(a_run(), receiver.url, {})
    assert receiver.connections == 0
    assert FetchRefused in webhook.give_up_on


async def test_the_setting_names_what_may_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOW", "127.0.0.0/8")
    fetching._of_settings.cache_clear()
    try:
        async with Receiver(["200"]) as receiver:
            assert await webhook(a_run(), receiver.url, {}) == 200
    finally:
        fetching._of_settings.cache_clear()
