"""The user's command that scales a fleet: run as it is written, with the number in place of `{n}`, without a shell."""

import asyncio
import contextlib
import os
import shlex
import signal
import tempfile
from typing import IO

from rota.settings.load import ConfigError, Settings

#: A command's output is logged up to this many bytes, from its end.
_OUTPUT = 2000


def command_of(settings: Settings) -> list[str]:
    """Return the command's words; none in a dry run without a command. Raises ConfigError for one that cannot work."""
    text = settings.autoscaler_command
    if text is None:
        if settings.autoscaler_dry_run:
            return []
        raise ConfigError(
            [
                "AUTOSCALER_COMMAND is not set; give the command that makes it {n} workers, or AUTOSCALER_DRY_RUN=true"
            ]
        )
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError([f"AUTOSCALER_COMMAND cannot be taken apart: {error}"]) from None
    if "{n}" not in text:
        raise ConfigError(["AUTOSCALER_COMMAND has no {n}, where the number of workers is to stand"])
    return words


async def run_command(command: list[str], timeout: float) -> tuple[int | str, str]:
    """Run a command; return its exit status, or why it has none, and the end of its output.

    A command that still runs after `timeout` seconds, or when this is cancelled, is told to end, with its children.
    """
    # A file and not a pipe: a child that goes on in the background could keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        try:
            process = await _start(command, output)
        except OSError as error:
            return "not started", str(error)
        status = await _ended(process, timeout)
        output.seek(max(0, output.seek(0, os.SEEK_END) - _OUTPUT))
        return status, output.read().decode("utf-8", "replace").strip()


async def _start(command: list[str], output: IO[bytes]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )


async def _ended(process: asyncio.subprocess.Process, timeout: float) -> int | str:
    try:
        async with asyncio.timeout(timeout):
            return await process.wait()
    except TimeoutError:
        return "not in time"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
