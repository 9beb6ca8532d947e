"""No spelling, no name and no answer leads a request to an address that is not public."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from rota.errors import FetchFailed, FetchRefused
from rota.model.webhooks.destinations import NOTHING, Allowed
from rota.process.outbound import guard
from rota.process.outbound.fetching import Answer, send
from tests.receivers import Receiver

HERE = Allowed.parse("127.0.0.0/8")
PUBLIC = "93.184.215.14"
#: What names have for addresses, one list for each time that they are asked for.
NAMES: dict[str, list[list[str]]] = {
    "public.test": [[PUBLIC]],
    "localhost": [["127.0.0.1", "::1"]],
    "here.test": [["127.0.0.1"]],
    "private.test": [["10.0.0.7"]],
    "mixed.test": [[PUBLIC, "192.168.0.10"]],
    "mixed6.test": [[PUBLIC, "fd12::1"]],
    "metadata.test": [["169.254.169.254"]],
    "nat64.test": [["64:ff9b::a9fe:a9fe"]],
    "nowhere.test": [[]],
    "rebinding.test": [[PUBLIC], ["127.0.0.1"]],
}
HOSTS = (
    # This machine, in the ways in which inet_aton, IPv6 and a URL let it be written.
    *(
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "127.8.9.10",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x7f.0x0.0x0.0x1",
    ),
    *("017700000001", "0177.0.0.1", "0177.0.0.01", "00000177.1", "0", "0.0.0.0", "0.1.2.3", "127.0.0.1."),
    *(
        "localhost",
        "LOCALHOST",
        "here.test",
        "127%2e0%2e0%2e1",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
        "%31%32%37.0.0.1",
    ),
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
    *("[0:0:0:0:0:ffff:7f00:0001]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]"),
    # Networks of a team.
    *(
        "10.0.0.1",
        "10.1",
        "172.16.0.1",
        "172.31.255.254",
        "192.168.1.1",
        "3232235777",
        "0xc0a80101",
        "100.64.0.1",
    ),
    *(
        "[fc00::1]",
        "[fd12:3456::1]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[::ffff:10.0.0.1]",
        "[::ffff:c0a8:101]",
    ),
    *("private.test", "mixed.test", "mixed6.test", "198.18.0.1", "192.0.0.8"),
    # What a cloud tells its machines.
    *(
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[fd00:ec2::254]",
    ),
    *("[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
    *("metadata.test", "nat64.test"),
    # Tunnels that carry an address of IPv4: 6to4, Teredo (of server and client), ISATAP, and NAT64 of one's own.
    *("[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2002:c0a8:101::1]", "[2001:0:7f00:1::f5ff:fffe]"),
    *(
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "[2001:0:4136:e378::f5ff:fffe]",
        "[2607:f8b0::5efe:10.0.0.1]",
    ),
    *("[2607:f8b0::200:5efe:7f00:1]", "[64:ff9b:1::a9fe:a9fe]"),
    # Neither public nor private.
    *(
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
    ),
    *(
        "192.88.99.1",
        "[ff02::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[100::1]",
        "[2001:10::1]",
        "[5f00::1]",
        "[4000::1]",
    ),
    *("nowhere.test", ""),
)
URLS = (
    *(f"https://{host}/" for host in HOSTS),
    *(
        "http://public.test/",
        "https://public.test:22/",
        "https://public.test:6379/",
        "http://public.test:8080/",
    ),
    *("https://public.test@127.0.0.1/", "https://127.0.0.1@public.test/", "https://user:secret@public.test/"),
    *(
        "https://public.test\\@127.0.0.1/",
        "https://public.test\t/",
        "https://public.test/\r\nX: y",
        "https:/\\here.test/",
    ),
    *(
        "ftp://public.test/",
        "file:///etc/passwd",
        "gopher://here.test:70/_x",
        "data:,x",
        "//here.test/",
        "here.test",
        "",
    ),
    *(
        "https:here.test",
        "https://[127.0.0.1]/",
        "https://[::1/",
        "https://public.test:port/",
        "https://public.test:99999/",
    ),
    "https://public.test/" + "x" * 3000,
)


class Wire:
    """The requests that come out of the guard: each request that was to be sent, in place of a connection."""

    def __init__(self) -> None:
        self.sent: list[httpx2.Request] = []
        self.questions: list[str] = []
        self.status, self.headers = 200, dict[str, str]()

    async def take(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(request)
        return httpx2.Response(self.status, headers=self.headers, stream=httpx2.ByteStream(b""))

    def look_up(self, host: Any, port: int, *_: Any, **__: Any) -> list[Any]:
        """Answer for the names of the test, and read what is written as a number; nobody else is asked."""
        name = (host.decode() if isinstance(host, bytes) else host).lower()
        if name not in NAMES:
            return list(LOOK_UP(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
        answers = NAMES[name]
        found = answers[min(self.questions.count(name), len(answers) - 1)]
        self.questions.append(name)
        return [(0, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


LOOK_UP = socket.getaddrinfo


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    wire = Wire()
    monkeypatch.setattr(socket, "getaddrinfo", wire.look_up)
    with monkeypatch.context() as patched:
        patched.setattr(
            httpx2.AsyncHTTPTransport, "handle_async_request", lambda _, request: wire.take(request)
        )
        yield wire


async def outcome(url: str, allowed: Allowed = NOTHING, **options: Any) -> Answer | type[Exception]:
    try:
        return await send("POST", url, allowed=allowed, **options)
    except (FetchRefused, FetchFailed) as error:
        return type(error)


async def test_no_spelling_of_an_address_that_is_not_public_is_connected_to(wire: Wire) -> None:
    assert len(HOSTS) >= 60
    for url in URLS:
        assert isinstance(await outcome(url), type), url
        assert wire.sent == [], url


async def test_a_public_host_is_connected_to_at_the_address_that_was_checked(wire: Wire) -> None:
    for url in ("https://public.test/hook?x=1", "https://PUBLIC.test:443/hook?x=1"):
        assert isinstance(await outcome(url), Answer)
        request = wire.sent.pop()
        assert (request.url.host, request.url.raw_path) == (PUBLIC, b"/hook?x=1")
        # The certificate is checked for the name, and the server is told the name.
        assert request.extensions["sni_hostname"] == "public.test"
        assert request.headers["host"] == "public.test"
    for host in (PUBLIC, "[2606:2800:21f:cb07::1]", "[64:ff9b::5db8:d70e]", "[2002:5db8:d70e::1]"):
        assert isinstance(await outcome(f"https://{host}/"), Answer), host


async def test_a_name_is_looked_up_once_so_that_its_next_address_does_not_count(wire: Wire) -> None:
    assert isinstance(await outcome("https://rebinding.test/"), Answer)
    assert [request.url.host for request in wire.sent] == [PUBLIC]
    assert wire.questions == ["rebinding.test"]
    assert await outcome("https://rebinding.test/") is FetchRefused
    assert len(wire.sent) == 1


async def test_a_redirect_is_an_answer_and_is_not_followed(wire: Wire) -> None:
    wire.status, wire.headers = 302, {"location": "https://169.254.169.254/latest"}
    answer = await outcome("https://public.test/")
    assert isinstance(answer, Answer)
    assert (answer.status, answer.is_success, len(wire.sent)) == (302, False, 1)


async def test_what_is_allowed_is_reached_and_nothing_beside_it(wire: Wire) -> None:
    named = Allowed.parse("*.test 10.0.0.0/24")
    for url in (
        "http://private.test:8080/",
        "http://here.test/",
        "http://10.0.0.7:9/",
        "http://[::ffff:10.0.0.7]:9/",
    ):
        assert isinstance(await outcome(url, named), Answer), url
    wire.sent.clear()
    # Neither another address of a network, nor the metadata of a cloud by a name.
    for url in (
        "http://10.0.1.7:9/",
        "http://metadata.test/",
        "http://nat64.test/",
        "http://nottest/",
        "http://127.1/",
    ):
        assert isinstance(await outcome(url, named), type), url
        assert wire.sent == [], url


async def test_real_connections_are_made_to_allowed_addresses_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as receiver, Receiver() as proxy:
        monkeypatch.setattr(socket, "getaddrinfo", Wire().look_up)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]"):
            for scheme in ("http", "https"):
                assert await outcome(f"{scheme}://{host}:{receiver.port}/") is FetchRefused
        assert (receiver.connections, proxy.connections) == (0, 0)
        answer = await outcome(
            f"http://here.test:{receiver.port}/hook", HERE, body=b"hello", headers={"X-One": "1"}
        )
    assert isinstance(answer, Answer)
    assert (answer.status, answer.json(), answer.text) == (200, {}, "{}")
    (request,) = receiver.requests
    assert (request.line, request.body) == ("POST /hook HTTP/1.1", b"hello")
    assert (request.headers["host"], request.headers["x-one"]) == (f"here.test:{receiver.port}", "1")
    assert proxy.connections == 0


async def test_the_next_address_is_tried_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NAMES, "two.test", [["127.0.0.2", "127.0.0.1"]])
    monkeypatch.setattr(socket, "getaddrinfo", Wire().look_up)
    async with Receiver() as receiver:
        assert isinstance(await outcome(f"http://two.test:{receiver.port}/", HERE), Answer)
    assert await outcome(f"http://two.test:{receiver.port}/", HERE) is FetchFailed


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl, which makes the certificate, is not installed"
)
async def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=secure.test"
    more = f"-addext subjectAltName=DNS:secure.test -keyout {key} -out {certificate}"
    subprocess.run([*made.split(), *more.split()], check=True, capture_output=True)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    trusted = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(guard, "trusted", lambda: trusted)
    for name in ("secure.test", "other.test"):
        monkeypatch.setitem(NAMES, name, [["127.0.0.1"]])
    monkeypatch.setattr(socket, "getaddrinfo", Wire().look_up)
    async with Receiver(tls=served) as receiver:
        assert isinstance(await outcome(f"https://secure.test:{receiver.port}/", HERE), Answer)
        for host in ("other.test", "127.0.0.1"):
            assert await outcome(f"https://{host}:{receiver.port}/", HERE) is FetchFailed
    assert len(receiver.requests) == 1


async def test_an_answer_is_bounded_in_time_and_size() -> None:
    async with Receiver(["silence", "200"], body=b"x" * 2000) as receiver:
        assert await outcome(receiver.url, HERE, timeout=0.05) is FetchFailed
        assert await outcome(receiver.url, HERE, most=1999) is FetchFailed
        assert isinstance(await outcome(receiver.url, HERE, most=2000), Answer)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        *(("120", 120.0), ("0", 0.0), ("9" * 30, 86_400.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)),
        *(("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0), ("soon", None), ("-5", None), ("", None), ("²", None)),
    ],
)
def test_the_time_that_an_answer_asks_for_is_read(said: str, seconds: float | None) -> None:
    assert Answer(429, {"retry-after": said}).retry_after == seconds
