from __future__ import annotations

import stat
from pathlib import Path

import pytest

from data.case.incidents import INCIDENTS_FILE, find_incident, put_incident, read_incidents, slug
from data.errors import ConfigError, InputError, StoreError
from data.model import Incident


@pytest.mark.parametrize(
    ("name", "expected"),
    [("vendor-2026", "vendor-2026"), ("Éditeur  médical / 2026", "editeur-medical-2026"), ("--A--", "a")],
)
def test_a_name_becomes_an_id(name: str, expected: str) -> None:
    assert slug(name) == expected


@pytest.mark.parametrize("name", ["", "///", "情報"])
def test_a_name_without_letters_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        slug(name)


def test_an_incident_is_added_and_extended(tmp_path: Path) -> None:
    put_incident(tmp_path, "Vendor 2026", clients=["a", "b"], words=["base santé"])
    made = put_incident(tmp_path, "vendor-2026", clients=["b", "c"], sources=["board"])
    assert made == Incident("vendor-2026", "Vendor 2026", ("a", "b", "c"), ("board",), ("base santé",))
    assert read_incidents(tmp_path) == [made]
    assert find_incident([made], "Vendor 2026") is find_incident([made], "vendor-2026") is made
    assert stat.S_IMODE((tmp_path / INCIDENTS_FILE).stat().st_mode) == 0o600
    with pytest.raises(InputError, match="no incident other"):
        find_incident([made], "other")


def test_edits_by_hand_are_preserved(tmp_path: Path) -> None:
    (tmp_path / INCIDENTS_FILE).write_text('[incidents.one]  # ours\nwords = [\n  "alpha",  # his alias\n]\n')
    put_incident(tmp_path, "two", clients=["a"])
    put_incident(tmp_path, "one", clients=["x"])
    text = (tmp_path / INCIDENTS_FILE).read_text()
    assert "# ours" in text
    assert "# his alias" in text
    assert [(each.id, each.clients, each.words) for each in read_incidents(tmp_path)] == [
        ("one", ("x",), ("alpha",)),
        ("two", ("a",), ()),
    ]


@pytest.mark.parametrize(
    "text",
    ["[incidents", "[other]", "[incidents.a]\nclient = 1", "[incidents.a]\nclients = 'x'", "[incidents]\na = 1",
     "[incidents.a]\nname = 2", "[incidents.a]\nwords = [1]"],
)  # fmt: skip
def test_an_invalid_file_is_refused_and_left_unchanged(tmp_path: Path, text: str) -> None:
    (tmp_path / INCIDENTS_FILE).write_text(text)
    with pytest.raises(ConfigError, match=INCIDENTS_FILE):
        put_incident(tmp_path, "one")
    assert (tmp_path / INCIDENTS_FILE).read_text() == text


def test_a_home_that_does_not_exist_is_a_store_error(tmp_path: Path) -> None:
    assert read_incidents(tmp_path / "none") == []
    with pytest.raises(StoreError):
        put_incident(tmp_path / "none", "one")


def test_a_file_that_other_users_may_write_is_refused(tmp_path: Path) -> None:
    put_incident(tmp_path, "vendor")
    (tmp_path / INCIDENTS_FILE).chmod(0o660)
    with pytest.raises(ConfigError, match="can be written by other users") as caught:
        read_incidents(tmp_path)
    assert "chmod go-w" in caught.value.hint
