"""Time stamps of the record by a real authority: `openssl ts` behind a web server of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from data.settings.home import Home
from data.settings.settings import load_settings
from data.store.database import stamp
from data.store.store import Store
from scheduler.daemon.service import Service
from scheduler.daemon.supervisor import Supervisor
from scheduler.daemon.trouble_reports import TroubleReports
from scheduler.delivery.time_stamps import problem_of, stamps
from tests.command import must, tocsin, tocsin_json
from tests.servers.time_stamp_authority import Authority, make_authority, openssl, running_authority

pytestmark = [pytest.mark.slow, pytest.mark.servers]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    with running_authority(tmp_path_factory.mktemp("tsa") / "authority") as server:
        yield server


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


def test_the_daemons_job_stamps_when_it_is_due_and_tells_an_authority_that_fails_twice(
    authority: Authority, tmp_path: Path
):
    file = tmp_path / "tocsin.toml"
    file.write_text(f'[timestamps]\nurl = "http://127.0.0.1:{authority.server_port}/"\ncertificates = "root.pem"\n')
    (tmp_path / "root.pem").write_bytes((authority.folder / "root.pem").read_bytes())
    settings = load_settings(file, {})
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        supervisor = Supervisor(TroubleReports(Home(tmp_path, {}), lambda: settings, lambda: store))
        service = Service(supervisor, lambda: settings, lambda: store, dict, tmp_path)

        def minute() -> None:
            asyncio.run(supervisor.run("time stamps", service.stamp_head))

        minute()
        [(head, token)] = stamps(store)
        assert head == str(store.head())
        assert problem_of(head, token, tmp_path / "root.pem") == ""
        asked = authority.asked
        store.audit.record("test", "did", "", datetime.now(UTC))
        minute()
        assert (len(stamps(store)), authority.asked) == (1, asked), "the last one is not a day old"
        # a day later
        store.database.execute("update stamp set at = ?", (stamp(datetime.now(UTC) - timedelta(days=1, minutes=1)),))
        authority.answer = b"no stamp"
        minute()
        assert store.states.lasting() == [], "once may pass by itself"
        minute()
        [state] = store.states.lasting()
        assert state.subject == "time stamps"
        assert "gave no valid time stamp" in store.events.latest()[0].facts["reason"]
        authority.answer = None
        minute()
        assert len(stamps(store)) == 2
        assert store.states.lasting() == []
