"""Where this process finds its Redis: the server that the settings name, or the embedded one of the checkout."""

from dataclasses import dataclass
from pathlib import Path

from rota.server.embedded import EmbeddedServer, join
from rota.server.target import RedisTarget


@dataclass(frozen=True)
class Server:
    """The Redis of a process. `embedded` is the process's hold on the checkout's own server, if that is used."""

    target: RedisTarget
    embedded: EmbeddedServer | None = None

    @property
    def loneliness(self) -> str | None:
        """A sentence for who started the embedded server just now, where no worker is; None in any other case."""
        if self.embedded is None or not self.embedded.is_new:
            return None
        return (
            f"REDIS_URL is not set, so a server was started in {self.embedded.folder}, and no worker is there: jobs "
            "wait until one runs in the same project, and other projects do not see them"
        )

    def close(self) -> None:
        """Let go of the embedded server, if that is used."""
        if self.embedded is not None:
            self.embedded.close()


def locate(target: RedisTarget | None) -> Server:
    """Return the server at `target`; without one, start or join the embedded server of the checkout.

    Raises EmbeddedServerError.
    """
    if target is not None:
        return Server(target)
    embedded = join(checkout())
    return Server(RedisTarget.from_url(embedded.url), embedded)


def checkout() -> Path:
    """Return the root of the checkout that the process runs in: the nearest folder with a `pyproject.toml`.

    Without such a folder it is the working directory.
    """
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").exists()), here)
