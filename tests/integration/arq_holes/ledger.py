"""What jobs did, written outside Redis; and the processes that wrote it."""

import contextlib
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import ROOT, environment, start
from tests.servers import RedisServer
from tests.waiting import until


@dataclass(frozen=True)
class Ledger:
    """A file of lines `word id try pid`."""

    path: Path

    def lines(self, word: str) -> list[list[str]]:
        """Return the lines that begin with `word`, split."""
        if not self.path.exists():
            return []
        rows = [line.split() for line in self.path.read_text().splitlines()]
        return [row for row in rows if row[0] == word]

    def count(self, word: str) -> Counter[str]:
        """Count how often each job wrote `word`."""
        return Counter(row[1] for row in self.lines(word))

    async def reaches(self, word: str, number: int) -> None:
        """Wait until `number` lines begin with `word`."""
        await until(lambda: len(self.lines(word)) >= number)


@contextlib.contextmanager
def process(
    kind: str, server: RedisServer, queue: str, ledger: Ledger, **options: float
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker process of `kind` while a block lasts, and kill it at the end if it still runs."""
    module = "tests.integration.arq_holes.worker_process"
    words = [f"{name}={value}" for name, value in options.items()]
    arguments = (kind, str(server.port), queue, str(ledger.path), *words)
    child = start(*arguments, module=module, cwd=ROOT, environment=environment(ROOT))
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.wait(20)


async def ended(child: subprocess.Popen[Any]) -> int:
    """Wait until the process has ended, and return its exit status."""
    await until(lambda: child.poll() is not None)
    return int(child.wait())
