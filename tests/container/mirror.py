"""Runs in a container: an index of packages over TLS, of which the second half of the alphabet needs a password.

python mirror.py FOLDER CERTIFICATE USER PASSWORD      prints each path that it answers
"""

import base64
import re
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER, CERTIFICATE, USER, PASSWORD = sys.argv[1:]
WANTED = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
WHEELS = {wheel.name: wheel for wheel in Path(FOLDER).glob("*.whl")}


def project_of(wheel: str) -> str:
    """Return the name of a wheel's project, as an index writes it."""
    return re.sub(r"[-_.]+", "-", wheel.split("-", maxsplit=1)[0]).lower()


class Mirror(BaseHTTPRequestHandler):
    """Answers `/simple/PROJECT/` and `/wheels/WHEEL`; below `/open` without a password, and nothing from n to z."""

    def do_GET(self) -> None:
        path = self.path.removeprefix("/open")
        if path == self.path and self.headers.get("Authorization") != WANTED:
            self._answer(401, b"")
            return
        *_, kind, name = path.rstrip("/").split("/")
        if (path == self.path) != (name.lower() >= "n"):
            self._answer(404, b"")
            return
        found = [wheel for wheel in WHEELS if project_of(wheel) == name]
        if kind == "simple" and found:
            page = "".join(f'<a href="../../wheels/{wheel}">{wheel}</a>' for wheel in found)
            self._answer(200, page.encode())
        elif kind == "wheels" and name in WHEELS:
            self._answer(200, WHEELS[name].read_bytes())
        else:
            self._answer(404, b"")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if status == 200:
            sys.stdout.write(self.path + "\n")
            sys.stdout.flush()

    def log_message(self, *_: object) -> None:
        """Write no line for each request on the other output."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", 443), Mirror)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
