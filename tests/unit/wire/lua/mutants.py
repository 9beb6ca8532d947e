"""Mutants: scripts that are wrong in one place. The tests must tell them from the right ones."""

from dataclasses import dataclass

from rota.wire import queue
from rota.wire.scripts import Script


@dataclass(frozen=True)
class Mutant:
    """`new` in the place of `old` in a script that `rota.wire.queue` calls."""

    name: str
    old: str
    new: str
    script: str = "STEP"

    def __str__(self) -> str:
        return self.name

    def made(self) -> Script:
        """Return the wrong script. Raises LookupError where `old` is not in the right one just once."""
        source: str = getattr(queue, self.script).source
        if source.count(self.old) != 1:
            raise LookupError(
                f"{self.old!r} stands {source.count(self.old)} times in {self.script}: adapt the mutant"
            )
        wrong = source.replace(self.old, self.new)
        return Script((wrong,))


_FENCE = "not entry or counted[job.id] or string.sub(entry, 1, #token) ~= token"

MUTANTS = [
    Mutant("no token check when settling", _FENCE, "not entry"),
    Mutant(
        "no token check when handing back", _FENCE, f"not entry or ({_FENCE[13:]}) and job.kind ~= 'again'"
    ),
    Mutant(
        "no token check when renewing",
        "entries[i] and string.match(entries[i], '^(%S+)') == token",
        "entries[i]",
        "RENEW",
    ),
    Mutant(
        "handed back to the end of the line",
        "local due = delay and now + delay or math.min(old_due, now)",
        "local due = delay and now + delay or now",
    ),
    Mutant(
        "lost jobs go to the end of the line",
        "redis.call('ZADD', queue, ms(due), id)\n  if terms then with_terms()",
        "redis.call('ZADD', queue, now_ms, id)\n  if terms then with_terms()",
    ),
    Mutant("finished but still active", "chunked('ZREM', active, gone)", ""),
    Mutant("handed back but still active", "redis.call('ZREM', active, job.id)", ""),
    Mutant("losses are not counted", "lost + (counts and 1 or 0)", "lost"),
    Mutant("a lost job is recovered by no claim", "format(mark_of(token, counts), due", "format('-', due"),
    Mutant(
        "a job that was lost once is recovered by every claim",
        "unknown and '-' .. worker or '-'",
        "unknown and '-' .. worker or lost > 0 and '-!w@0' or '-'",
    ),
    Mutant("a loss spends an attempt", "if service then count_attempts(id, 0) end", "count_attempts(id, 1)"),
    Mutant(
        "attempts counted before it is clear that the job is free",
        "local id = job.id\n  if source",
        "local id = job.id\n  redis.pcall('INCR', RETRY .. id)\n  if source",
    ),
    Mutant("another clock than the server's", "redis.call('TIME')", "{ os.time(), 0 }"),
    Mutant("a claim does not move the score", "redis.call('ZADD', queue, unpack(deadlines))", ""),
    Mutant("a settlement counts twice", "chunked('HDEL', runs, gone)", ""),
    Mutant("stopping spends an attempt", "count_attempts(job.id, 0)", "count_attempts(job.id, 1)"),
    Mutant("a frozen server declares every claim lost", "pcall(clock.forgive)", "true"),
    Mutant(
        "a frozen server is forgiven for ever",
        "if last_seen and now - last_seen <= lease / 2 then return end",
        "",
    ),
    Mutant("a resend claims other jobs", "if last and tonumber(last) == seq then", "if false then"),
    Mutant("a straggler claims", "elseif newest < seq then", "else"),
    Mutant(
        "tokens repeat",
        "string.format('%020d', seq)",
        "'0'",
    ),
    Mutant("what stock workers hold is claimed", "(deadline or job.held) and", "deadline and"),
    Mutant("re-scored claims keep their score", "redis.call('ZADD', queue, deadline, id)", ""),
    Mutant(
        "the time at which a job was first unknown is forgotten",
        "unknown_since > 0 and unknown_since or now",
        "now",
    ),
    Mutant(
        "a late renewal is refused",
        "entries[i] and string.match",
        "redis.call('EXISTS', 'arq:in-progress:' .. id) == 1 and entries[i] and string.match",
        "RENEW",
    ),
    Mutant(
        "a renewal hides a silence",
        "if last_seen and now >= last_seen and now - last_seen <= lease / 2 then",
        "if true then",
        "RENEW",
    ),
    Mutant(
        "any claim may save",
        "entry and string.match(entry, '^(%S+)') == token",
        "entry",
        "CHECKPOINT",
    ),
    Mutant("the older of two checkpoints wins", "or 0) < number", "or 0) >= 0", "CHECKPOINT"),
    Mutant(
        "a checkpoint in a settlement is forgotten",
        "redis.call('HSET', checkpoint, job.id, job.checkpoint)",
        "",
    ),
    Mutant("a finished job's checkpoint stays", "  forget_checkpoints(gone)\n", ""),
    Mutant(
        "a claim that is handed over again has no checkpoint",
        "local saved = service and has.checkpoint and redis.call('HGET', checkpoint, id)\n",
        "local saved = false\n",
    ),
]
