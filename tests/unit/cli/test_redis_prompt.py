"""What `rota redis-cli` prints, for replies of a real server."""

import io
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from rota.cli import redis_prompt
from rota.server import embedded
from rota.server.faults import ServerError
from rota.server.target import RedisTarget

BINARY = "return string.char(0, 255, 10, 9, 34, 92) .. 'é'"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded.join(tmp_path_factory.mktemp("p")) as server:
        yield server.url


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        client.set("word", "two words")
        client.rpush("list", "a", "b")
        client.xadd("stream", {"field": "a"}, id="1-1")
        client.xadd("stream", {"field": "b"}, id="2-1")
        yield client


@pytest.fixture
def target(client: redis.Redis, url: str) -> RedisTarget:
    """Return the server, with what `client` has put there."""
    return RedisTarget.from_url(url)


def printed(capsysbinary: pytest.CaptureFixture[bytes]) -> str:
    return capsysbinary.readouterr().out.decode()


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("PING", "PONG"),
        ("SET k v", "OK"),
        ("INCR n", "(integer) 1"),
        ("GET word", '"two words"'),
        ("GET nothing", "(nil)"),
        ("LRANGE list 0 -1", '1) "a"\n2) "b"'),
        ("LRANGE nothing 0 -1", "(empty array)"),
        (
            "XRANGE stream - +",
            '1) 1) "1-1"\n   2) 1) "field"\n      2) "a"\n2) 1) "2-1"\n   2) 1) "field"\n      2) "b"',
        ),
    ],
)
def test_a_reply_is_shown_to_people_as_redis_cli_shows_it(
    target: RedisTarget, capsysbinary: pytest.CaptureFixture[bytes], command: str, shown: str
) -> None:
    assert redis_prompt.run(target, ["--no-raw", *command.split()]) == 0
    assert printed(capsysbinary) == f"{shown}\n"


