"""The count of bytecode instructions: by function, exact, and of nothing that runs outside it."""

from benchmarks.counted import Count, Counted


def add_up(most: int) -> int:
    total = 0
    for number in range(most):
        total += number
    return total


def counted(*sizes: int) -> Counted:
    count = Count()
    add_up(1000)
    count.start()
    for size in sizes:
        add_up(size)
    seen = count.stop()
    add_up(1000)
    return next(one for one in seen if one.name == "add_up")


def test_instructions_are_counted_by_function() -> None:
    one, two, both = counted(3), counted(10), counted(3, 10)
    assert (one.calls, both.calls) == (1, 2)
    assert both.instructions == one.instructions + two.instructions
    # Each turn of the loop takes as many as the one before.
    assert (two.instructions - one.instructions) % 7 == 0
    assert two.instructions > one.instructions
    assert one.place == "template/test_counted.py"


def test_the_same_work_counts_the_same() -> None:
    assert len({counted(50).instructions for _ in range(5)}) == 1
