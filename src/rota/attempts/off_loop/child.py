"""A child process that runs handlers which would keep the event loop busy.

It reads one job at a time from a socket, runs it in its main thread, and writes back progress, checkpoints, log records
and the result, as `frames` says. It ignores the signals that stop a worker: systemd sends SIGTERM to every process of a
service, and the parent decides. The moment its socket closes it ends, whatever it is doing, with all that it has
started, so a parent that was killed leaves no orphans.
"""

import gc
import importlib
import json
import logging
import os
import queue
import signal
import socket
import struct
import threading
from typing import Any, NoReturn

from rota.attempts.off_loop.frames import LENGTHS, describe, frame
from rota.attempts.off_loop.stacks import tell_stack
from rota.errors import ResultTooLarge
from rota.model.headers import inherited
from rota.model.job import Job
from rota.model.run import Run, RunFacts, enter
from rota.names import full_name
from rota.process.signals import TO_STOP, ignore
from rota.telemetry.logs.belonging import Belonging
from rota.telemetry.logs.records import MOST_OF_BLOCK, Teller, adopt_structlog
from rota.wire.results import encode_error


def main(fd: int, stacks: int) -> None:
    """Serve the parent that passed the socket `fd`, until it goes away; `stacks` is where it reads where we are."""
    # What has been imported is there to stay.
    gc.freeze()
    gc.enable()
    ignore(*TO_STOP)
    tell_stack(stacks)
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    Child(sock).serve()


class Child:
    """The child's end of the socket, and the jobs that arrive there."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._write = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()

    def serve(self) -> None:
        """Run jobs until the parent goes away."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._send({"ready": os.getpid()})
        # What is logged goes to the parent, which has the handlers, and knows where a line begins.
        teller = Teller(self._send)
        teller.addFilter(Belonging())
        logging.getLogger().addHandler(teller)
        logging.captureWarnings(True)
        adopt_structlog()
        while True:
            head, body = self._jobs.get()
            try:
                self._send(*self._run(head, body))
            except OSError:
                end()

    def _listen(self) -> None:
        try:
            with self._sock.makefile("rb") as stream:
                while lengths := stream.read(LENGTHS.size):
                    head, body = LENGTHS.unpack(lengths)
                    self._jobs.put((json.loads(stream.read(head)), stream.read(body)))
        except (OSError, ValueError, struct.error):
            pass  # cut off in the middle of a frame: the same as its end
        end()

    def _run(self, head: dict[str, Any], arguments: bytes) -> tuple[dict[str, Any], bytes]:
        """Run one job; return the head and the body of the frame that ends it."""
        job: Job[Any, Any] | None = None
        try:
            logging.getLogger().setLevel(head["log_level"])
            job = find(head["module"], head["qualname"])
            run = Run(RunFacts(**head["run"]), report=self._report, keep=self._keep)
            enter(run)
            return {"result": True}, call(job, run, arguments, head["result_limit"])
        except BaseException as error:
            return describe(error, job), encode_error(error, most_of_trace=MOST_OF_BLOCK)

    def _report(self, percent: float, message: str) -> None:
        self._send({"percent": percent, "message": message})

    def _keep(self, state: bytes) -> None:
        self._send({"checkpoint": True}, state)

    def _send(self, head: dict[str, Any], body: bytes = b"") -> None:
        with self._write:
            self._sock.sendall(frame(head, body))


def end() -> NoReturn:
    """End this process, and what it has started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def find(module: str, qualname: str) -> Job[Any, Any]:
    """Import `module` and return its job `qualname`. Raises TypeError for something else."""
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    if not isinstance(found, Job):
        raise TypeError(f"{module}.{qualname} is not a job")
    return found


def call(job: Job[Any, Any], run: Run, arguments: bytes, result_limit: int | None) -> bytes:
    """Call the handler; return its result as JSON. Raises what it raises, InvalidResult, ResultTooLarge."""
    with inherited(run.headers):
        result = job.handler(run, **job.payload.parse([], json.loads(arguments)))
    raw = job.result.dump(result)
    if result_limit is not None and len(raw) > result_limit:
        raise ResultTooLarge(full_name(run.queue, job.name), len(raw), result_limit)
    return raw
