"""What signing and encrypting cost a job of 1 KiB: `python -m benchmarks.sealing`.

Each figure is the best of some rounds, in µs, and all are of one run: what counts is how they compare to the payload
and the record themselves, which are written and read in any case.
"""

import timeit
from collections.abc import Callable

from rota.wire.envelopes import encode_job, open_job
from rota.wire.results import decode_result, encode_result
from rota.wire.sealing.ring import Ring, new_key
from rota.wire.sealing.sealed import seal_job, seal_record, unseal_job, unseal_record
from rota.wire.sealing.seals import Sealer

ROUNDS, TIMES = 9, 5_000
#: With its envelope the payload has 1024 bytes.
TEXT = b'{"to":"%b"}' % (b"x" * 958)
ID = "0123456789abcdef0123456789abcdef"
WHERE = {"queue": "email", "job_id": ID}


def payload() -> bytes:
    """Write the payload of a job with 1 KiB of arguments."""
    return encode_job("send", TEXT, enqueued_ms=1_700_000_000_000)


def record() -> bytes:
    """Write the record of a job that was completed, with its arguments."""
    return encode_result(
        attempt=1,
        name="send",
        arguments=TEXT,
        enqueued_ms=1_700_000_000_000,
        success=True,
        result=b'"sent"',
        started_ms=1_700_000_000_001,
        finished_ms=1_700_000_000_002,
        queue="arq:queue:email",
        id=ID,
    )


def micros(act: Callable[[], object]) -> float:
    """Return the time of one call, in µs: that of the best round."""
    return min(timeit.repeat(act, number=TIMES, repeat=ROUNDS)) / TIMES * 1e6


def costs(sealer: Sealer) -> tuple[float, float, float, float]:
    """Return what a seal adds: to the enqueue, to the worker's begin and end, and to who reads the result."""
    raw, kept = payload(), record()
    sealed, sealed_record = seal_job(sealer, raw, **WHERE), seal_record(sealer, kept, **WHERE)
    return (
        micros(lambda: seal_job(sealer, raw, **WHERE)),
        micros(lambda: unseal_job(sealer, sealed, **WHERE)),
        micros(lambda: seal_record(sealer, kept, **WHERE)),
        micros(lambda: unseal_record(sealer, sealed_record, **WHERE)),
    )


def main() -> None:
    raw, kept = payload(), record()
    plain = (
        micros(payload),
        micros(lambda: open_job(raw)),
        micros(record),
        micros(lambda: decode_result(kept)),
    )
    ring = Ring.read(new_key("k"))
    rows = {
        "itself": plain,
        "signing adds": costs(Sealer(ring, signs=True)),
        "with encryption": costs(Sealer(ring, signs=True, encrypts=True)),
    }
    print(
        f"{'µs, of ' + str(len(raw)) + ' bytes':<18}{'enqueue':>9}{'open':>9}{'record':>9}{'read it':>9}{'all':>9}"
    )
    for name, row in rows.items():
        print(f"{name:<18}" + "".join(f"{one:>9.1f}" for one in (*row, sum(row))))


if __name__ == "__main__":
    main()
