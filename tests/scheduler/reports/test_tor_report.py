"""What `doctor` says of Tor, where none runs or its settings do not fit; a running Tor is in tests/promises."""

from __future__ import annotations

import base64
import socketserver
import threading

import pytest

from crawler.process import privileges
from data.settings.home import Home
from data.settings.settings import Settings
from data.sources.source_files import parse_source
from scheduler.crawls.definitions import complete_definition
from scheduler.reports import tor_report
from tests.over_tor import LISTING

ONION, OTHER = "a" * 56 + ".onion", "b" * 56 + ".onion"


def told(home: Home, **tor: str) -> list[tuple[str, str, str]]:
    """The lines about Tor: name, state and sentence."""
    text = f"name: keyed\n{LISTING.format(url=f'http://{ONION}/')}"
    definition = complete_definition(parse_source(text, "keyed.yaml"))
    settings = Settings.model_validate({"tor": tor})
    return [(each.name, each.state, each.result) for each in tor_report.checks(home, settings, [definition])]


def give_key(home: Home, host: str) -> None:
    path = home.onion_key_path("keyed")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    text = base64.b32encode(bytes(32)).decode().rstrip("=")
    path.write_text(f"{host.removesuffix('.onion')}:descriptor:x25519:{text}\n")
    path.chmod(0o600)


def test_without_a_source_over_tor_nothing_is_said(home: Home) -> None:
    assert list(tor_report.checks(home, Settings(), [])) == []


def test_a_program_that_is_missing_is_wrong(home: Home) -> None:
    [(name, state, said)] = told(home, mode="own", program="no-such-tor")
    assert (name, state, said) == ("tor", "wrong", "no-such-tor is not installed")


def test_a_tor_of_our_own_that_does_not_run_is_no_fault(home: Home) -> None:
    found = told(home, mode="own", program="sh")
    assert ("tor", "ok", "our own Tor is not running now; a crawl or the daemon starts it") in found
    assert not [each for each in found if each[1] == "wrong"]


def test_a_tor_elsewhere_that_does_not_answer_is_wrong_and_without_a_control_port_little_is_known(home: Home) -> None:
    found = told(home, mode="remote", socks=f"unix:{home.path}/none")
    assert [(name, state) for name, state, _ in found] == [
        ("tor", "wrong"),
        ("tor control", "warning"),
        ("tor wall", "ok"),
    ]
    assert "none is declared" in found[1][2]


@pytest.mark.parametrize(
    ("host", "control", "state", "words"),
    [
        (ONION, "unix:/none", "ok", "keyed: 1 key"),
        (OTHER, "unix:/none", "warning", "is no host of keyed"),
        (ONION, "", "wrong", "over a control port"),
    ],
)
def test_an_onion_key_fits_its_source_and_can_be_handed_over(
    home: Home, host: str, control: str, state: str, words: str
) -> None:
    give_key(home, host)
    found = told(home, mode="remote", socks="unix:/none", **({"control": control} if control else {}))
    assert next((each[1], words in each[2]) for each in found if each[0] == "onion key") == (state, True)


def test_an_onion_key_that_cannot_be_read_is_wrong(home: Home) -> None:
    give_key(home, ONION)
    home.onion_key_path("keyed").write_text("nonsense\n")
    assert [(each[1]) for each in told(home, mode="remote", socks="unix:/none") if each[0] == "onion key"] == ["wrong"]


def test_the_wall_is_claimed_only_where_something_holds_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence about confinement follows what the kernel can do; that it does it is tried in tests/promises."""

    def wall() -> tuple[str, str]:
        return next(
            (state, said) for name, state, said in told(home, mode="remote", socks="unix:/none") if name == "tor wall"
        )

    assert wall()[0] == "ok"
    none = dict.fromkeys(privileges.describe_confinement(), "none")
    monkeypatch.setattr(privileges, "describe_confinement", lambda: none)
    assert wall()[0] == "warning"
    assert "cannot take the network away" in wall()[1]


class OldTor(socketserver.BaseRequestHandler):
    """The SOCKS port of a Tor without ExtendedErrors: every onion service fails for the same reason."""

    def handle(self) -> None:
        self.request.settimeout(10)
        offered = self.request.recv(300)
        self.request.sendall(bytes([5, 2 if 2 in offered[2:] else 0]))
        if 2 in offered[2:]:
            self.request.recv(600)
            self.request.sendall(b"\x01\x00")
        self.request.recv(600)
        self.request.sendall(b"\x05\x04\x00\x01" + bytes(6))


def test_a_tor_that_gives_no_reasons_is_told(home: Home) -> None:
    path = home.path / "socks"
    with socketserver.ThreadingUnixStreamServer(str(path), OldTor) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        found = told(home, mode="remote", socks=f"unix:{path}")
        server.shutdown()
    assert [(name, state) for name, state, _ in found][:2] == [("tor", "ok"), ("tor errors", "warning")]
