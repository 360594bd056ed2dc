from __future__ import annotations

import json
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from data import releases as module
from data.errors import InputError, KeyFileError, StoreError
from data.releases import ReleaseBuilder, Releases, read_manifests, remove, retire
from data.tags import Kind

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def random_keys(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**64, (n, 6), np.uint64)


def register(folder: Path, name: str, keys: np.ndarray, values: dict[Kind, np.ndarray] | None = None) -> dict:
    builder = ReleaseBuilder(name)
    half = len(keys) // 2
    builder.add(keys[:half], values or {})
    builder.add(keys[half:], {})
    return builder.write(folder, {"name": name, "incident": "i", "kind": "baseline", "created": NOW, "case": "c"})


def test_what_was_added_is_known_and_nothing_else(tmp_path: Path) -> None:
    keys, others = random_keys(3000, 1), random_keys(3000, 2)
    manifest = register(tmp_path, "part-1", keys)
    assert (manifest["records"], manifest["people"]) == (3000, 3000)
    known = Releases.open(tmp_path)
    assert known.known_any(keys).all()
    assert not known.known_any(others).any()
    assert {name: int(rows.sum()) for name, rows in known.per_release(keys).items()} == {"part-1": 3000}


def test_a_record_is_known_by_any_one_key(tmp_path: Path) -> None:
    keys = random_keys(600, 3)
    register(tmp_path, "part-1", keys)
    one = np.where(np.arange(6) == (np.arange(600) % 6)[:, None], keys, np.uint64(0))
    assert Releases.open(tmp_path).known_any(one).all()


def test_a_key_of_one_kind_is_not_known_as_another(tmp_path: Path) -> None:
    keys = random_keys(100, 4)
    register(tmp_path, "part-1", keys)
    assert not Releases.open(tmp_path).known_any(np.roll(keys, 1, axis=1)).any()


def test_two_releases_answer_apart_and_together(tmp_path: Path) -> None:
    first, second = random_keys(50, 5), random_keys(70, 6)
    register(tmp_path, "a", first)
    register(tmp_path, "b", second)
    known = Releases.open(tmp_path)
    both = np.concatenate([first, second])
    assert len(known) == 2
    assert known.known_any(both).all()
    assert known.per_release(both)["a"].tolist() == [True] * 50 + [False] * 70


def test_files_are_private_and_hold_no_link_between_keys(tmp_path: Path) -> None:
    keys = random_keys(40, 7)
    register(tmp_path, "part-1", keys, {Kind.NIR: keys[:, 0]})
    for path in [tmp_path / "part-1", *(tmp_path / "part-1").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    shuffled = keys[np.random.default_rng(1).permutation(40)]
    for column in range(6):
        shuffled[:, column] = np.random.default_rng(column).permutation(shuffled[:, column])
    again = tmp_path / "again"
    register(again, "part-1", shuffled, {Kind.NIR: keys[:, 0]})
    for path in (tmp_path / "part-1").rglob("*.tags"):
        assert path.read_bytes() == (again / "part-1" / path.relative_to(tmp_path / "part-1")).read_bytes()


def test_values_are_known_exactly_in_a_small_release(tmp_path: Path) -> None:
    keys = random_keys(200, 8)
    register(tmp_path, "part-1", keys, {Kind.EMAIL: keys[:, 0]})
    known = Releases.open(tmp_path)
    assert known.new_values(Kind.EMAIL, np.concatenate([keys[:, 0], keys[:50, 1]])) == (50, 250)
    assert known.new_values(Kind.NIR, keys[:, 0]) == (200, 200)


def test_a_large_release_keeps_a_sample_of_its_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXACT_VALUES", 100)
    keys = random_keys(4000, 9)
    manifest = register(tmp_path, "part-1", keys, {Kind.EMAIL: keys[:, 0]})
    assert manifest["value_sample"] == 16
    assert manifest["values"]["email"] < 400
    known = Releases.open(tmp_path)
    unknown, compared = known.new_values(Kind.EMAIL, keys[:, 0])
    assert (unknown, compared) == (0, manifest["values"]["email"])


def test_a_release_is_written_once_and_never_empty(tmp_path: Path) -> None:
    register(tmp_path, "part-1", random_keys(10, 10))
    with pytest.raises(InputError, match="already"):
        register(tmp_path, "part-1", random_keys(10, 11))
    with pytest.raises(InputError, match="no record"):
        ReleaseBuilder("part-2").write(tmp_path, {})
    assert [manifest["id"] for manifest in read_manifests(tmp_path)] == ["part-1"]


@pytest.mark.parametrize("name", ["", "../up", "Part", ".x", "a/b", "x" * 65])
def test_an_id_that_could_name_another_file_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        ReleaseBuilder(name)


def test_what_a_killed_writer_left_is_no_release_and_does_not_stand_in_the_way(tmp_path: Path) -> None:
    keys = random_keys(10, 12)
    (tmp_path / ".part-1.new" / "values").mkdir(parents=True)
    (tmp_path / ".part-1.new" / "nir+dob.tags").write_bytes(b"half")
    assert len(Releases.open(tmp_path)) == 0
    register(tmp_path, "part-1", keys)
    assert Releases.open(tmp_path).known_any(keys).all()


def test_a_retired_release_is_compared_no_more_and_its_tags_are_gone(tmp_path: Path) -> None:
    keys = random_keys(10, 13)
    register(tmp_path, "part-1", keys)
    retire(tmp_path, "part-1", NOW)
    retire(tmp_path, "part-1", NOW)
    assert len(Releases.open(tmp_path)) == 0
    assert not list(tmp_path.rglob("*.tags"))
    assert read_manifests(tmp_path)[0]["retired"] == NOW.isoformat()
    with pytest.raises(InputError, match="no release"):
        retire(tmp_path, "part-2", NOW)


def test_a_removed_release_leaves_nothing(tmp_path: Path) -> None:
    register(tmp_path, "part-1", random_keys(10, 14))
    remove(tmp_path, "part-1")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError):
        remove(tmp_path, "part-1")


def test_a_damaged_release_is_an_error_and_never_left_out(tmp_path: Path) -> None:
    register(tmp_path, "part-1", random_keys(10, 15))
    (tmp_path / "part-1" / "nir+dob.tags").write_bytes(b"x")
    with pytest.raises(StoreError):
        Releases.open(tmp_path)
    shutil.rmtree(tmp_path / "part-1")
    register(tmp_path, "part-1", random_keys(10, 15))
    (tmp_path / "part-1" / "manifest.json").write_text("{}")
    with pytest.raises(StoreError, match="manifest"):
        Releases.open(tmp_path)


def test_a_release_of_another_normaliser_is_named_and_not_compared(tmp_path: Path) -> None:
    keys = random_keys(10, 16)
    register(tmp_path, "part-1", keys)
    path = tmp_path / "part-1" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "normaliser": 99}))
    known = Releases.open(tmp_path)
    assert (len(known), known.stale) == (0, ("part-1",))


def test_a_release_of_another_case_is_refused(tmp_path: Path) -> None:
    keys = random_keys(10, 16)
    register(tmp_path, "part-1", keys)
    assert Releases.open(tmp_path, case="c").known_any(keys).all()
    with pytest.raises(KeyFileError, match="another case"):
        Releases.open(tmp_path, case="d")


def test_a_folder_that_is_not_there_holds_no_release(tmp_path: Path) -> None:
    assert len(Releases.open(tmp_path / "none")) == 0


def test_an_open_release_verifies(tmp_path: Path) -> None:
    register(tmp_path, "part-1", random_keys(5000, 17))
    next(iter(Releases.open(tmp_path).active.values())).verify()
