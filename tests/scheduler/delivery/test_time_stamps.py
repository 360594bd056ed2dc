"""Time stamps of the record by a real authority: `openssl ts` behind a web server of this machine."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from scheduler.delivery.time_stamps import problem_of
from tests.command import must, tocsin, tocsin_json

pytestmark = [pytest.mark.slow, pytest.mark.servers]

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

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder


class Handler(BaseHTTPRequestHandler):
    server: Authority

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        folder = self.server.folder
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    folder = tmp_path_factory.mktemp("tsa") / "authority"
    make_authority(folder)
    with Authority(folder) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_stamp_of_an_authority_is_verified_offline_here_and_by_openssl(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path / "home"
    must(None, "init", home)
    refused = tocsin(home, "evidence", "stamp")
    assert (refused.returncode, "no time-stamp authority is named" in refused.stderr) == (2, True)
    with (home / "tocsin.toml").open("a") as settings:
        settings.write(f'\n[timestamps]\nurl = "http://127.0.0.1:{authority.server_port}/"\n')
    refused = tocsin(home, "evidence", "stamp")
    assert (refused.returncode, "timestamps.pem is missing" in refused.stderr) == (2, True)
    root = home / "keys" / "timestamps.pem"
    root.write_bytes((authority.folder / "root.pem").read_bytes())
    # an answer that is none, and one for other data
    authority.answer = b"no stamp"
    assert "no valid time stamp" in tocsin(home, "evidence", "stamp").stderr
    must(home, "console", "token", "siem")
    authority.answer = (authority.folder / "reply").read_bytes()
    assert "no valid time stamp" in tocsin(home, "evidence", "stamp").stderr
    authority.answer = None
    out = tmp_path / "stamp.tsr"
    must(home, "evidence", "stamp", "--out", out)
    openssl(tmp_path, "ts", "-verify", "-in", str(out), "-data", f"{out}.txt", "-CAfile", str(root))
    # whatever is added to the record later, the stamp stays right
    must(home, "console", "token", "another")
    found = tocsin_json(home, "evidence", "verify")
    assert [each["head"] for each in found["stamps"]] == [Path(f"{out}.txt").read_text().strip()]
    assert found["stamps"][0]["at"].startswith("20")
    assert found["problems"] == []
    # and once the certificates of the authority have expired
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    with monkeypatch.context() as later:
        later.setenv("LD_PRELOAD", str(library))
        later.setenv("FAKETIME", "+12y")
        expired = subprocess.run(["openssl", "x509", "-checkend", "0", "-noout", "-in", root], check=False)
        assert expired.returncode == 1
        assert problem_of(found["stamps"][0]["head"], out.read_bytes(), root) == ""
    # of an authority that is not the one which is trusted
    other = tmp_path / "other"
    make_authority(other)
    root.write_bytes((other / "root.pem").read_bytes())
    found = tocsin(home, "evidence", "verify")
    assert found.returncode == 2
    assert "not by an authority of timestamps.certificates" in found.stdout
