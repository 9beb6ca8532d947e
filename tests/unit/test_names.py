import os
import re
import threading
import time
from collections.abc import Iterator

import pytest

from rota import names
from rota.names import check_id, check_name, full_name, new_id, wire_id


@pytest.mark.parametrize("name", ["a", "email", "write_script", "x-2", "a" * 100])
def test_a_name_of_small_letters_digits_and_dashes_is_allowed(name: str) -> None:
    assert check_name("job", name) == name


@pytest.mark.parametrize(
    "name", ["", "Email", "2x", "_x", "-x", "a b", "a:b", "ä", "a\n", "a" * 101, None, 5]
)
def test_another_name_is_refused_with_the_rule(name: str) -> None:
    with pytest.raises(ValueError, match=r"queue name .* is not allowed: it starts with a small letter"):
        check_name("queue", name)


def test_a_full_name_is_queue_and_name() -> None:
    assert full_name("video", "paint") == "video:paint"


@pytest.mark.parametrize("user_id", ["7", "user 7", "é", "a:b/c#d", "日本", "x" * 200])
def test_a_users_id_carries_its_queue_on_the_wire(user_id: str) -> None:
    assert wire_id("email", user_id) == f"email:{user_id}"


@pytest.mark.parametrize(
    "user_id",
    [
        "",
        "x" * 201,
        " x",
        "x ",
        "a\nb",
        "a\x1b[31m",
        "a\u202eb",
        "a\u2066b",
        "a\u2028b",
        "a\u200fb",
        "\ud800",
        7,
    ],
)
def test_an_id_that_does_not_show_as_it_is_is_refused(user_id: str) -> None:
    with pytest.raises(ValueError, match=r"job id .* is not allowed") as caught:
        check_id(user_id)
    assert str(caught.value).replace("…", "").isprintable()


def test_an_id_begins_with_the_time_and_sorts_behind_those_of_uuid_version_seven() -> None:
    made = new_id()
    assert re.fullmatch("[0-9a-v]{20}", made)
    assert int(made[:9], 32) == pytest.approx(time.time() * 1000, abs=5_000)
    assert made > "01ffffffffff7fffbfffffffffffffff"


def test_ids_sort_in_the_order_they_were_made() -> None:
    made = [new_id() for _ in range(50_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {len(one) for one in made} == {20}


@pytest.fixture
def frozen_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    now = [1_700_000_000_000_000_000]
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    return now  # type: ignore[return-value]


def test_ids_sort_within_one_millisecond_and_when_the_clock_steps_back(frozen_clock: list[int]) -> None:
    ids = names._Ids()
    made = [ids.new() for _ in range(1_000)]
    frozen_clock[0] -= 60_000_000_000
    made += [ids.new() for _ in range(1_000)]
    frozen_clock[0] += 61_000_000_000
    made.append(ids.new())
    assert made == sorted(set(made))


def test_more_ids_than_one_millisecond_has_borrow_from_the_next(frozen_clock: list[int]) -> None:
    ids = names._Ids()
    made = [ids.new() for _ in range(40_000)]
    assert made == sorted(set(made))
    assert {int(one[:9], 32) for one in made} < set(range(1_700_000_000_000, 1_700_000_000_004))
    assert len({one[9:17] for one in made}) == 1


def test_ids_that_are_made_together_sort_among_those_made_alone(frozen_clock: list[int]) -> None:
    ids = names._Ids()
    made = [ids.new(), *ids.some(500), ids.new(), *ids.some(40_000), ids.new()]
    frozen_clock[0] += 60_000_000_000
    made += [*ids.some(3), ids.new()]
    assert made == sorted(set(made))
    assert len(made) == 40_507
    assert ids.some(0) == []


def test_two_processes_in_one_millisecond_make_different_ids(frozen_clock: list[int]) -> None:
    one, other = names._Ids(), names._Ids()
    assert not {one.new() for _ in range(1_000)} & {other.new() for _ in range(1_000)}


def test_threads_make_different_ids() -> None:
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.extend([new_id() for _ in range(5_000)])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 40_000


def test_a_forked_child_makes_ids_of_its_own(frozen_clock: list[int]) -> None:
    new_id()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 32).decode()
    os.close(read)
    os.close(write)
    assert theirs != new_id()
    assert len(theirs) == 20
