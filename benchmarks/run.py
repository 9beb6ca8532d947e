"""The whole run: idle costs first, all systems side by side; the rounds, one system after the other; the dashboard."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Sequence

from benchmarks import dashboard, quiet, rounds
from benchmarks.sizes import Sizes
from benchmarks.systems import System

#: The values of each figure, one a round, by the system's key.
Measured = dict[str, dict[str, list[float]]]


async def run(systems: Sequence[System], sizes: Sizes, say: Callable[[str], object]) -> Measured:
    """Measure `systems`; `say` is told what happens. Raises what a failed measurement raises."""
    measured: Measured = {system.key: {} for system in systems}
    say(f"idle workers, for {sizes.quiet} s")
    await _quiet(systems, sizes, measured)
    for number in range(sizes.rounds):
        # Every other round runs backwards, so that changes of the machine's load do not favour one system.
        for system in systems if number % 2 == 0 else reversed(systems):
            say(f"round {number + 1} of {sizes.rounds}: {system.title}")
            gc.collect()
            note(measured, system.key, await rounds.measure(system, sizes))
    for system in systems:
        if system.own:
            say(f"the dashboard, {sizes.waiting:,} jobs waiting")
            note(measured, system.key, await dashboard.measure(system, sizes))
    return measured


async def _quiet(systems: Sequence[System], sizes: Sizes, measured: Measured) -> None:
    # Counts of commands do not depend on the machine's load, so these run at the same time.
    work: list[tuple[System, Coroutine[None, None, dict[str, float]]]] = []
    work += [(system, quiet.idle(system, sizes)) for system in systems]
    work += [(system, quiet.fleet(system, sizes)) for system in systems if system.fleet]
    async with asyncio.TaskGroup() as group:
        tasks = [(system, group.create_task(measurement)) for system, measurement in work]
    for system, task in tasks:
        note(measured, system.key, task.result())


def note(measured: Measured, key: str, figures: dict[str, float]) -> None:
    """Add the figures of one measurement to those of a system."""
    for name, value in figures.items():
        measured[key].setdefault(name, []).append(value)
