"""A fleet of worker processes, as a command that an autoscaler runs: `python scale.py FOLDER N`.

It starts what is missing, and stops by SIGTERM what is too much, as `docker compose up --scale` does; the processes are
files named by their ids in the folder, each with the time at which it was started.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def alive(pid: int) -> bool:
    """Tell whether a process runs and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def scale(folder: Path, workers: int) -> None:
    running = sorted(
        int(file.name) for file in folder.iterdir() if file.name.isdecimal() and alive(int(file.name))
    )
    for pid in running[workers:]:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in running[workers:]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(workers - len(running)):
        with (folder / "log").open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "rota", "worker"], stdout=log, stderr=log, start_new_session=True
            )
        (folder / str(child.pid)).write_text(str(time.time()), "utf-8")


if __name__ == "__main__":
    scale(Path(sys.argv[1]), int(sys.argv[2]))
