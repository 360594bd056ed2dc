"""What `deploy/` holds agrees with the code: names, users, sockets; systemd and Tor accept their files."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from data.settings.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"


def unit() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[method-assign, assignment]
    parser.read(DEPLOY / "tocsin.service")
    return parser["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
@pytest.mark.slow
def test_systemd_accepts_the_unit_and_calls_it_little_exposed(tmp_path):
    file = tmp_path / "tocsin.service"
    file.write_text((DEPLOY / "tocsin.service").read_text().replace("/opt/tocsin/bin/tocsin", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    security = ["systemd-analyze", "security", "--offline=true", "--threshold=35", file]
    assert subprocess.run(security, capture_output=True).returncode == 0


def test_the_unit_waits_for_what_the_daemon_says():
    assert unit()["Type"] == "notify"
    assert unit()["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(unit()["WatchdogSec"]) >= 6 * 10, "the daemon feeds it every ten seconds"
    # what would take the walls of readers away, or keep compiled kernels from running
    for missing in ("RestrictNamespaces", "MemoryDenyWriteExecute", "ProcSubset"):
        assert missing not in unit()
    assert not {"@mount", "@privileged", "@sandbox"} & set(unit()["SystemCallFilter"].split())


@pytest.mark.skipif(shutil.which("tor") is None, reason="no Tor on this machine")
@pytest.mark.slow
def test_tor_accepts_its_file_and_listens_on_no_network(tmp_path):
    text = (DEPLOY / "tor" / "torrc").read_text()
    ports = [line for line in text.splitlines() if "Port " in line]
    assert ports
    assert all(" unix:" in line for line in ports)
    tmp_path.chmod(0o700)
    (tmp_path / "torrc").write_text(
        text.replace("/run/tocsin-tor", str(tmp_path)).replace("/var/lib/tor", f"{tmp_path}/d")
    )
    done = subprocess.run(["tor", "--verify-config", "-f", tmp_path / "torrc"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "Configuration was valid" in done.stdout


def test_containers_share_the_socket_of_tor_and_no_privilege():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert "no-new-privileges:true" in service["security_opt"]
        assert "ports" not in service
    shared = {volume.split(":")[1] for volume in services["tocsin"]["volumes"]} & {
        volume.split(":")[1] for volume in services["tor"]["volumes"]
    }
    assert shared == {"/run/tocsin-tor"}
    Settings.model_validate(
        {"tor": {"mode": "remote", "socks": "unix:/run/tocsin-tor/socks", "control": "unix:/run/tocsin-tor/control"}}
    )
    [group] = services["tocsin"]["group_add"]
    assert f"--gid {group} tocsin-tor" in (DEPLOY / "tor" / "Containerfile").read_text()
