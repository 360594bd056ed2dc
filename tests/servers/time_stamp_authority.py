"""A real time-stamp authority (RFC 3161): `openssl ts` behind a web server of this machine."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

CONFIGURATION = """
[tsa]
dir = {folder}
serial = $dir/serial
signer_cert = $dir/tsa.pem
certs = $dir/root.pem
signer_key = $dir/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
clock_precision_digits = 3
ess_cert_id_alg = sha256
[extension]
extendedKeyUsage = critical,timeStamping
"""


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path) -> None:
    folder.mkdir()
    (folder / "openssl.cnf").write_text(CONFIGURATION.format(folder=folder))
    (folder / "serial").write_text("01\n")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(
        folder, "req", "-x509", *curve, "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=Root", "-days", "3650"
    )
    openssl(folder, "req", *curve, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=TSA")
    openssl(
        folder, "x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "3650",
        "-extfile", "openssl.cnf", "-extensions", "extension", "-out", "tsa.pem",
    )  # fmt: skip


class Authority(HTTPServer):
    """Answers each request with what `openssl ts` makes of it, or with `answer`."""

    answer: bytes | None = None
    asked = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder


class Handler(BaseHTTPRequestHandler):
    server: Authority

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        folder = self.server.folder
        self.server.asked += 1
        if self.headers["content-type"] != "application/timestamp-query":
            self.send_error(415)
            return
        (folder / "query").write_bytes(body)
        openssl(
            folder, "ts", "-reply", "-config", "openssl.cnf", "-section", "tsa", "-queryfile", "query", "-out", "reply"
        )
        reply = self.server.answer if self.server.answer is not None else (folder / "reply").read_bytes()
        self.send_response(200)
        self.send_header("content-type", "application/timestamp-reply")
        self.send_header("content-length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests read what the command says."""


@contextlib.contextmanager
def running_authority(folder: Path) -> Iterator[Authority]:
    """An authority with certificates of its own in a new folder, of which `root.pem` is the one to trust."""
    make_authority(folder)
    with Authority(folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
