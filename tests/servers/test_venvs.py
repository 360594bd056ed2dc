from __future__ import annotations

import re

import pytest

from tests.servers.base import debian_program
from tests.servers.venvs import HERE, ServerError

LOCKS = sorted(HERE.glob("requirements-*.lock"))


def test_a_missing_debian_package_fails_with_the_command_that_installs_it() -> None:
    with pytest.raises(ServerError, match="apt-get install --no-install-recommends some-package"):
        debian_program("no-such-program-here", "some-package")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_requirement_is_pinned_with_hashes_and_names_no_place(lock: object) -> None:
    text = lock.read_text()  # type: ignore[attr-defined]
    pins = re.findall(r"^[A-Za-z0-9_.-]+(?:\[[^\]]+\])?==\S+.*\\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[A-Za-z]", text, re.MULTILINE)) > 5
    assert "://" not in text
    assert "index" not in text


def test_there_is_a_lock_for_each_heavy_server() -> None:
    assert [lock.stem for lock in LOCKS] == [
        "requirements-flaskbb",
        "requirements-pinnwand",
        "requirements-sites",
        "requirements-spirit",
        "requirements-synapse",
    ]
