"""The runner: every claim becomes a settlement, whatever happens on the way."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rota.attempts.attempt import Handler, override
from rota.attempts.parts import QueuePolicy, Resources, Stacks
from rota.attempts.runner import Runner
from rota.engine.execution import Execution
from rota.errors import Cancel, Retry, RotaError, Snooze, UnknownJob, UnreadablePayload
from rota.model.event import Event, EventType
from rota.model.job import Job, job
from rota.model.outcome import Cause, Rules
from rota.model.policies.backoff import fixed, linear
from rota.model.run import Run
from rota.process.clock import Clock
from rota.seams import CallNext, Middleware
from rota.wire import envelopes, results
from rota.wire.claims import Checkpoint, Claim, Settlement
from rota.wire.log.pieces import NOTHING_NEW

RULES = Rules(max_attempts=3, backoff=fixed(7, jitter=0), timeout=5.0, keep_result=60.0)
POLICY = QueuePolicy(
    queue="email",
    queue_key="arq:queue:email",
    namespace="rota",
    max_lost=3,
    unknown_grace=100.0,
    unknown_delay=5.0,
    keep_result=30.0,
    payload_limit=262_144,
    result_limit=1_048_576,
)


@job
async def greet(run: Run, name: str, loud: bool = False) -> str:
    return f"{'HELLO' if loud else 'hello'} {name}"


@job
async def tell(run: Run) -> Any:
    return [
        run.id,
        run.queue,
        run.job,
        run.attempt,
        run.max_attempts,
        run.snoozes,
        dict(run.headers),
        run.deps,
    ]


@job
async def save(run: Run, size: int = 0) -> Any:
    last = run.last_checkpoint
    run.checkpoint("x" * size if size else {"line": (last or {"line": 0})["line"] + 1})
    return last


@job
async def act(run: Run, how: str) -> Any:
    match how:
        case "wait":
            await asyncio.sleep(60)
        case "wrong snooze":
            raise Snooze(-3)
        case "progress":
            run.progress(40, "on the way")
        case "wrong":
            return object()
        case "swallow":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                return "swallowed"
        case "exit":
            raise SystemExit(3)
        case _:
            raise {
                "error": ValueError("no"),
                "timeout": TimeoutError("its own"),
                "retry": Retry(2),
                "snooze": Snooze(9),
                "cancel": Cancel("not wanted"),
                "unknown": UnknownJob("other", ()),
                "cancellation": asyncio.CancelledError("from elsewhere"),
            }[how]
    return None


@job
def threaded(run: Run, name: str) -> str:
    return f"from a thread: {name}"


@job(process=True)
def processed(run: Run, name: str) -> str:
    return f"from a process: {name}"


JOBS: tuple[Job[Any, Any], ...] = (greet, tell, save, act, threaded, processed)


class Bench:
    """A runner without threads or processes, with the events and the progress that it told."""

    def __init__(
        self,
        *middleware: Middleware,
        tracers: Sequence[Middleware] = (),
        rules: Rules = RULES,
        policy: QueuePolicy = POLICY,
    ) -> None:
        self.events: list[Event] = []
        self.progress: list[tuple[Any, ...]] = []
        self.runner = Runner(
            policy,
            {job.name: Handler(job, rules) for job in JOBS},
            Resources(
                deps="the deps",
                report=lambda *report: self.progress.append(report),
                off_loop=self.off_loop,
            ),
            Stacks(tracers=tuple(tracers), middleware=middleware, subscribers=(self.events.append,)),
        )

    async def off_loop(
        self, execution: Execution, run: Run, job: Job[Any, Any], arguments: Mapping[str, Any]
    ) -> Any:
        result = job.handler(run, **arguments)
        return job.result.dump(result) if job.kind == "process" else result

    async def settle(self, claim: Claim, cause: Cause | None = None) -> Settlement:
        """Run a claim, stopped by `cause` once its handler waits; return the settlement."""
        execution = Execution(claim)
        task = asyncio.create_task(self.runner.execute(execution))
        execution.task = task
        if cause is not None:
            async with asyncio.timeout(5):
                while not execution.live:
                    await asyncio.sleep(0)
            await asyncio.sleep(0)
            execution.stop(cause)
        return await task

    async def run(self, name: str, arguments: str = "{}", **fields: Any) -> Settlement:
        return await self.settle(claim(name, arguments, **fields))


def claim(name: str, arguments: str = "{}", options: Mapping[str, Any] | None = None, **fields: Any) -> Claim:
    payload = envelopes.encode_job(
        name, arguments.encode(), enqueued_ms=5, options=options, headers=fields.pop("headers", None)
    )
    values = {"payload": payload, "attempt": 1, "due_ms": 1000, "started_ms": 1500, **fields}
    return Claim(id="1", token="t", **values)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def error(settlement: Settlement) -> str:
    return str(results.error_of(settlement.detail))


# A handler that ran


async def test_a_completed_job_is_finished_with_its_result_and_its_record(bench: Bench) -> None:
    settlement = await bench.run("greet", '{"name": "ann"}')
    assert (settlement.kind, settlement.event, settlement.task) == ("finished", "completed", "greet")
    assert settlement.detail == b'"hello ann"'
    assert settlement.record_ms == 60_000
    record = results.decode_result(settlement.record)
    assert (record.success, record.result, record.kwargs) == (True, "hello ann", {"name": "ann"})
    assert (record.name, record.queue, record.attempt, record.enqueued_ms) == (
        "greet",
        "arq:queue:email",
        1,
        5,
    )
    assert record.started_ms == 1500 <= record.finished_ms


@pytest.mark.parametrize(
    ("name", "result"), [("threaded", b'"from a thread: ann"'), ("processed", b'"from a process: ann"')]
)
async def test_a_plain_function_runs_off_the_loop(bench: Bench, name: str, result: bytes) -> None:
    assert (await bench.run(name, '{"name": "ann"}')).detail == result


async def test_a_handler_gets_its_run(bench: Bench) -> None:
    settlement = await bench.run("tell", "{}", attempt=2, headers={"trace": "x"})
    assert json.loads(settlement.detail) == ["1", "email", "tell", 2, 3, 0, {"trace": "x"}, "the deps"]


async def test_a_middleware_sees_the_payload_the_wait_and_why_an_attempt_was_stopped() -> None:
    seen: list[Any] = []

    async def watch(run: Run, call_next: CallNext) -> Any:
        seen.extend([run.payload, run.waited, run.stopped_by])
        try:
            return await call_next(run)
        finally:
            seen.append(run.stopped_by)

    own = claim("act", '{"how": "wait"}')
    await Bench(watch).settle(own, Cause.TIMEOUT)
    assert seen == [own.payload, 0.5, "", "timeout"]


async def test_what_is_told_carries_the_headers_and_the_error_itself(bench: Bench) -> None:
    headers = {"traceparent": "x"}
    bench.runner.settled([await bench.run("act", '{"how": "error"}', attempt=3, headers=headers)], [True])
    started, dead = bench.events
    assert (started.headers, started.error) == (headers, None)
    assert (dead.headers, str(dead.error)) == (headers, "no")
    settlement = await bench.run("nobody", started_ms=900_000, unknown_since_ms=1, headers=headers)
    bench.runner.settled([settlement], [True])
    assert (bench.events[-1].reason, bench.events[-1].headers) == ("unknown", headers)


async def test_progress_goes_to_the_engine_with_its_claim(bench: Bench) -> None:
    own = claim("act", '{"how": "progress"}')
    await bench.settle(own)
    assert bench.progress == [(own, "act", 40.0, "on the way")]


async def test_without_a_time_to_keep_results_there_is_no_record() -> None:
    rules = Rules(max_attempts=3, backoff=fixed(7), timeout=5.0, keep_result=0)
    settlement = await Bench(rules=rules).run("greet", '{"name": "ann"}')
    assert (settlement.record, settlement.detail) == (b"", b'"hello ann"')


@pytest.mark.parametrize(
    ("how", "came"),
    [
        ("error", ("retried", 7000, False)),
        ("timeout", ("retried", 7000, False)),
        ("exit", ("retried", 7000, False)),
        ("retry", ("retried", 2000, False)),
        ("snooze", ("snoozed", 9000, True)),
    ],
)
async def test_what_goes_again_has_its_delay_and_spends_an_attempt_or_not(
    bench: Bench, how: str, came: tuple[str, int, bool]
) -> None:
    settlement = await bench.run("act", json.dumps({"how": how}))
    assert (settlement.kind, settlement.record) == ("again", b"")
    assert (settlement.event, settlement.delay_ms, settlement.unspent) == came


async def test_the_last_attempt_is_a_dead_letter_with_its_error(bench: Bench) -> None:
    settlement = await bench.run("act", '{"how": "error"}', attempt=3)
    assert (settlement.kind, settlement.reason, settlement.event) == ("dead", "failed", "dead")
    assert error(settlement) == "ValueError: no"
    failure = results.decode_result(settlement.record)
    assert (failure.success, failure.attempt, str(failure.error)) == (False, 3, "ValueError: no")


async def test_a_job_that_its_handler_cancels_is_finished_as_cancelled(bench: Bench) -> None:
    settlement = await bench.run("act", '{"how": "cancel"}')
    assert (settlement.kind, settlement.event, settlement.reason) == ("finished", "cancelled", "not wanted")
    assert results.decode_result(settlement.record).cancelled


async def test_a_result_that_does_not_fit_is_a_dead_letter_and_not_tried_again(bench: Bench) -> None:
    settlement = await bench.run("act", '{"how": "wrong"}')
    assert (settlement.kind, settlement.reason) == ("dead", "invalid_result")


async def test_a_result_over_the_limit_is_a_dead_letter_that_says_what_to_do_and_is_not_tried_again() -> None:
    bench = Bench(policy=replace(POLICY, result_limit=10))
    assert (await bench.run("greet", '{"name": "a"}')).detail == b'"hello a"'
    settlement = await bench.run("greet", '{"name": "annabel"}')
    assert (settlement.kind, settlement.reason) == ("dead", "result_too_large")
    assert "email:greet has 15 bytes and RESULT_LIMIT allows 10" in error(settlement)


async def test_a_long_reason_of_a_cancel_is_cut() -> None:
    async def chatty(run: Run, call_next: CallNext) -> Any:
        raise Cancel("x" * 10_000)

    settlement = await Bench(chatty).run("greet", '{"name": "ann"}')
    assert settlement.reason == "x" * 500
    assert len(settlement.record) < 1000


async def test_a_signal_that_cannot_be_is_an_error_like_any_other(bench: Bench) -> None:
    settlement = await bench.run("act", '{"how": "wrong snooze"}')
    assert (settlement.event, settlement.delay_ms) == ("retried", 7000)
    assert error(settlement).startswith("ValueError: Snooze got the delay -3; it takes")


async def test_a_handler_sees_how_often_its_job_has_snoozed_and_its_event_counts_it(bench: Bench) -> None:
    assert json.loads((await bench.run("tell", "{}", snoozes=3)).detail)[5] == 3
    settlement = await bench.run("act", '{"how": "snooze"}', snoozes=3)
    bench.runner.settled([settlement], [True])
    assert [(event.type, event.snoozes) for event in bench.events[-1:]] == [("snoozed", 4)]


async def test_a_cancellation_that_nobody_asked_for_is_recorded_as_the_error_that_it_is(bench: Bench) -> None:
    settlement = await bench.run("act", '{"how": "cancellation"}', attempt=3)
    assert (settlement.kind, settlement.reason) == ("dead", "failed")
    record = results.decode_result(settlement.record)
    assert not record.cancelled
    assert error(settlement) == "asyncio.exceptions.CancelledError: from elsewhere"


# One that was told to stop


@pytest.mark.parametrize(
    ("cause", "came"),
    [
        (Cause.SHUTDOWN, ("again", "interrupted", "", None, True)),
        (Cause.LEASE_LOST, ("again", "lost", "", None, True)),
        (Cause.CANCEL, ("finished", "cancelled", "cancelled", None, False)),
        (Cause.TIMEOUT, ("again", "retried", "", 7000, False)),
    ],
)
@pytest.mark.parametrize("how", ["wait", "swallow"])
async def test_a_handler_that_is_stopped_is_judged_by_why(
    bench: Bench, how: str, cause: Cause, came: tuple[str, str, str, int | None, bool]
) -> None:
    settlement = await bench.settle(claim("act", json.dumps({"how": how})), cause)
    kind, event, note, delay_ms, unspent = came
    assert (settlement.kind, settlement.event, settlement.reason) == (kind, event, note)
    assert (settlement.delay_ms, settlement.unspent) == (delay_ms, unspent)


async def test_a_handler_is_stopped_when_its_time_is_up(bench: Bench) -> None:
    settlement = await bench.run("act", '{"how": "wait"}', options={"timeout": 0.02, "max_attempts": 1})
    assert (settlement.kind, settlement.reason) == ("dead", "timeout")
    assert error(settlement).endswith("the attempt ran longer than 0.02 s")


async def test_a_claim_whose_cancel_was_asked_for_never_runs(bench: Bench) -> None:
    settlement = await bench.run("act", '{"how": "error"}', aborted=True)
    assert (settlement.kind, settlement.event) == ("finished", "cancelled")
    assert [event.type for event in bench.events] == []


async def test_a_claim_whose_cancel_is_heard_before_it_started_never_runs(bench: Bench) -> None:
    execution = Execution(claim("act", '{"how": "error"}'))
    execution.stop(Cause.CANCEL)
    settlement = await bench.runner.execute(execution)
    assert (settlement.kind, settlement.event, settlement.reason) == ("finished", "cancelled", "cancelled")
    assert bench.events == []


@pytest.mark.parametrize("cause", [Cause.SHUTDOWN, Cause.LEASE_LOST])
async def test_a_claim_that_was_stopped_before_it_started_goes_back_as_it_came(
    bench: Bench, cause: Cause
) -> None:
    execution = Execution(claim("greet"))
    execution.stop(cause)
    settlement = await bench.runner.execute(execution)
    assert (settlement.kind, settlement.delay_ms, settlement.unspent, settlement.event) == (
        "again",
        None,
        True,
        "",
    )


# What never runs


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"\x80\x04pickle", "begins 80047069636b6c65"),
        (b"", ""),
        (b"[]", "a JSON list"),
        (b'{"f": 3}', "field 'f'"),
        (b'{"v":9,"f":"greet","t":null,"a":[],"k":{},"et":1}', "a format that this version does not know"),
    ],
)
async def test_an_unreadable_payload_is_a_dead_letter_that_shows_how_it_begins(
    bench: Bench, payload: bytes, said: str
) -> None:
    settlement = await bench.settle(Claim("1", "t", payload, 1, 0, 0))
    assert (settlement.kind, settlement.reason, settlement.event) == ("dead", "unreadable", "dead")
    assert said in error(settlement)
    assert settlement.record_ms == 30_000


async def test_an_expired_payload_is_a_dead_letter(bench: Bench) -> None:
    settlement = await bench.settle(Claim("1", "t", None, 1, 0, 0))
    assert (settlement.kind, settlement.reason) == ("dead", "expired")


async def test_a_job_that_was_lost_too_often_is_a_dead_letter(bench: Bench) -> None:
    for lost in (0, 1, 2):
        assert (await bench.run("greet", '{"name": "ann"}', lost=lost)).kind == "finished"
    settlement = await bench.run("greet", '{"name": "ann"}', lost=3)
    assert (settlement.kind, settlement.reason, settlement.task) == ("dead", "lost", "greet")


@pytest.mark.parametrize(
    "hopeless",
    [
        Claim("1", "t", b"[]", 2, 0, 0),
        Claim("1", "t", None, 2, 0, 0),
        claim("greet", lost=3),
        claim("greet", '{"name": 3}', attempt=2),
        claim("nosuch", attempt=2, unknown_since_ms=1500 - 100_001),
    ],
    ids=["unreadable", "expired", "lost too often", "other arguments", "unknown"],
)
async def test_what_earlier_attempts_logged_goes_with_the_record_of_a_job_that_does_not_start(
    bench: Bench, hopeless: Claim
) -> None:
    execution = Execution(hopeless)
    settlement = execution.closed_by(await bench.runner.execute(execution))
    assert (settlement.kind, settlement.log) == ("dead", NOTHING_NEW)


async def test_arguments_that_do_not_fit_are_a_dead_letter_that_shows_no_value(bench: Bench) -> None:
    late = 1500 - 100_001
    settlement = await bench.run("greet", '{"name": 3, "secret": "very-secret"}', unknown_since_ms=late)
    assert (settlement.kind, settlement.reason) == ("dead", "invalid")
    assert "name: " in error(settlement)
    assert "secret: is not an argument" in error(settlement)
    assert "very-secret" not in error(settlement)


async def test_options_that_cannot_be_are_a_dead_letter(bench: Bench) -> None:
    settlement = await bench.run("greet", options={"timeout": -3})
    assert (settlement.kind, settlement.reason) == ("dead", "unreadable")
    assert "the job's options cannot be used: timeout is -3" in error(settlement)


async def test_an_unknown_job_waits_unspent_for_a_worker_that_knows_it(bench: Bench) -> None:
    for since in (0, 1500 - 100_000):
        settlement = await bench.run("nosuch", unknown_since_ms=since)
        assert (settlement.kind, settlement.delay_ms, settlement.unspent) == ("again", 5000, True)
        assert (settlement.unknown, settlement.reason, settlement.event) == (True, "", "")


async def test_after_the_grace_an_unknown_job_is_a_dead_letter(bench: Bench) -> None:
    settlement = await bench.run("grete", unknown_since_ms=1500 - 100_001)
    assert (settlement.kind, settlement.reason) == ("dead", "unknown")
    assert "there is no job 'grete'; did you mean greet?" in error(settlement)


@pytest.mark.parametrize("arguments", ['{"name": "ann", "colour": 3}', '{"name": 3, "colour": 3}'])
async def test_an_argument_that_the_handler_does_not_have_waits_for_a_worker_that_knows_it(
    bench: Bench, arguments: str
) -> None:
    for since in (0, 1500 - 100_000):
        settlement = await bench.run("greet", arguments, unknown_since_ms=since)
        assert (settlement.kind, settlement.delay_ms, settlement.unspent) == ("again", 5000, True)
        assert (settlement.unknown, settlement.reason, settlement.event) == (True, "", "")
    settlement = await bench.run("greet", arguments, unknown_since_ms=1500 - 100_001)
    assert (settlement.kind, settlement.reason) == ("dead", "invalid")
    assert "colour: is not an argument" in error(settlement)


async def test_one_positional_argument_more_than_the_handler_has_waits_too(bench: Bench) -> None:
    data: dict[str, Any] = {"t": None, "f": "greet", "a": ["ann", True, "blue"], "k": {}, "et": 0}
    settlement = await bench.settle(Claim("1", "t", envelopes.job_serializer(data), 1, 0, 1500))
    assert (settlement.kind, settlement.unknown) == ("again", True)


async def test_arguments_that_are_wrong_for_every_version_are_a_dead_letter_at_once(bench: Bench) -> None:
    for arguments in ('{"name": 3}', "{}"):
        settlement = await bench.run("greet", arguments)
        assert (settlement.kind, settlement.reason) == ("dead", "invalid")


async def test_a_job_with_a_new_argument_can_be_cancelled(bench: Bench) -> None:
    settlement = await bench.run("greet", '{"name": "ann", "colour": 3}', aborted=True)
    assert (settlement.kind, settlement.event) == ("finished", "cancelled")


async def test_of_many_jobs_with_one_unknown_name_one_line_a_minute_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    moment = [0.0]
    runner = Runner(
        POLICY,
        {},
        Resources(deps=None, report=lambda *report: None, off_loop=Bench().off_loop),
        Stacks(),
        clock=Clock(monotonic=lambda: moment[0]),
    )
    assert list(runner.strangers()) == []
    for _ in range(3):
        for name in ("nosuch", "another", "nosuch"):
            assert (await runner.execute(Execution(claim(name)))).unknown
            assert name in runner.strangers()
        moment[0] += 31
    told = [record.__dict__["job"] for record in caplog.records if record.message == "job.unknown"]
    assert told == ["email:nosuch", "email:another"] * 2
    moment[0] += 61
    assert list(runner.strangers()) == [], "the next one is claimed, and logged"


@pytest.mark.parametrize("name", [b"\xff\xfe", b"\\ud800", b'a","x":"b'])
async def test_a_job_whose_name_is_no_text_is_a_dead_letter_at_once(bench: Bench, name: bytes) -> None:
    raw = b'{"v":1,"f":"%b","t":null,"a":[],"k":{},"et":1700000000000}' % name
    settlement = await bench.settle(Claim("1", "t", raw, 1, 0, 1500))
    assert (settlement.kind, settlement.reason) == ("dead", "unreadable")


async def test_the_error_of_an_unknown_job_is_the_handler_s_own_where_a_handler_raises_it(
    bench: Bench,
) -> None:
    settlement = await bench.run("act", '{"how": "unknown"}')
    assert (settlement.kind, settlement.event) == ("again", "retried")


async def test_an_unknown_job_can_be_cancelled(bench: Bench) -> None:
    settlement = await bench.run("nosuch", aborted=True)
    assert (settlement.kind, settlement.event) == ("finished", "cancelled")


@pytest.mark.parametrize(
    "hopeless",
    [
        Claim("1", "t", b"[]", 1, 0, 0, aborted=True),
        Claim("1", "t", None, 1, 0, 0, aborted=True),
        claim("greet", lost=3, aborted=True),
    ],
    ids=["unreadable", "expired", "lost too often"],
)
async def test_so_can_one_that_could_not_have_run(bench: Bench, hopeless: Claim) -> None:
    settlement = await bench.settle(hopeless)
    assert (settlement.kind, settlement.event, settlement.reason) == ("finished", "cancelled", "cancelled")
    assert results.decode_result(settlement.record).cancelled


# Stock clients


async def test_positional_arguments_of_a_stock_client_are_named(bench: Bench) -> None:
    payload = envelopes.job_serializer({"t": None, "f": "greet", "a": ("ann",), "k": {"loud": True}, "et": 1})
    settlement = await bench.settle(Claim("1", "t", payload, 1, 0, 0))
    assert settlement.detail == b'"HELLO ann"'


async def test_a_stock_client_may_begin_at_a_later_try(bench: Bench) -> None:
    payload = envelopes.job_serializer({"t": 3, "f": "act", "a": (), "k": {"how": "error"}, "et": 1})
    settlement = await bench.settle(Claim("1", "t", payload, 1, 0, 0))
    assert (settlement.kind, settlement.attempt) == ("dead", 3)


# What an enqueue asks for


def test_the_options_of_an_enqueue_beat_the_rules_and_the_others_stay() -> None:
    backoff = linear(1, step=2)
    wire = {
        "timeout": 9,
        "max_attempts": 7,
        "backoff": backoff.wire(),
        "keep_result": 0,
        "of a later version": 1,
    }
    assert override(RULES, wire) == Rules(
        max_attempts=7, backoff=backoff, timeout=9, keep_result=0, retry_on=None, give_up_on=()
    )
    assert override(RULES, {}) == RULES
    with pytest.raises(UnreadablePayload):
        override(RULES, {"max_attempts": "many"})


# Middleware and subscribers


@pytest.mark.parametrize(
    ("signal", "came"),
    [
        (Snooze(4), ("snoozed", 4000, "")),
        (Retry(4), ("retried", 4000, "")),
        (Cancel("closed"), ("cancelled", None, "closed")),
    ],
    ids=["snooze", "retry", "cancel"],
)
@pytest.mark.parametrize("name", ["greet", "threaded", "processed"])
async def test_middleware_may_change_the_outcome_by_raising_a_signal(
    name: str, signal: Exception, came: tuple[str, int | None, str]
) -> None:
    async def busy(run: Run, call_next: CallNext) -> Any:
        await call_next(run)
        raise signal

    settlement = await Bench(busy).run(name, '{"name": "ann"}')
    assert (settlement.event, settlement.delay_ms, settlement.reason) == came


async def test_middleware_that_raises_is_judged_like_the_handler() -> None:
    async def broken(run: Run, call_next: CallNext) -> Any:
        await call_next(run)
        raise ConnectionError("after the handler")

    settlement = await Bench(broken).run("greet", '{"name": "ann"}')
    assert (settlement.event, error(settlement)) == ("retried", "ConnectionError: after the handler")


@pytest.mark.parametrize("name", ["greet", "threaded", "processed"])
async def test_what_a_middleware_returns_is_the_result_and_is_checked_like_a_handler_s(name: str) -> None:
    async def instead(run: Run, call_next: CallNext) -> Any:
        await call_next(run)
        return replacement

    replacement: Any = "another"
    assert (await Bench(instead).run(name, '{"name": "ann"}')).detail == b'"another"'
    replacement = 7
    settlement = await Bench(instead).run(name, '{"name": "ann"}')
    assert (settlement.kind, settlement.reason) == ("dead", "invalid_result")


@pytest.mark.parametrize("how", ["greet", "misfit", "large"])
async def test_tracers_see_the_encoded_result_or_what_was_wrong_with_it(how: str) -> None:
    seen: list[Any] = []

    async def tracer(run: Run, call_next: CallNext) -> Any:
        try:
            seen.append(await call_next(run))
        except RotaError as error:
            seen.append(type(error).__name__)
            raise
        return seen[-1]

    async def outside(run: Run, call_next: CallNext) -> Any:
        value = await call_next(run)
        return {"greet": value, "misfit": object(), "large": "x" * 40}[how]

    bench = Bench(outside, tracers=[tracer], policy=replace(POLICY, result_limit=20))
    await bench.run("greet", '{"name": "ann"}')
    assert seen == [{"greet": b'"hello ann"', "misfit": "InvalidResult", "large": "ResultTooLarge"}[how]]


async def test_a_start_is_told_at_once_and_an_outcome_when_it_was_acknowledged(bench: Bench) -> None:
    settlement = await bench.run("greet", '{"name": "ann"}')
    (started,) = bench.events
    assert (started.type, started.id, started.task, started.waited) == (EventType.STARTED, "1", "greet", 0.5)
    bench.runner.settled([settlement], [False])
    assert bench.events == [started], "a stale settlement did not happen"
    bench.runner.settled([settlement], [True])
    completed = bench.events[1]
    assert (completed.type, completed.queue, completed.detail) == (
        EventType.COMPLETED,
        "email",
        b'"hello ann"',
    )
    assert completed.duration is not None
    assert completed.duration >= 0


async def test_progress_is_told_when_it_was_written(bench: Bench) -> None:
    bench.runner.reported(claim("act"), "act", 40.0, "on the way")
    (event,) = bench.events
    assert (event.type, event.percent, event.message) == (EventType.PROGRESS, 40.0, "on the way")


# Checkpoints


async def saved(bench: Bench, checkpoint: bytes | None) -> tuple[bytes, Checkpoint]:
    """Run a handler that finds `checkpoint`; return its result and the checkpoint that it left."""
    execution = Execution(claim("save", checkpoint=checkpoint))
    execution.task = asyncio.current_task()
    return (await bench.runner.execute(execution)).detail, execution.checkpoint


async def test_a_handler_gets_what_was_saved_before_and_leaves_what_it_saves(bench: Bench) -> None:
    assert await saved(bench, None) == (b"null", Checkpoint(1, b'{"line":1}'))
    assert await saved(bench, b'4 {"line":7}') == (b'{"line":7}', Checkpoint(5, b'{"line":8}'))


@pytest.mark.parametrize("raw", [b"4 {", b"junk", b""])
async def test_one_that_cannot_be_read_is_logged_and_the_job_starts_from_the_beginning(
    bench: Bench, caplog: pytest.LogCaptureFixture, raw: bytes
) -> None:
    detail, left = await saved(bench, raw)
    assert (detail, left.state) == (b"null", b'{"line":1}')
    assert [record.getMessage() for record in caplog.records] == ["checkpoint.unreadable"]


async def test_one_that_is_too_large_is_the_handler_s_error(bench: Bench) -> None:
    settlement = await bench.run("save", '{"size": 262143}')
    assert settlement.event == "retried"
    assert "the limit (PAYLOAD_LIMIT) is 262144" in error(settlement)
