"""What HTTP does not allow, sent to the API behind its own server: a problem is the answer, and nothing is done."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from rota import Run, job
from rota.api.heads.protocol import LARGEST_HEAD
from tests.integration.api.serving import Api, answering, listening
from tests.servers import RedisServer
from tests.waiting import until

PAYLOAD = b'{"payload": {"text": "hi"}}'
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PAYLOAD), PAYLOAD)
LENGTH = f"Content-Length: {len(PAYLOAD)}"
OTHER_PROTOCOL = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
#: What nobody can read as a request: the headers of a POST with `PAYLOAD`, by what is wrong with it.
UNREADABLE = {
    "two lengths": (LENGTH, "Content-Length: 5"),
    "one length twice": (LENGTH, LENGTH),
    "a list of lengths": (f"{LENGTH}, {len(PAYLOAD)}",),
    "a length with a plus": (f"Content-Length: +{len(PAYLOAD)}",),
    "a length below nothing": ("Content-Length: -1",),
    "a length without a number": ("Content-Length: ",),
    "a length beyond all numbers": ("Content-Length: 99999999999999999999999",),
    "a length, and chunks": (LENGTH, "Transfer-Encoding: chunked"),
    "no chunk where one is to be": ("Transfer-Encoding: chunked",),
    "NUL in a header": (LENGTH, "X-Note: a\0b"),
    "a bare CR in a header": (LENGTH, "X-Note: a\rb"),
    "a folded header": (LENGTH, "X-Note: a\r\n b"),
    "a blank behind a header's name": (LENGTH, "X-Note : a"),
}
#: Headers that one reader may take for another than the next one does.
TWICE = (
    "Authorization: Bearer x",
    "Content-Type: application/json",
    "Idempotency-Key: k",
    "Last-Event-ID: 0-0",
)


@job
async def say(run: Run, text: str = "nothing") -> str:
    return text


class Answer(NamedTuple):
    status: int
    headers: bytes
    body: bytes

    @property
    def problem(self) -> str:
        """The kind of the problem that it is."""
        assert b"\r\ncontent-type: application/problem+json" in self.headers, self
        found = json.loads(self.body)
        assert found["status"] == self.status
        return str(found["type"]).removeprefix("urn:rota:problem:")


class Line:
    """A connection to the API, on which anything may be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *parts: bytes) -> None:
        self._writer.write(b"".join(parts))

    async def answer(self) -> Answer:
        async with asyncio.timeout(10):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            return Answer(int(head.split()[1]), head, await self._reader.readexactly(int(length or 0)))

    async def is_closed(self) -> bool:
        async with asyncio.timeout(10):
            return await self._reader.read(1) == b""


@contextlib.asynccontextmanager
async def line(api: Api) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.http.base_url.port)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


async def asked(
    api: Api, method: str, path: str, *headers: str, body: bytes = b"", host: bool = True
) -> Answer:
    """Send a request on a connection of its own, and return the answer."""
    async with line(api) as found:
        found.send(head_of(method, path, *headers, host=host), body)
        return await found.answer()


