"""The endpoint: what is answered, and that no client keeps another from it."""

import contextlib
import http.client
import logging
import socket
import time
from collections.abc import Iterator

import pytest

from rota.process import http as endpoint
from rota.process.http import CONNECTIONS, Endpoint, Reply


def broken(_: str) -> Reply:
    raise RuntimeError("no")


ROUTES = {
    "/metrics": lambda _: Reply(200, "text/plain; version=0.0.4", b"one 1\n"),
    "/healthz": lambda _: Reply(503, "application/json", b"{}"),
    "/queues/": lambda name: Reply(200, "text/plain", name.encode()),
    "/large": lambda _: Reply(200, "text/plain", b"x" * 20_000_000),
    "/broken": broken,
}


@pytest.fixture
def served() -> Iterator[Endpoint]:
    served = Endpoint(ROUTES, host="127.0.0.1", port=0)
    served.start()
    yield served
    served.stop()


def ask(served: Endpoint, path: str, method: str = "GET") -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)) as client:
        client.request(method, path)
        answer = client.getresponse()
        return answer.status, answer.read()


def opened(served: Endpoint, said: bytes = b"") -> socket.socket:
    """Return a client that has sent `said`, and sends no more by itself."""
    client = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    client.sendall(said)
    return client


# What is answered


def test_a_path_is_answered_by_its_route_whatever_the_query(served: Endpoint) -> None:
    assert ask(served, "/metrics") == (200, b"one 1\n")
    assert ask(served, "/metrics?name=a") == (200, b"one 1\n")
    assert ask(served, "/healthz") == (503, b"{}")


def test_a_route_of_a_folder_is_given_the_rest_of_the_path(served: Endpoint) -> None:
    assert ask(served, "/queues/email") == (200, b"email")
    assert ask(served, "/queues/email/more")[0] == 404


def test_a_path_that_there_is_not_is_told_what_there_is(served: Endpoint) -> None:
    status, body = ask(served, "/")
    assert status == 404
    assert b"/metrics\n" in body


def test_only_reading_is_allowed(served: Endpoint) -> None:
    assert ask(served, "/metrics", "POST")[0] == 405
    assert ask(served, "/metrics", "HEAD") == (200, b"")


def test_a_route_that_raises_is_logged_and_the_next_request_is_answered(
    served: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(served, "/broken")[0] == 500
    (record,) = (one for one in caplog.records if one.getMessage() == "endpoint.failed")
    assert vars(record)["path"] == "/broken"
    assert ask(served, "/metrics")[0] == 200


@pytest.mark.parametrize(
    "said",
    [b"hello\r\n\r\n", b"GET /metrics\r\n\r\n", b"\r\n\r\n", b"\x16\x03\x01 TLS HTTP\r\n\r\n", b"x" * 20_000],
    ids=["one word", "no version", "nothing", "TLS", "endless"],
)
def test_what_is_no_request_is_refused(served: Endpoint, said: bytes) -> None:
    with opened(served, said) as client:
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_request_may_come_in_pieces(served: Endpoint) -> None:
    with opened(served, b"GET /met") as client:
        time.sleep(0.05)
        client.sendall(b"rics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


# Clients that are slow, or many


def test_clients_that_send_nothing_do_not_delay_an_answer(served: Endpoint) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(50):
            stack.enter_context(opened(served, b"" if number % 2 else b"GET /metrics HTTP/1.1\r\nX: "))
        began = time.monotonic()
        assert ask(served, "/metrics") == (200, b"one 1\n")
        assert time.monotonic() - began < 1


def test_more_clients_than_there_are_places_take_those_of_the_oldest(served: Endpoint) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(opened(served)) for _ in range(CONNECTIONS + 20)]
        assert ask(served, "/metrics")[0] == 200
        assert clients[0].recv(1) == b"", "the oldest was put out"
        clients[-1].sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert clients[-1].recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_takes_nothing_does_not_delay_an_answer(served: Endpoint) -> None:
    with opened(served, b"GET /large HTTP/1.1\r\n\r\n"):
        time.sleep(0.05)
        assert ask(served, "/metrics")[0] == 200


def test_a_large_answer_arrives_whole(served: Endpoint) -> None:
    status, body = ask(served, "/large")
    assert (status, len(body)) == (200, 20_000_000)


def test_a_client_whose_time_is_up_is_put_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PATIENCE", 0.2)
    served = Endpoint(ROUTES, host="127.0.0.1", port=0)
    served.start()
    try:
        with opened(served, b"GET /") as client:
            assert client.recv(1) == b""
    finally:
        served.stop()


def test_clients_that_leave_in_the_midst_change_nothing(served: Endpoint) -> None:
    for said in (b"", b"GET /lar", b"GET /large HTTP/1.1\r\n\r\n"):
        for _ in range(20):
            opened(served, said).close()
    assert ask(served, "/metrics")[0] == 200


# Its place


def test_a_port_that_is_taken_moves_to_the_next_free_one_and_the_log_says_so(
    served: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    other = Endpoint(ROUTES, host="127.0.0.1", port=served.port)
    with caplog.at_level(logging.INFO, "rota.endpoint"):
        moved = other.start()
    try:
        assert moved > served.port
        assert ask(other, "/metrics")[0] == 200
    finally:
        other.stop()
    said = {record.getMessage(): vars(record) for record in caplog.records}
    assert (said["endpoint.port_taken"]["asked"], said["endpoint.port_taken"]["port"]) == (served.port, moved)
    assert said["endpoint.ready"]["port"] == moved


def test_it_leaves_its_port_when_it_is_stopped(served: Endpoint) -> None:
    with opened(served):
        served.stop()
    again = Endpoint(ROUTES, host="127.0.0.1", port=served.port)
    try:
        assert again.start() == served.port
    finally:
        again.stop()


def test_one_that_never_started_can_be_stopped() -> None:
    Endpoint(ROUTES, host="127.0.0.1", port=0).stop()
