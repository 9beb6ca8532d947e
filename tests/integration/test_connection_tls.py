"""TLS: the server's certificate and its name are checked, and what does not fit is said in a sentence."""

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from arq.connections import ArqRedis

from rota.server import clones, connections
from rota.server.target import RedisTarget
from rota.server.tls import Tls
from tests.certificates import make_authority, make_certificate
from tests.integration.strangers import Stranger
from tests.servers import RedisServer, free_port

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl, which makes the certificates, is not installed"
)


@dataclass(frozen=True)
class Certificates:
    ca: str
    server: str
    client: str
    stranger_ca: str


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("tls")
    ca, stranger = (make_authority(folder, name) for name in ("ca", "stranger_ca"))
    server, client = (make_certificate(folder, name, ca) for name in ("server", "client"))
    return Certificates(*map(str, (ca, server, client, stranger)))


@contextlib.asynccontextmanager
async def tls_before(
    server: RedisServer, certificates: Certificates, *, ask: bool = False
) -> AsyncIterator[int]:
    """Yield a port that speaks TLS in front of `server`, which may have been built without TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server)
    if ask:
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(hand_on(reader, back_writer), hand_on(back_reader, writer))

    port = free_port()
    gate = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    try:
        yield port
    finally:
        gate.close()


async def refused(target: RedisTarget) -> str:
    client = connections.async_client(target, socket_timeout=3)
    with pytest.raises(connections.ServerError) as caught:
        await connections.check_server(client)
    await client.aclose()
    return str(caught.value).replace(target.safe_url, "it")


async def test_both_kinds_of_client_speak_tls(server: RedisServer, certificates: Certificates) -> None:
    async with tls_before(server, certificates) as port:
        target = RedisTarget("localhost", port, tls=Tls(certificates.ca))
        async with connections.async_client(target) as client:
            assert (await connections.check_server(client)).is_valkey
            with await asyncio.to_thread(connections.clone(client)) as blocking:
                assert await asyncio.to_thread(blocking.ping)


async def test_a_certificate_and_its_key_may_be_in_one_file(
    server: RedisServer, certificates: Certificates
) -> None:
    async with tls_before(server, certificates, ask=True) as port:
        tls = Tls(certificates.ca, certfile=certificates.client)
        target = RedisTarget("localhost", port, tls=tls)
        async with connections.async_client(target) as client:
            assert await client.ping()
            with await asyncio.to_thread(connections.clone(client)) as blocking:
                assert await asyncio.to_thread(blocking.ping)


async def test_a_server_that_asks_for_a_certificate(server: RedisServer, certificates: Certificates) -> None:
    async with tls_before(server, certificates, ask=True) as port:
        sentence = await refused(RedisTarget("localhost", port, tls=Tls(certificates.ca)))
    assert "REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE" in sentence


async def test_a_certificate_of_an_authority_that_is_not_trusted(
    server: RedisServer, certificates: Certificates
) -> None:
    async with tls_before(server, certificates) as port:
        for tls in (Tls(), Tls(certificates.stranger_ca)):
            sentence = await refused(RedisTarget("localhost", port, tls=tls))
            assert sentence.startswith("it shows a certificate that cannot be trusted (")
            assert "set REDIS_SSL_CA_CERTS" in sentence


async def test_a_certificate_for_another_host(server: RedisServer, certificates: Certificates) -> None:
    async with tls_before(server, certificates) as port:
        sentence = await refused(RedisTarget("127.0.0.1", port, tls=Tls(certificates.ca)))
        assert "certificate that cannot be trusted (" in sentence
        assert "use the host name that it carries" in sentence
        unnamed = RedisTarget("127.0.0.1", port, tls=Tls(certificates.ca, check_hostname=False))
        async with connections.async_client(unnamed) as client:
            assert await client.ping()


async def test_an_unchecked_certificate(server: RedisServer, certificates: Certificates) -> None:
    async with tls_before(server, certificates) as port:
        tls = Tls(check_hostname=False, cert_reqs="none")
        async with connections.async_client(RedisTarget("127.0.0.1", port, tls=tls)) as client:
            assert await client.ping()


@pytest.mark.parametrize(
    ("answer", "start"),
    [
        (b"-ERR Protocol error\r\n", "it speaks no TLS: "),
        (b"", "it does not answer in time: if it speaks no TLS, "),
    ],
)
async def test_tls_towards_a_server_that_speaks_none(
    answer: bytes, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clones, "CONNECT_TIMEOUT", 1.0)
    async with Stranger(lambda command: answer) as stranger:
        sentence = await refused(RedisTarget("127.0.0.1", stranger.port, tls=Tls()))
    assert sentence == f"{start}write redis:// in REDIS_URL (or set REDIS_SSL=false)"


async def test_no_tls_towards_a_server_that_speaks_it(
    server: RedisServer, certificates: Certificates
) -> None:
    async with tls_before(server, certificates) as port:
        sentence = await refused(RedisTarget("localhost", port))
    assert "TLS" in sentence
    assert "write rediss:// in REDIS_URL (or set REDIS_SSL=true)" in sentence


async def test_a_certificate_file_that_is_not_there(server: RedisServer, tmp_path: Path) -> None:
    tls = Tls(str(tmp_path / "none.pem"))
    sentence = await refused(RedisTarget("127.0.0.1", server.port, tls=tls))
    assert sentence == "a certificate file for it is not there: correct the REDIS_SSL_ variables"


async def test_a_certificate_file_that_is_none(server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("no certificate")
    sentence = await refused(RedisTarget("127.0.0.1", server.port, tls=Tls(str(tmp_path / "none.pem"))))
    assert sentence.startswith("TLS with it fails (")
    assert sentence.endswith(": correct the REDIS_SSL_ variables")


async def test_a_users_pool_keeps_its_tls_when_rebuilt(
    server: RedisServer, certificates: Certificates
) -> None:
    async with tls_before(server, certificates) as port:
        theirs = ArqRedis(
            host="localhost", port=port, ssl=True, ssl_ca_certs=certificates.ca, ssl_check_hostname=True
        )
        async with connections.rebuild(theirs) as ours:
            assert await ours.ping()
        theirs = ArqRedis(
            host="127.0.0.1", port=port, ssl=True, ssl_ca_certs=certificates.ca, ssl_check_hostname=True
        )
        async with connections.rebuild(theirs) as ours:
            with pytest.raises(connections.ServerError, match="cannot be trusted"):
                await connections.check_server(ours)
