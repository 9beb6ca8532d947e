"""A child process that runs handlers which would keep the event loop busy.

It reads one job at a time from a socket, runs it in its main thread, and writes back progress, checkpoints, what it
logs, and what it came to. It ignores SIGINT (a terminal sends that to everybody; the parent decides), and leaves the
moment its socket closes, whatever it is doing: a parent that was killed leaves no orphans. Payloads and results are
JSON; nothing is pickled.
"""

import importlib
import json
import logging
import os
import queue
import signal
import socket
import struct
import sys
import threading
from typing import Any

from rota.errors import Cancel, InvalidPayload, InvalidResult, ResultTooLarge, Retry, Snooze
from rota.model.headers import inherited
from rota.model.job import Job
from rota.model.run import Run
from rota.names import full_name
from rota.telemetry.logs.records import Teller, adopt_structlog
from rota.wire.envelopes import encode_error

#: Every frame begins with the lengths of its JSON head and of the bytes behind it.
LENGTHS = struct.Struct("!II")


def frame(head: dict[str, Any], body: bytes = b"") -> bytes:
    """One message: a small JSON head, and raw bytes (a payload, a result) that neither side re-encodes."""
    raw = json.dumps(head).encode()
    return LENGTHS.pack(len(raw), len(body)) + raw + body


class Child:
    """One child at the end of its socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._write = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()

    def serve(self) -> None:
        """Run jobs until the parent goes away."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._send({"ready": os.getpid()})
        # What is logged goes to the parent, which has the handlers, and knows where a line begins.
        logging.getLogger().addHandler(Teller(self._send))
        logging.captureWarnings(True)
        while True:
            head, body = self._jobs.get()
            try:
                self._send(*self._run(head, body))
            except OSError:
                os._exit(0)

    def _listen(self) -> None:
        try:
            with self._sock.makefile("rb") as stream:
                while lengths := stream.read(LENGTHS.size):
                    head, body = LENGTHS.unpack(lengths)
                    self._jobs.put((json.loads(stream.read(head)), stream.read(body)))
        except (OSError, ValueError, struct.error):
            pass  # cut off in the middle of a frame: the same as its end
        os._exit(0)

    def _send(self, head: dict[str, Any], body: bytes = b"") -> None:
        with self._write:
            self._sock.sendall(frame(head, body))

    def _run(self, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        job: Job[Any, Any] | None = None
        try:
            logging.getLogger().setLevel(head["log_level"])
            job = find(head["module"], head["qualname"])
            if "structlog" in sys.modules:
                adopt_structlog()
            run = self._make_run(head)
            with inherited(run.headers):
                result = job.handler(run, **job.payload.parse([], json.loads(body)))
            raw = job.result.dump(result)
            limit = head["result_limit"]
            if limit is not None and len(raw) > limit:
                raise ResultTooLarge(full_name(run.queue, job.name), len(raw), limit)
            return {"result": True}, raw
        except BaseException as error:
            return describe(error, job), encode_error(error)

    def _make_run(self, head: dict[str, Any]) -> Run:
        def report(percent: float, message: str) -> None:
            self._send({"percent": percent, "message": message})

        def keep(state: bytes) -> None:
            self._send({"checkpoint": True}, state)

        return Run(
            id=head["id"],
            job=head["job"],
            queue=head["queue"],
            attempt=head["attempt"],
            max_attempts=head["max_attempts"],
            enqueued_ms=head["enqueued_ms"],
            headers=head["headers"],
            waited=head["waited"],
            snoozes=head["snoozes"],
            report=report,
            last_checkpoint=head["last_checkpoint"],
            checkpoint_limit=head["checkpoint_limit"],
            keep=keep,
        )


def find(module: str, qualname: str) -> Job[Any, Any]:
    """The job that `module` holds under `qualname`; imports the module."""
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    if not isinstance(found, Job):
        raise TypeError(f"{module}.{qualname} is not a job")
    return found


def describe(error: BaseException, job: Job[Any, Any] | None) -> dict[str, Any]:
    """What the parent must know of `error` to judge it; its classes do not cross the pipe."""
    match error:
        case Retry():
            return {"signal": "retry", "delay": error.delay, "reason": error.reason}
        case Snooze():
            return {"signal": "snooze", "delay": error.delay}
        case Cancel():
            return {"signal": "cancel", "reason": error.reason}
        case InvalidPayload() | InvalidResult():
            return {"error": type(error).__name__, "job": error.job, "problems": error.problems}
        case ResultTooLarge():
            return {"error": "ResultTooLarge", "job": error.job, "size": error.size, "limit": error.limit}
    hopeless = job is not None and isinstance(error, job.give_up_on)
    wanted = job is None or job.retry_on is None or isinstance(error, job.retry_on)
    return {"error": "", "may_retry": wanted and not hopeless}


def main(fd: int) -> None:
    """Entry: `fd` is the socket that the parent passed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    Child(sock).serve()
