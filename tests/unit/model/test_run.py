import json
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from rota.errors import CheckpointTooLarge
from rota.model.run import NamedFacts, Run, RunFacts


def run_with(**fields: Any) -> Run:
    return Run(id="7", job="paint", queue="video", **fields)


def test_a_run_knows_which_job_it_is() -> None:
    run = run_with(attempt=2, max_attempts=4, enqueued_ms=1_700_000_000_500, deps="mailer")
    assert (run.id, run.job, run.queue, run.attempt, run.max_attempts) == ("7", "paint", "video", 2, 4)
    assert run.enqueued_at == datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC)
    assert run.deps == "mailer"
    assert not run.cancelled
    assert repr(run) == "<Run video:paint 7 attempt 2 of 4>"


def test_progress_is_reported_within_its_bounds() -> None:
    reports: list[tuple[float, str]] = []
    run = run_with(report=lambda percent, message: reports.append((percent, message)))
    run.progress(50, "drafting")
    run.progress(-3)
    run.progress(250.5, "x" * 1_000)
    run.progress(float("inf"))
    assert reports == [(50.0, "drafting"), (0.0, ""), (100.0, "x" * 500), (100.0, "")]


def test_progress_without_a_listener_is_dropped() -> None:
    run_with().progress(10)


@pytest.mark.parametrize("percent", [float("nan"), "50", None, True])
def test_progress_refuses_what_is_not_a_number(percent: Any) -> None:
    with pytest.raises(ValueError, match="a number from 0 to 100"):
        run_with(report=lambda *_: None).progress(percent)


def test_progress_refuses_a_message_that_is_not_text() -> None:
    with pytest.raises(TypeError, match="text, not dict"):
        run_with().progress(5, {})  # type: ignore[arg-type]


def test_the_log_carries_the_job_beside_the_calls_own_fields(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="jobs"):
        run_with(attempt=2).log.info("scene.painted", extra={"scene": 3})
    fields = vars(caplog.records[0])
    expected = {"job_id": "7", "job": "video:paint", "queue": "video", "attempt": 2, "scene": 3}
    assert {name: fields[name] for name in expected} == expected


def test_headers_are_empty_and_cannot_be_shared_by_mistake() -> None:
    with pytest.raises(TypeError):
        run_with().headers["trace"] = "x"  # type: ignore[index]
    assert run_with(headers={"trace": "x"}).headers == {"trace": "x"}


def test_what_is_saved_is_its_json_at_the_time_of_the_call() -> None:
    kept: list[bytes] = []
    run = run_with(keep=kept.append)
    state = {"line": 1}
    run.checkpoint(state)
    state["line"] = 2
    run.checkpoint(state)
    assert kept == [b'{"line":1}', b'{"line":2}']
    assert run.last_checkpoint is None


def test_what_cannot_be_saved_is_refused_even_without_a_listener() -> None:
    with pytest.raises(TypeError, match="JSON"):
        run_with().checkpoint(object())
    with pytest.raises(CheckpointTooLarge, match="is 10;"):
        run_with(checkpoint_limit=10).checkpoint("x" * 9)
    run_with().checkpoint({"line": 1})


def test_a_run_has_what_an_attempt_before_it_saved() -> None:
    assert run_with(last_checkpoint={"line": 3}).last_checkpoint == {"line": 3}


def test_the_log_carries_the_trace_and_the_tenant_that_the_job_belongs_to(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "tenant": "acme"}
    with caplog.at_level(logging.INFO, logger="jobs"):
        run_with(headers=headers).log.info("scene.painted")
    fields = vars(caplog.records[0])
    assert (fields["trace_id"], fields["tenant"]) == (trace, "acme")


def test_its_facts_are_json_and_make_the_same_run_in_another_process() -> None:
    run = run_with(
        attempt=2, max_attempts=4, enqueued_ms=5, headers={"trace": "x"}, last_checkpoint=[1], deps=object()
    )
    facts = RunFacts(**json.loads(json.dumps(run.facts.wire())))
    assert facts == run.facts
    other = Run(facts)
    assert (other.id, other.attempt, other.headers, other.last_checkpoint) == ("7", 2, {"trace": "x"}, [1])
    assert other.deps is None


def test_a_run_of_an_unknown_fact_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        run_with(colour="red")


def test_the_facts_have_the_same_names_for_a_test_that_gives_them_as_for_a_worker() -> None:
    assert tuple(NamedFacts.__annotations__) == RunFacts._fields


@pytest.mark.parametrize("call", ["progress", "checkpoint"])
async def test_a_call_that_is_done_at_once_says_so_when_it_is_awaited(call: str) -> None:
    run: Any = run_with()
    with pytest.raises(
        TypeError, match=rf"run\.{call}\(\.\.\.\) is done at once .* write it without `await`"
    ):
        await getattr(run, call)(50)
