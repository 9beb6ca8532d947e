"""Claims and settlements: what a worker reads of the step script, and what it tells it."""

import pytest

from rota.wire.claims import Claim, Settlement, SettlementKind, Told, decode_id, encode_id, hand_back, written

CLAIM = Claim("a", "w:0:1:1", b"{}", 1, 1000, 1500)
TOLD = Told("completed", "send", 1, b"1", record=b"{}", record_ms=5)


def test_a_completed_job_says_nothing_beside_what_every_settlement_says() -> None:
    settlement = Settlement.finished(CLAIM, TOLD)
    assert list(settlement.extras()) == []
    shape = ["finished", "completed", "send", 1, 5]
    assert written([settlement]) == [1, 1, *shape, b"a", "w:0:1:1", 1, b"1", b"{}"]


def test_what_settlements_have_in_common_is_written_once_and_extras_come_last() -> None:
    done, retried = Settlement.finished(CLAIM, TOLD), Settlement.again(CLAIM, 2)
    again = Settlement.finished(
        CLAIM._replace(id="b\udcff", token="t"), TOLD._replace(detail=b"2"), reason="gone"
    )
    shapes = ["finished", "completed", "send", 1, 5, "again", "", "", 0, 0]
    values = [b"a", "w:0:1:1", 1, b"1", b"{}", b"a", "w:0:1:1", 2, b"", b"", b"b\xff", "t", 1, b"2", b"{}"]
    extras = [2, "delay_ms", 2000, 3, "reason", "gone"]
    assert written([done, retried, again]) == [2, 3, *shapes, *values, *extras]
    assert written([]) == [0, 0]


@pytest.mark.parametrize(
    ("settlement", "kind", "extras"),
    [
        (Settlement.finished(CLAIM, reason="gone"), SettlementKind.FINISHED, {"reason": "gone"}),
        (Settlement.finished(CLAIM, mirror_ms=9), SettlementKind.FINISHED, {"mirror_ms": 9}),
        (Settlement.dead(CLAIM, "failed"), SettlementKind.DEAD, {"reason": "failed"}),
        (Settlement.again(CLAIM, None), SettlementKind.AGAIN, {}),
        (Settlement.again(CLAIM, 0), SettlementKind.AGAIN, {"delay_ms": 0}),
        (hand_back(CLAIM), SettlementKind.AGAIN, {"unspent": 1}),
        (hand_back(CLAIM, 2.5), SettlementKind.AGAIN, {"unspent": 1, "delay_ms": 2500}),
        (
            Settlement.again(CLAIM, 5, unspent=True, unknown=True),
            SettlementKind.AGAIN,
            {"unspent": 1, "unknown": 1, "delay_ms": 5000},
        ),
        (Settlement.again(CLAIM, None, terms="p=5"), SettlementKind.AGAIN, {"terms": "p=5"}),
        (
            hand_back(CLAIM)._replace(checkpoint=b"1 2"),
            SettlementKind.AGAIN,
            {"unspent": 1, "checkpoint": b"1 2"},
        ),
    ],
)
def test_what_only_some_settlements_say_is_sent_by_its_name(
    settlement: Settlement, kind: SettlementKind, extras: dict[str, object]
) -> None:
    assert settlement.kind is kind
    assert dict(settlement.extras()) == extras


def test_what_utf_8_cannot_carry_is_escaped() -> None:
    settlement = Settlement.dead(CLAIM, "\ud800", Told(task="\ud800"))
    assert dict(settlement.extras()) == {"reason": b"\\ud800"}
    assert b"\\ud800" in written([settlement])


def test_an_id_that_is_not_utf_8_survives() -> None:
    assert encode_id(decode_id(b"\xff a")) == b"\xff a"


@pytest.mark.parametrize(
    ("entry", "token", "times", "unreadable"),
    [
        (b"w:0:1:1 1000 1500 0 0", "w:0:1:1", (1000, 1500, 0, 0), ""),
        (b"w:0:1:1 1e3 1500 2 1400", "w:0:1:1", (1000, 1500, 2, 1400), ""),
        (b"w:0:1:1 inf 1500 2 0", "w:0:1:1", (0, 1500, 2, 0), ""),
        (b"w:0:1:1 soon 1500 2 0", "w:0:1:1", (0, 1500, 2, 0), ""),
        (b"w:0:1:1 1000 then 2 0", "w:0:1:1", (0, 0, 0, 0), "run entry"),
        (b"w:0:1:1 1000 1500 2", "w:0:1:1", (0, 0, 0, 0), "run entry"),
        (b"w:0:1:1 1000 1500 2 0 0", "w:0:1:1", (0, 0, 0, 0), "run entry"),
        (b"w:0:1:1 \xff", "w:0:1:1", (0, 0, 0, 0), "run entry"),
        (b"w", "w", (0, 0, 0, 0), "run entry"),
        (b"", "", (0, 0, 0, 0), "run entry"),
    ],
)
def test_a_run_entry_is_read_as_far_as_it_can_be(
    entry: bytes, token: str, times: tuple[int, ...], unreadable: str
) -> None:
    claim = Claim.read([b"a", entry, b"{}", 1])
    assert (claim.token, claim.unreadable) == (token, unreadable)
    assert (claim.due_ms, claim.started_ms, claim.lost, claim.unknown_since_ms) == times
