"""Messages to a real syslog server (rsyslog), over TCP and TLS, and to servers that do not take them."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crawler.alerts.channels.registry import dialect
from crawler.alerts.events import build_event
from crawler.alerts.wording import message_of
from data.errors import ConfigError, DeliveryDeferred
from data.model import EventKind, Severity
from data.settings.settings import Settings, load_settings
from scheduler.delivery.delivery import http_client, send
from tests.servers.strict_chats import cef_of
from tests.servers.tls_site import Authority, write_certificate

pytestmark = [pytest.mark.servers, pytest.mark.slow]

EVENT = build_event(EventKind.TOR_DOWN, datetime(2026, 11, 1, 12, tzinfo=UTC), "x", facts={"reason": "é | a=b \\ c"})


def deliver(url: str, event=EVENT, **more: object) -> int:
    settings = Settings.model_validate({"channels": {"c": {"kind": "syslog", "url": url, **more}}})
    target = settings.channels["c"]
    outgoing = dialect(target).compose(target, "a" * 32, message_of(event, clients={}), 1)

    async def go() -> int:
        async with http_client() as client:
            return (await send(client, target, outgoing)).status

    return asyncio.run(go())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def rsyslog(folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[tuple[int, Path]]:
    """The port of a rsyslog server, and the file to which it writes what it received, one message a line.

    Args:
        folder: for its files.
        certificate: file of the authority, and of certificate and key, for TLS.
    """
    program = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
    port, received = free_port(), folder / "received.log"
    stream = ""
    lines = [f'global(workDirectory="{folder}" maxMessageSize="8k")']
    if certificate is not None:
        authority, file = certificate
        lines[0] = lines[0][:-1] + (
            f' DefaultNetstreamDriver="gtls" DefaultNetstreamDriverCAFile="{authority}"'
            f' DefaultNetstreamDriverCertFile="{file}" DefaultNetstreamDriverKeyFile="{file}")'
        )
        stream = 'StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon"'
    lines += [
        f'module(load="imtcp" {stream})',
        'template(name="raw" type="string" string="%rawmsg%\\n")',
        f'input(type="imtcp" port="{port}" address="127.0.0.1")',
        f'action(type="omfile" file="{received}" template="raw")',
    ]
    (folder / "rsyslog.conf").write_text("\n".join(lines) + "\n")
    server = subprocess.Popen(
        [program, "-n", "-f", folder / "rsyslog.conf", "-i", folder / "pid"], stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            assert server.poll() is None, "rsyslog ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port, received
    finally:
        server.terminate()
        server.wait(60)


def lines_of(received: Path, number: int) -> list[str]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        lines = received.read_text().splitlines() if received.exists() else []
        if len(lines) >= number:
            return lines
        time.sleep(0.05)
    raise AssertionError(f"{len(lines)} of {number} messages arrived")


def framed(line: str) -> bytes:
    body = line.encode()
    return b"%d %b" % (len(body), body)


def test_rsyslog_receives_the_event_with_its_priority(tmp_path):
    critical = build_event(EventKind.SELFTEST_FAILED, EVENT.at, "y", severity=Severity.CRITICAL, facts={"reason": "no"})
    with rsyslog(tmp_path) as (port, received):
        assert deliver(f"tcp://127.0.0.1:{port}") == 200
        assert deliver(f"tcp://127.0.0.1:{port}", critical) == 200
        first, second = lines_of(received, 2)
    assert (first.partition(">")[0], second.partition(">")[0]) == ("<132", "<130")
    header, extension = cef_of(framed(first))
    assert header[4] == "tor_down"
    assert header[6] == "6"
    assert extension["externalId"] == "a" * 32
    assert extension["rt"] == "1793534400000"
    assert "Reason: é | a=b \\ c" in extension["msg"].splitlines()


def test_over_tls_the_certificate_is_verified(tmp_path, monkeypatch):
    authority = Authority()
    _, file = write_certificate(tmp_path, "localhost", authority)
    known = authority.write(tmp_path / "authority.pem")
    with rsyslog(tmp_path, (known, file)) as (port, received):
        with pytest.raises(DeliveryDeferred, match="certificate that is not valid"):
            deliver(f"tls://localhost:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(known))
        with pytest.raises(DeliveryDeferred, match="certificate that is not valid"):
            deliver(f"tls://127.0.0.1:{port}")
        assert deliver(f"tls://localhost:{port}") == 200
        (line,) = lines_of(received, 1)
    assert cef_of(framed(line))[0][4] == "tor_down"


@pytest.mark.parametrize("fault", ["reset", "silent"])
def test_a_server_that_does_not_take_the_message_defers_the_alert(fault):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            connection.recv(1)
            if fault == "reset":
                # unread bytes make the kernel answer with a reset
                connection.close()
            else:
                done.wait(60)
                connection.close()

        done = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        words = {"reset": "cannot be reached", "silent": "did not take the message"}[fault]
        with pytest.raises(DeliveryDeferred, match=words):
            deliver(url, timeout="1s" if fault == "silent" else "60s")
        done.set()
        thread.join()
    with pytest.raises(DeliveryDeferred, match="cannot be reached"):
        deliver(url)


@pytest.mark.parametrize(
    "url", ["https://siem.example", "tls://", "tls://siem.example/path", "tls://u:p4ss@siem.example"]
)
def test_another_form_of_address_is_refused(tmp_path, url):
    (tmp_path / "tocsin.toml").write_text(f'[channels.siem]\nkind = "syslog"\nurl = "{url}"\n')
    with pytest.raises(ConfigError, match="tls://") as caught:
        load_settings(tmp_path / "tocsin.toml", {})
    assert "p4ss" not in str(caught.value)
