"""Reading what a Tor reports about itself; tests with a real Tor are in tests/promises/test_over_tor.py."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest

from crawler.tor import control_port
from data.errors import KeyFileError
from data.settings.endpoint import Endpoint

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DONE = 'NOTICE BOOTSTRAP PROGRESS=100 TAG=done SUMMARY="Done"'


def info(phase: str = DONE, version: str = "recommended", after: int = -1, until: int = 2) -> dict[str, str]:
    ends = {"after": after, "until": until}
    return {
        "version": "0.4.9.11 (git-x)",
        "status/version/current": version,
        "status/bootstrap-phase": phase,
        **{f"consensus/valid-{end}": f"{NOW + timedelta(hours=hours):%F %T}" for end, hours in ends.items()},
    }


def test_a_healthy_tor_has_no_warnings():
    assert control_port._health_from(info(), NOW) == control_port.TorHealth("0.4.9.11", 100, "Done")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (info(version="obsolete"), "obsolete"),
        (info(version="old"), "older"),
        (info(version="unrecommended"), "recommend"),
        (info(after=5, until=8), "clock is behind"),
        (info(after=-40, until=-37), "clock is ahead"),
        (
            info('WARN BOOTSTRAP PROGRESS=10 SUMMARY="Connected" WARNING="Clock skew -5000" REASON=CLOCK_SKEW'),
            "set this machine's clock",
        ),
        (info('WARN BOOTSTRAP PROGRESS=5 SUMMARY="Connecting" WARNING="No route to host" REASON=NOROUTE'), "No route"),
    ],
)
def test_a_bad_version_clock_or_network_gives_a_warning(values, words):
    [warning] = control_port._health_from(values, NOW).warnings
    assert words in warning


def test_a_tor_without_a_consensus_is_still_understood():
    values = {name: value for name, value in info().items() if not name.startswith("consensus")}
    assert control_port._health_from(values, NOW).warnings == ()


def test_onion_keys_are_read_and_never_shown(tmp_path):
    key = bytes(range(32))
    text = base64.b32encode(key).decode().rstrip("=")
    file = tmp_path / "source.auth_private"
    assert control_port.read_onion_keys(file) == []
    file.write_text(f"# a comment\n\n{'a' * 56}:descriptor:x25519:{text}\n")
    [found] = control_port.read_onion_keys(file)
    assert (found.address, found.key) == ("a" * 56, key)
    assert text not in repr(found)
    assert str(key) not in repr(found)


@pytest.mark.parametrize("line", ["SECRETKEY", f"{'a' * 55}:descriptor:x25519:{'A' * 52}", f"{'a' * 56}:x25519:AAAA"])
def test_a_wrong_onion_key_is_reported_by_its_line_number_alone(tmp_path, line):
    file = tmp_path / "source.auth_private"
    file.write_text(f"# a comment\n{line}\n")
    with pytest.raises(KeyFileError, match=r"source\.auth_private:2") as caught:
        control_port.read_onion_keys(file)
    assert line not in str(caught.value)


def test_a_control_port_that_does_not_answer_has_a_deadline(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "control"))
        server.listen()
        with pytest.raises(control_port.ControlPortError, match="within"):
            control_port.run_commands(
                Endpoint(path=str(tmp_path / "control")),
                None,
                lambda send_command: send_command("GETINFO version"),
                0.2,
            )
        # The thread ends with its connection; stem connects once more before it gives up.
        server.settimeout(0.2)
        while any(thread.name == "tor control" for thread in threading.enumerate()):
            with contextlib.suppress(TimeoutError):
                server.accept()[0].close()


def test_the_error_for_an_absent_control_port_has_a_hint(tmp_path):
    with pytest.raises(control_port.ControlPortError, match="nothing listens") as caught:
        control_port.read_health(Endpoint(path=str(tmp_path / "none")))
    assert "start Tor" in caught.value.hint
