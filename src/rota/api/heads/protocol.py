"""The server's side of HTTP/1.1, stricter than the server's own class."""

from typing import Any

import httptools
from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from rota.api.heads.strict import malformed
from rota.api.problems import MEDIA_TYPE

#: The most bytes that may arrive, in a head or behind a body, without anything that comes of them.
LARGEST_HEAD = 64 * 1024


class StrictProtocol(HttpToolsProtocol):
    """One connection. What cannot be read as a request is answered with a problem, and no head grows without an end.

    A request that asks for another protocol than WebSocket, as some clients do for HTTP/2 each time, is answered in
    HTTP/1.1: the server's own class would drop its body.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        #: The bytes that have just arrived, and those of which nothing has come so far.
        self._arrived = self._silent = 0
        self._is_in_head = False

    def data_received(self, data: bytes) -> None:
        """Read what has arrived on the connection."""
        self._unset_keepalive_if_required()
        self._arrived = len(data)
        try:
            self._feed(memoryview(data))
        except httptools.HttpParserError:
            self._refuse("what was sent is not a request of HTTP/1.1, or its head is too long")
            return
        self._silent += self._arrived
        if self._silent > LARGEST_HEAD:
            self._refuse(
                f"the head of a request, and what is behind its body, has at most {LARGEST_HEAD} bytes"
            )

    def _feed(self, data: memoryview) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if self._should_upgrade():
                    self.handle_websocket_upgrade()
                    return
                self._stay()
                data = data[upgrade.args[0] :]

    def _stay(self) -> None:
        """Begin the request again, as if it had asked for no other protocol."""
        method = self.parser.get_method()
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(b"\r\n".join((*lines, b"", b"")))

    def _should_upgrade(self) -> bool:
        return self.parser.get_method() == b"GET" and super()._should_upgrade()

    @property
    def _is_to_stay(self) -> bool:
        return self.parser.should_upgrade() and not self._should_upgrade()

    def on_message_begin(self) -> None:
        """Begin a request; what comes first of it is its head."""
        self._is_in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header. One that stands behind the body is none, though the parser reads it as one."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the application answer, unless the request is to begin again."""
        self._is_in_head = False
        self._begin_to_count()
        if self.parser.get_method() == b"CONNECT":
            raise httptools.HttpParserInvalidMethodError
        if not self._is_to_stay:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on to the application."""
        self._begin_to_count()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Let the body end, unless the request is to begin again."""
        self._begin_to_count()
        if not self._is_to_stay:
            super().on_message_complete()

    def _begin_to_count(self) -> None:
        # Of what has just arrived, some bytes came to something, and none is counted.
        self._silent = -self._arrived

    def _refuse(self, why: str) -> None:
        if self._may_answer:
            body = to_json(malformed(why).body())
            head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[400] + head.encode() + body)
        self.transport.close()

    @property
    def _may_answer(self) -> bool:
        """Whether an answer would be taken for that to what is refused, and not to a request before it."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return True
        return cycle.more_body and not cycle.response_started and not self.pipeline