def head_of(method: str, path: str, *headers: str, host: bool = True) -> bytes:
    lines = (f"{method} {path} HTTP/1.1", *(("Host: localhost",) if host else ()), *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")


@pytest.fixture
async def api(server: RedisServer) -> AsyncIterator[Api]:
    async with listening(server.url, say) as found:
        yield found


async def enqueued(api: Api) -> bool:
    return bool(await api.client.redis.exists("rota:events"))


async def test_what_is_no_request_is_refused_and_its_connection_closed(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    for wrong, headers in UNREADABLE.items():
        async with line(api) as found:
            found.send(head_of("POST", "/jobs/say", *headers), PAYLOAD)
            answer = await found.answer()
            assert (answer.status, answer.problem) == (400, "malformed"), wrong
            assert await found.is_closed(), wrong
    for begin in (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET me HTTP/1.1\r\n",
        b"GET /\xff HTTP/1.1\r\n",
        b"CONNECT a:80 HTTP/1.1\r\n",
    ):
        async with line(api) as found:
            found.send(begin, b"Host: localhost\r\n\r\n")
            assert (await found.answer()).problem == "malformed", begin
    assert not await enqueued(api)
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR], "the API has not failed"


async def test_what_two_readers_may_read_in_two_ways_is_refused(api: Api) -> None:
    cases = {
        **{header: ("/jobs/say", (header, header)) for header in TWICE},
        "two hosts": ("/jobs/say", ("Host: evil.example",)),
        "a path that is not UTF-8": ("/jobs/say%ff", ()),
        "a surrogate in the path": ("/jobs/%ed%a0%80", ()),
        "a query that is not UTF-8": ("/jobs/say?ticket=%ff", ()),
    }
    for wrong, (path, headers) in cases.items():
        answer = await asked(api, "POST", path, *headers, LENGTH, body=PAYLOAD)
        assert (answer.status, answer.problem) == (400, "malformed"), wrong
    answer = await asked(api, "POST", "/jobs/say", "Transfer-Encoding: gzip, chunked", body=CHUNKED)
    assert (answer.status, answer.problem) == (400, "malformed"), "nobody undoes this encoding"
    assert (await asked(api, "GET", "/healthz", host=False)).problem == "malformed"
    answer = await asked(api, "GET", "/ws", "Authorization: Bearer a", "Authorization: Bearer b", *HANDSHAKE)
    assert (answer.status, answer.problem) == (400, "malformed")
    assert not await enqueued(api)


async def test_a_mounted_api_refuses_the_same_behind_any_server(server: RedisServer) -> None:
    async with answering(server.url, say, works=False) as api:
        for path, headers in (("/me", [("Authorization", "Bearer x")] * 2), ("/jobs/default/%ff", [])):
            answer = await api.http.get(path, headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (400, "urn:rota:problem:malformed")


async def test_of_two_parameters_none_is_taken(server: RedisServer) -> None:
    async with answering(server.url, say, works=False) as api:
        for path in (
            "/jobs?state=waiting&queue=default&queue=mail",
            "/events?after=0-0&after=x",
            "/me?a=1&a=1",
        ):
            answer = await api.http.get(path)
            assert (answer.status_code, answer.json()["type"]) == (422, "urn:rota:problem:invalid-query"), (
                path
            )
        answer = await api.http.post("/jobs/say?ticket=a&ticket=b", json={})
        assert answer.json()["errors"] == [{"parameter": "ticket", "detail": "is there twice"}]


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /jobs?cursor=",
        b"GET /jobs HTTP/1.1\r\nX-Note: ",
        head_of("POST", "/jobs/say", "Transfer-Encoding: chunked") + b"1;x=",
        head_of("POST", "/jobs/say", "Transfer-Encoding: chunked") + CHUNKED[:-2] + b"X-Note: ",
    ],
)
@pytest.mark.parametrize("piece", [b"a" * (LARGEST_HEAD // 4), b"a: b\r\nb" * (LARGEST_HEAD // 32)])
async def test_a_head_and_what_is_behind_a_body_have_an_end(api: Api, begin: bytes, piece: bytes) -> None:
    sent = 0
    async with line(api) as found:
        found.send(begin)
        waiting = asyncio.create_task(found.answer())
        while not waiting.done() and sent < 20 * LARGEST_HEAD:
            found.send(piece)
            sent += len(piece)
            await asyncio.wait((waiting,), timeout=0.05)
        answer = await waiting
    assert (answer.status, answer.problem) == (400, "malformed")


async def test_what_stands_behind_a_body_is_no_header(api: Api) -> None:
    trailers = b"Authorization: Bearer x\r\nHost: evil.example\r\nIdempotency-Key: k\r\n\r\n"
    for _ in range(2):
        answer = await asked(
            api, "POST", "/jobs/say", "Transfer-Encoding: chunked", body=CHUNKED[:-2] + trailers
        )
        assert answer.status == 202
        assert b"idempotent-replayed" not in answer.headers


async def test_who_leaves_amid_a_body_is_no_bug(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    async with line(api) as found:
        found.send(head_of("POST", "/jobs/say", LENGTH, "Expect: 100-continue"))
        assert await found._reader.readline() == b"HTTP/1.1 100 Continue\r\n", "the body is waited for"
    assert (await api.http.get("/healthz")).status_code == 200
    await until(
        lambda: not any("enqueue" in str(task) for task in asyncio.all_tasks()), "the request has ended"
    )
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


async def test_a_request_that_may_go_on_in_another_protocol_keeps_its_body(api: Api) -> None:
    for headers, body in (((LENGTH,), PAYLOAD), (("Transfer-Encoding: chunked",), CHUNKED)):
        async with line(api) as found:
            head = head_of(
                "POST", "/jobs/say", *OTHER_PROTOCOL, *headers, "Prefer: respond-async", "Prefer: wait=10"
            )
            found.send(head, body[:7])
            await asyncio.sleep(0.05)  # so that the server reads the rest by itself
            found.send(body[7:], head_of("GET", "/healthz", *OTHER_PROTOCOL))
            answer = await found.answer()
            assert (answer.status, json.loads(answer.body)["result"]) == (200, "hi")
            assert (await found.answer()).status == 200, "and what comes behind it is the next request"
    answer = await asked(api, "POST", "/ws", *HANDSHAKE, LENGTH, body=PAYLOAD)
    assert (answer.status, answer.problem) == (405, "not-allowed")
