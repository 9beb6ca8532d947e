"""The events of a worker, as its series count them."""

from typing import Any

import pytest

from rota.model.event import Event, EventType
from rota.telemetry.metrics.jobs import JobMetrics
from rota.telemetry.metrics.page import Metrics

ENDS = ["completed", "retried", "dead", "cancelled", "snoozed", "interrupted", "lost"]


def event(kind: str, task: str = "send", **more: Any) -> Event:
    return Event(EventType(kind), "email", "1", task, 1, **more)


class Scraped:
    """A subscriber that can be scraped."""

    def __init__(self) -> None:
        self.metrics = JobMetrics([("email", "send"), ("email", "check")])
        self._exposed = Metrics(process=False)
        self.metrics.expose(self._exposed)

    def tell(self, *events: Event) -> None:
        for one in events:
            assert self.metrics.wants(one.type)
            self.metrics(one)

    def samples(self) -> dict[tuple[str, ...], float]:
        """Return the values of all samples but the buckets, by name and labels."""
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in self._exposed.collect()
            for sample in family.samples
            if not sample.name.endswith("_bucket")
        }


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()


def test_every_known_job_begins_at_0(scraped: Scraped) -> None:
    samples = scraped.samples()
    for task in ("send", "check"):
        assert samples["arq_jobs_started_total", "email", task] == 0
        assert [samples["arq_jobs_finished_total", "email", task, end] for end in ENDS] == [0] * 7


def test_a_start_counts_and_so_does_what_the_job_waited(scraped: Scraped) -> None:
    scraped.tell(event("started", waited=0.25), event("started", waited=0.5))
    samples = scraped.samples()
    assert samples["arq_jobs_started_total", "email", "send"] == 2
    assert samples["arq_job_wait_seconds_count", "email", "send"] == 2
    assert samples["arq_job_wait_seconds_sum", "email", "send"] == 0.75


@pytest.mark.parametrize("end", ENDS)
def test_each_end_counts_under_its_outcome_with_its_duration(scraped: Scraped, end: str) -> None:
    scraped.tell(event(end, duration=0.5))
    samples = scraped.samples()
    assert {one: samples["arq_jobs_finished_total", "email", "send", one] for one in ENDS} == {
        **dict.fromkeys(ENDS, 0),
        end: 1,
    }
    assert samples["arq_job_duration_seconds_sum", "email", "send"] == 0.5


@pytest.mark.parametrize("reason", ["unreadable", "unknown", "invalid", "unsigned", "bad_signature"])
def test_a_job_that_could_not_be_run_is_dead_and_rejected_and_took_no_time(
    scraped: Scraped, reason: str
) -> None:
    scraped.tell(event("dead", duration=0.001, reason=reason))
    samples = scraped.samples()
    assert samples["arq_jobs_finished_total", "email", "send", "dead"] == 1
    assert samples["arq_jobs_rejected_total", "email", reason] == 1
    assert ("arq_job_duration_seconds_sum", "email", "send") not in samples


def test_a_job_that_failed_is_not_rejected(scraped: Scraped) -> None:
    scraped.tell(event("dead", duration=0.5, reason="failed"))
    assert not [key for key in scraped.samples() if key[0] == "arq_jobs_rejected_total"]


def test_an_attempt_that_was_taken_away_is_lost(scraped: Scraped) -> None:
    scraped.metrics.lost("email", "send")
    assert scraped.samples()["arq_jobs_finished_total", "email", "send", "lost"] == 1


def test_ten_thousand_made_up_names_make_one_more_label(scraped: Scraped) -> None:
    scraped.tell(event("completed", "made-up", duration=1.0))
    before = set(scraped.samples())
    for number in range(10_000):
        scraped.tell(event("dead", f"made-up-{number}", duration=0.0, reason="unknown"))
        scraped.metrics.lost("email", f"lost-{number}")
    after = scraped.samples()
    assert set(after) - before == {("arq_jobs_rejected_total", "email", "unknown")}
    assert after["arq_jobs_finished_total", "email", "other", "dead"] == 10_000
    assert after["arq_jobs_finished_total", "email", "other", "lost"] == 10_000


def test_nothing_is_lost_when_it_is_tidied(scraped: Scraped) -> None:
    for _ in range(2000):
        scraped.tell(event("started", waited=1.0), event("completed", duration=2.0))
        scraped.metrics.tidy()
    samples = scraped.samples()
    assert samples["arq_jobs_started_total", "email", "send"] == 2000
    assert samples["arq_job_duration_seconds_sum", "email", "send"] == 4000


def test_progress_is_none_of_its_business(scraped: Scraped) -> None:
    assert not scraped.metrics.wants(EventType.PROGRESS)
    before = scraped.samples()
    scraped.metrics(event("progress"))
    assert scraped.samples() == before
