"""A test of the tests: each mutant of the scripts is caught by the test that is named beside it.

The machine finds every one of them too. That takes some minutes, and is done when FUZZ_EXAMPLES is set.
"""

import os
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from redis.exceptions import ResponseError

from rota.wire import queue
from tests.unit.wire.lua import test_checkpoints as checkpoints
from tests.unit.wire.lua import test_claiming as claiming
from tests.unit.wire.lua import test_leases as leases
from tests.unit.wire.lua import test_resending as resending
from tests.unit.wire.lua import test_settling as settling
from tests.unit.wire.lua import test_traces as traces
from tests.unit.wire.lua.beds import Bed, finish, interrupted
from tests.unit.wire.lua.machine import ScriptsMachine
from tests.unit.wire.lua.mutants import MUTANTS, Mutant

Test = Callable[[Bed], Awaitable[None]]

fence, again = settling.TestTheFence(), settling.TestAgain()
losing, renewing, frozen = leases.TestLosing(), leases.TestRenewing(), leases.TestAServerThatStoodStill()
mixed, left = claiming.TestMixedFleets(), traces.TestWhatIsLeft()
given_back, newest = checkpoints.TestGivenBack(), checkpoints.TestTheNewestWins()
resent = resending.TestSettlements()

CAUGHT_BY: dict[str, Test] = {
    "no token check when settling": partial(
        fence.test_a_settlement_after_the_claim_was_lost_changes_nothing, settle=finish
    ),
    "no token check when handing back": partial(
        fence.test_a_settlement_after_the_claim_was_lost_changes_nothing, settle=interrupted
    ),
    "no token check when renewing": renewing.test_a_renewal_with_another_claim_s_token_changes_nothing,
    "handed back to the end of the line": again.test_a_job_that_is_handed_back_has_its_old_place,
    "lost jobs go to the end of the line": losing.test_a_lost_job_has_its_old_place_in_the_line,
    "finished but still active": left.test_the_service_s_idle_queue_keeps_results_letters_and_events,
    "handed back but still active": again.test_a_retry_is_due_after_its_delay_and_keeps_its_attempts,
    "losses are not counted": losing.test_an_expired_claim_is_lost_and_claimed_in_the_same_step,
    "a lost job is recovered by no claim": losing.test_of_all_claims_after_a_loss_the_first_one_recovers_it,
    "a job that was lost once is recovered by every claim": (
        losing.test_of_all_claims_after_a_loss_the_first_one_recovers_it
    ),
    "a loss spends an attempt": losing.test_in_the_service_a_loss_spends_no_attempt,
    "attempts counted before it is clear that the job is free": (
        mixed.test_a_job_that_a_stock_worker_holds_is_skipped_and_keeps_its_score
    ),
    "another clock than the server's": losing.test_an_expired_claim_is_lost_and_claimed_in_the_same_step,
    "a claim does not move the score": claiming.test_a_claim_writes_the_fence_the_deadline_and_arq_s_mirror,
    "a settlement counts twice": resent.test_one_that_has_counted_counts_as_such_and_changes_nothing_more,
    "stopping spends an attempt": again.test_unspent_gives_the_attempt_back,
    "a frozen server declares every claim lost": frozen.test_nobody_is_declared_lost_for_one_more_lease,
    "a frozen server is forgiven for ever": frozen.test_those_that_do_not_renew_then_are_lost_after_it,
    "a resend claims other jobs": resending.TestClaims().test_however_often_it_is_sent,
    "a straggler claims": resending.TestStragglers().test_one_of_an_older_number_claims_nothing,
    "tokens repeat": claiming.test_no_two_claims_share_a_token,
    "what stock workers hold is claimed": (
        mixed.test_a_job_that_a_stock_worker_holds_is_skipped_and_keeps_its_score
    ),
    "re-scored claims keep their score": (
        mixed.test_a_claimed_job_that_stock_abort_re_scores_gets_its_deadline_back
    ),
    "the time at which a job was first unknown is forgotten": (
        again.test_a_job_that_nobody_knows_keeps_the_time_when_that_was_first_found
    ),
    "a late renewal is refused": renewing.test_a_late_renewal_counts_while_nobody_has_reclaimed,
    "a renewal hides a silence": frozen.test_a_renewal_that_comes_first_does_not_hide_it,
    "any claim may save": newest.test_nobody_but_the_holder_is_heard,
    "the older of two checkpoints wins": (newest.test_what_is_sent_before_and_arrives_after_changes_nothing),
    "a checkpoint in a settlement is forgotten": (
        given_back.test_what_rides_in_the_settlement_is_newer_than_what_was_written
    ),
    "a finished job's checkpoint stays": (
        checkpoints.TestWhatIsLeft().test_nothing_of_a_job_that_is_completed_or_cancelled
    ),
    "a claim that is handed over again has no checkpoint": (
        given_back.test_a_claim_whose_reply_was_lost_has_it_when_it_is_handed_over_again
    ),
}

#: What a wrong script raises: it disagrees, does not end, makes no sensible reply, or differs from run to run.
CAUGHT = (AssertionError, ResponseError, ValueError, Flaky)
#: The right scripts pass all of these runs.
RUNS = settings(
    max_examples=250,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
async def test_a_test_catches_it(clocked: Bed, monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> None:
    monkeypatch.setattr(queue, mutant.script, mutant.made())
    with pytest.raises(CAUGHT):
        await CAUGHT_BY[mutant.name](clocked)


@pytest.mark.skipif(
    "FUZZ_EXAMPLES" not in os.environ, reason="takes some minutes: set FUZZ_EXAMPLES to run it"
)
@pytest.mark.timeout(1800)
def test_the_machine_finds_them_all_and_nothing_in_the_right_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    run_state_machine_as_test(ScriptsMachine, settings=RUNS)
    for mutant in MUTANTS:
        with monkeypatch.context() as patch:
            patch.setattr(queue, mutant.script, mutant.made())
            with pytest.raises(CAUGHT):
                run_state_machine_as_test(ScriptsMachine, settings=RUNS)
