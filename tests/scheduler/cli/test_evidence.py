from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from data.case import evidence
from data.errors import InputError
from data.settings.home import Home
from scheduler.cli import tocsin

AT = datetime(2026, 1, 15, tzinfo=UTC)


def run(home: Home, *arguments: str) -> Result:
    return CliRunner().invoke(tocsin, ["--home", str(home.path), "evidence", *arguments], standalone_mode=False)


@pytest.fixture
def kept(home: Home) -> Home:
    sealed = evidence.seal(home.evidence_key_path.read_text(), b"proof")
    evidence.keep(home.evidence_dir, "f1", sealed, AT)
    return home


def test_evidence_is_listed_and_verified(kept: Home) -> None:
    found = json.loads(run(kept, "list", "--json").stdout)["evidence"]
    assert [(each["id"], each["at"], each["expired"]) for each in found] == [("f1", "2026-01-15T00:00:00Z", None)]
    assert "f1" in run(kept, "list").stdout
    assert json.loads(run(kept, "verify", "--json").stdout) == {"evidence": 1, "problems": []}
    assert run(kept, "verify").return_value == 0
    (kept.evidence_dir / "f1.age").unlink()
    broken = run(kept, "verify")
    assert broken.return_value == 2
    assert "missing" in broken.stdout


def test_exported_evidence_opens_with_the_private_key(kept: Home, tmp_path: Path) -> None:
    out = tmp_path / "f1.age"
    assert run(kept, "export", "f1", "--out", str(out)).exception is None
    age = shutil.which("age")
    assert age, "age is missing:  sudo apt-get install --no-install-recommends age"
    key = kept.keys_dir / "evidence.key"
    assert subprocess.run([age, "-d", "-i", str(key), str(out)], capture_output=True).stdout == b"proof"
    again = run(kept, "export", "f1", "--out", str(out))
    assert isinstance(again.exception, InputError)
    assert isinstance(run(kept, "export", "f2", "--out", str(tmp_path / "x")).exception, InputError)


def test_old_evidence_expires(kept: Home) -> None:
    assert run(kept, "expire", "--before", "2026-01-15").stdout == "0 pieces of evidence deleted\n"
    assert run(kept, "expire", "--before", "2026-01-16").stdout == "1 pieces of evidence deleted\n"
    assert not (kept.evidence_dir / "f1.age").exists()
    assert run(kept, "verify").return_value == 0
    assert "expired" in run(kept, "list").stdout


def test_an_empty_home_has_no_evidence(home: Home) -> None:
    assert json.loads(run(home, "list", "--json").stdout) == {"evidence": []}
    assert run(home, "expire", "--before", "2026-01-16").stdout == "0 pieces of evidence deleted\n"
    assert run(home, "verify").return_value == 0