def test_statuses_errors_and_nothing_inside_an_array_keep_their_kind(
    target: RedisTarget, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    script = "return {{ok='FINE'}, {err='ERR no'}, false, {}, 7, 'FINE'}"
    assert redis_prompt.run(target, ["--no-raw", "EVAL", script, "0"]) == 0
    assert printed(capsysbinary).splitlines() == [
        "1) FINE",
        "2) (error) ERR no",
        "3) (nil)",
        "4) (empty array)",
        "5) (integer) 7",
        '6) "FINE"',
    ]


def test_the_numbers_of_a_long_array_are_aligned(
    target: RedisTarget, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    redis_prompt.run(target, ["--no-raw", "EVAL", "return {1,2,3,4,5,6,7,8,9,{10,11}}", "0"])
    lines = printed(capsysbinary).splitlines()
    assert lines[8:] == [" 9) (integer) 9", "10) 1) (integer) 10", "    2) (integer) 11"]


def test_bytes_that_do_not_print_are_escaped_for_people(
    target: RedisTarget, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    redis_prompt.run(target, ["--no-raw", "EVAL", BINARY, "0"])
    assert printed(capsysbinary) == r'"\x00\xff\n\t\"\\\xc3\xa9"' + "\n"


def test_a_reply_goes_unchanged_to_what_is_not_a_terminal(
    target: RedisTarget, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    redis_prompt.run(target, ["EVAL", BINARY, "0"])
    assert capsysbinary.readouterr().out == b'\x00\xff\n\t"\\\xc3\xa9\n'


@pytest.mark.parametrize(
    ("command", "plain"),
    [
        ("INCR n", "1"),
        ("GET nothing", ""),
        ("LRANGE list 0 -1", "a\nb"),
        ("XRANGE stream - 1-1", "1-1\nfield\na"),
    ],
)
def test_a_reply_is_plain_where_there_is_no_terminal(
    target: RedisTarget, capsysbinary: pytest.CaptureFixture[bytes], command: str, plain: str
) -> None:
    assert redis_prompt.run(target, command.split()) == 0
    assert printed(capsysbinary) == f"{plain}\n"


def test_a_page_of_text_is_shown_as_it_is(
    target: RedisTarget, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    redis_prompt.run(target, ["--no-raw", "INFO", "keyspace"])
    assert printed(capsysbinary).startswith("# Keyspace\r\ndb0:keys=3")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("INCR list", "(error) WRONGTYPE "),
        ("NOSUCH", "(error) ERR unknown command"),
        ("CLIENT LIST BAD", "(error) ERR syntax"),
    ],
)
def test_an_error_is_shown_and_counts_as_a_failure(
    target: RedisTarget, capsysbinary: pytest.CaptureFixture[bytes], command: str, shown: str
) -> None:
    assert redis_prompt.run(target, ["--no-raw", *command.split()]) == 1
    assert printed(capsysbinary).startswith(shown)


def test_an_argument_that_is_not_text_arrives_as_its_bytes(target: RedisTarget, client: redis.Redis) -> None:
    redis_prompt.run(target, ["SET", "bytes", os.fsdecode(b"\xff\x00")])
    assert client.get("bytes") == b"\xff\x00"


@pytest.mark.parametrize("words", [["PING"], []], ids=["a command", "the prompt"])
def test_a_server_that_is_not_there_is_one_sentence(
    words: list[str], capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    with pytest.raises(ServerError, match=r"^unix:///nowhere/sock\?db=0 is not listening: start it"):
        redis_prompt.run(RedisTarget(path="/nowhere/sock"), words)
    assert printed(capsysbinary) == ""


def test_the_prompt_outlives_a_server_that_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    with embedded.join(tmp_path) as server:
        target = RedisTarget.from_url(server.url)
        lost, away = converse(target, monkeypatch, capsysbinary, "shutdown nosave", "ping")
    assert lost == "(error) the server closed the connection"
    assert away.startswith(f"(error) {target} is not listening")


def converse(
    target: RedisTarget, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[bytes], *lines: str
) -> list[str]:
    """Return what the prompt prints when these lines are its input."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    assert redis_prompt.run(target, ["--no-raw"]) == 0
    return printed(capture).splitlines()


def test_the_prompt_runs_each_line_until_its_input_ends(
    target: RedisTarget, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    lines = ("set greeting 'hello there'", "", 'append greeting ", you"', "get greeting")
    assert converse(target, monkeypatch, capsysbinary, *lines) == ["OK", "(integer) 16", '"hello there, you"']


@pytest.mark.parametrize("word", ["quit", "EXIT"])
def test_the_prompt_leaves_when_told(
    target: RedisTarget,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    word: str,
) -> None:
    assert converse(target, monkeypatch, capsysbinary, "ping", word, "ping") == ["PONG"]


def test_errors_do_not_end_the_prompt(
    target: RedisTarget, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    shown = converse(target, monkeypatch, capsysbinary, "incr list", "get 'open", "ping")
    assert shown[0].startswith("(error) WRONGTYPE")
    assert shown[1:] == ["(error) a quote is not closed", "PONG"]


def test_the_prompt_connects_again_after_the_connection_was_lost(
    target: RedisTarget, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    shown = converse(
        target, monkeypatch, capsysbinary, "client kill type normal skipme no", "get word", "ping"
    )
    assert shown[-1] == "PONG"
    assert any(line.startswith("(error)") for line in shown)


def test_a_connection_that_is_reset_is_one_sentence(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as thread:
        resetting = thread.submit(reset_after, b"BLPOP", listening)
        target = RedisTarget(port=listening.getsockname()[1])
        assert redis_prompt.run(target, ["BLPOP", "list", "0"]) == 1
        resetting.result(10)
    assert printed(capsysbinary) == "(error) the server closed the connection\n"


def reset_after(word: bytes, listening: socket.socket) -> None:
    """Answer one connection's commands as Redis does until one has `word` in it, and then reset the connection."""
    connection, _ = listening.accept()
    with connection:
        while word not in (said := connection.recv(4096)):
            assert said, "the connection ended before"
            connection.sendall((b"+PONG\r\n" if b"PING" in said else b"+OK\r\n") * said.count(b"*"))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_the_prompt_keeps_one_connection(
    target: RedisTarget, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    shown = converse(target, monkeypatch, capsysbinary, "multi", "incr n", "exec")
    assert shown == ["OK", "QUEUED", "1) (integer) 1"]


def command_line(url: str, *words: str) -> list[str]:
    program = "import sys; from rota.cli import redis_prompt; from rota.server.target import RedisTarget; "
    program += "sys.exit(redis_prompt.run(RedisTarget.from_url(sys.argv[1]), sys.argv[2:]))"
    return [sys.executable, "-c", program, url, *words]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(redis_prompt.__file__).parents[2]), "TERM": "dumb"}


def test_a_terminal_gets_a_prompt_and_replies_for_people(url: str) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(command_line(url), stdin=theirs, stdout=theirs, env=ENVIRONMENT) as process:
        os.close(theirs)
        os.write(ours, b"set terminal yes\nget terminal\nquit\n")
        seen = b""
        while b'"yes"' not in seen:
            seen += os.read(ours, 1000)
        assert b"redis> " in seen
        assert process.wait() == 0
    os.close(ours)


def test_a_subscription_is_shown_until_ctrl_c(url: str, client: redis.Redis) -> None:
    with subprocess.Popen(
        command_line(url, "SUBSCRIBE", "news"), stdout=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == [b"subscribe\n", b"news\n", b"1\n"]
        client.publish("news", "hello")
        assert [process.stdout.readline() for _ in range(3)] == [b"message\n", b"news\n", b"hello\n"]
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
