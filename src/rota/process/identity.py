"""Names that tell a process, or a worker in it, from all others on all machines."""

import os
import secrets
import socket


def unique_name() -> str:
    """Return the host's name, the process id and a few random digits. Two calls never return the same."""
    return f"{socket.gethostname()[:20]}-{os.getpid()}-{secrets.token_hex(3)}"
