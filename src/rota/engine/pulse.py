"""The pulse of running jobs: twice a second it hears of cancels, and writes their progress and checkpoints.

What they have logged it writes once a second.
"""

import asyncio
from collections.abc import Callable, Sequence

from rota.engine.execution import Log
from rota.engine.executions import Executions
from rota.engine.link import QueueLink
from rota.model.outcome import Cause
from rota.server.outage import FAULTS
from rota.wire.claims import Claim, Report, encode_id
from rota.wire.keys import ABORT
from rota.wire.queue import BATCH

#: While jobs run there is a beat this often, in seconds.
PULSE = 0.5
#: Logs are written with every second beat, this many bytes in a call.
_LOGS_EVERY, _MOST_OF_LOGS = 2, 262_144


class Pulse:
    """The pulse of one queue's running jobs.

    :param executions: what runs, by job id; the engine adds and removes.
    :param cancellable: whether cancel requests are looked for.
    :param reported: called with each progress that was written: the claim, the job's name, percent and message.
    """

    def __init__(
        self,
        link: QueueLink,
        executions: Executions,
        *,
        cancellable: bool,
        reported: Callable[[Claim, str, float, str], None],
    ) -> None:
        self._scripts = link.scripts
        self._redis = link.redis
        self._outage = link.outage
        self._executions = executions
        self._cancellable = cancellable
        self._reported = reported
        self._reports: dict[str, Report] = {}
        self._beats = 0

    def report(self, claim: Claim, task: str, percent: float, message: str) -> None:
        """Write a running job's progress with the next beat; only the last report before it is written."""
        self._reports[claim.id] = (claim, task, percent, message)

    async def run(self) -> None:
        """Beat while jobs run, until cancelled."""
        failed = False
        while True:
            await asyncio.sleep(PULSE)
            if not self._executions:
                self._reports.clear()
                continue
            self._executions.insist()
            try:
                await self._beat()
            except FAULTS as error:
                failed = True
                await self._outage.pause(error)
            else:
                # While long jobs take all slots, no step finds out that Redis is back.
                if failed:
                    self._outage.over()
                failed = False

    async def _beat(self) -> None:
        if self._cancellable:
            await self._hear_cancels()
            # Redis answers, and while all slots are taken no step would say so.
            self._outage.reached()
        if self._reports:
            await self._write_reports()
        await self._write_checkpoints()
        self._beats += 1
        if self._beats % _LOGS_EVERY == 0:
            await self._write_logs()

    async def _hear_cancels(self) -> None:
        running = list(self._executions.values())
        ids = [encode_id(execution.claim.id) for execution in running]
        scores = await self._redis.execute_command("ZMSCORE", ABORT, *ids)
        for execution, score in zip(running, scores, strict=True):
            if score is not None:
                execution.stop(Cause.CANCEL)

    async def _write_reports(self) -> None:
        running, reported, self._reports = self._executions, self._reports, {}
        # What a job that has ended reported last is dropped: once a beat, not at each end of a job.
        reports = {
            job_id: report
            for job_id, report in reported.items()
            if job_id in running and running[job_id].claim.token == report[0].token
        }
        try:
            await self._scripts.report(self._redis, list(reports.values()))
        except FAULTS:
            self._reports = {**reports, **self._reports}
            raise
        for claim, task, percent, message in reports.values():
            self._reported(claim, task, percent, message)

    async def _write_checkpoints(self) -> None:
        unwritten = [
            (execution, checkpoint)
            for execution in self._executions.values()
            if (checkpoint := execution.unwritten) is not None
        ]
        for start in range(0, len(unwritten), BATCH):
            batch = unwritten[start : start + BATCH]
            await self._scripts.keep(
                self._redis, [(execution.claim, checkpoint) for execution, checkpoint in batch]
            )
            for execution, checkpoint in batch:
                execution.wrote(checkpoint)

    async def _write_logs(self) -> None:
        running = [(one.claim, one.log) for one in self._executions.values() if one.log is not None]
        batch: list[tuple[Claim, Log, bytes]] = []
        size = 0
        for claim, log in running:
            if unwritten := log.unwritten():
                batch.append((claim, log, unwritten))
                size += len(unwritten)
            if size >= _MOST_OF_LOGS or len(batch) == BATCH:
                await self._write_log_batch(batch)
                batch, size = [], 0
        if batch:
            await self._write_log_batch(batch)

    async def _write_log_batch(self, batch: Sequence[tuple[Claim, Log, bytes]]) -> None:
        answers = await self._scripts.keep_logs(self._redis, [(claim, said) for claim, _, said in batch])
        for (_, log, _), is_written in zip(batch, answers, strict=True):
            log.answered(is_written)
