from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from data.errors import InputError, KeyFileError, StoreError
from data.hashing.tags import Kind
from data.identifiers.normalise import VERSION
from data.releases import builder as module
from data.releases import kept_bits
from data.releases.builder import ReleaseBuilder
from data.releases.folder import read_manifests, remove_release, retire_release
from data.releases.known_releases import KnownReleases

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def random_keys(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**64, (n, 6), np.uint64)


def register(folder: Path, name: str, keys: np.ndarray, values: dict[Kind, np.ndarray] | None = None) -> dict:
    builder = ReleaseBuilder(name)
    half = len(keys) // 2
    builder.add(keys[:half], values or {})
    builder.add(keys[half:], {})
    return builder.write(folder, {"name": name, "incident": "i", "kind": "baseline", "created": NOW, "case": "c"})


def test_added_records_are_known_and_no_others(tmp_path: Path) -> None:
    keys, others = random_keys(3000, 1), random_keys(3000, 2)
    manifest = register(tmp_path, "part-1", keys)
    assert (manifest["records"], manifest["people"]) == (3000, 3000)
    known = KnownReleases.open(tmp_path)
    assert known.known_rows(keys).all()
    assert not known.known_rows(others).any()
    assert {name: int(rows.sum()) for name, rows in known.known_rows_by_release(keys).items()} == {"part-1": 3000}


def test_a_record_is_known_by_any_one_key(tmp_path: Path) -> None:
    keys = random_keys(600, 3)
    register(tmp_path, "part-1", keys)
    one = np.where(np.arange(6) == (np.arange(600) % 6)[:, None], keys, np.uint64(0))
    assert KnownReleases.open(tmp_path).known_rows(one).all()


def test_a_key_of_one_kind_is_not_known_as_another(tmp_path: Path) -> None:
    keys = random_keys(100, 4)
    register(tmp_path, "part-1", keys)
    assert not KnownReleases.open(tmp_path).known_rows(np.roll(keys, 1, axis=1)).any()


def test_two_releases_are_searched_separately_and_together(tmp_path: Path) -> None:
    first, second = random_keys(50, 5), random_keys(70, 6)
    register(tmp_path, "a", first)
    register(tmp_path, "b", second)
    known = KnownReleases.open(tmp_path)
    both = np.concatenate([first, second])
    assert len(known) == 2
    assert known.known_rows(both).all()
    assert known.known_rows_by_release(both)["a"].tolist() == [True] * 50 + [False] * 70


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


def test_releases_of_all_sizes_are_searched_together(tmp_path: Path) -> None:
    sizes = {"a": 10, "b": 20, "c": 1500, "d": 4000, "e": 1600, "f": 8000, "g": 2500}
    keys = {name: random_keys(size, size) for name, size in sizes.items()}
    bits = {name: tuple(register(tmp_path, name, keys[name])["cuts"]) for name in sizes}
    assert (bits["a"], bits["c"]) == (bits["b"], bits["e"])
    # four different sets: enough for a Bloom filter to be built
    assert len(set(bits.values())) == 4
    index = json.loads((tmp_path / ".union" / "index.json").read_bytes())
    # releases that keep another number of bits are not merged
    assert sorted(each["members"] for each in index["segments"]) == [["a", "b"], ["c", "e"], ["d", "g"]]
    known = KnownReleases.open(tmp_path)
    assert known.known_rows(np.concatenate(list(keys.values()))).all()
    assert not known.known_rows(random_keys(3000, 99)).any()
    retire_release(tmp_path, "c", NOW)
    known = KnownReleases.open(tmp_path)
    assert [name for name in sizes if known.known_rows(keys[name]).all()] == ["a", "b", "d", "e", "f", "g"]
    assert not known.known_rows(keys["c"]).any()


def test_later_releases_keep_more_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_bits, "_RELEASES_PER_STEP", 1)
    bits = [register(tmp_path, name, random_keys(3000, at))["cuts"][0] for at, name in enumerate("abc")]
    assert bits == [bits[0], bits[0] + 1, bits[0] + 2]
    release = KnownReleases.open(tmp_path).active["c"]
    assert release.false_positive_rate(Kind.NIR_DOB) == 3000 / 2 ** bits[2]


def test_releases_of_format_2_are_read_beside_new_ones(tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(__file__).parent / "releases-format-2.zip") as archive:
        archive.extractall(tmp_path)
    old = {name: random_keys(60, seed) for name, seed in (("part-1", 21), ("part-2", 22))}
    for name in old:
        path = tmp_path / name / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "normaliser": VERSION}))
    new = random_keys(70, 23)
    register(tmp_path, "part-3", new, {Kind.EMAIL: new[:, 0]})
    known = KnownReleases.open(tmp_path)
    everybody = np.concatenate([*old.values(), new])
    assert known.known_rows(everybody).all()
    assert not known.known_rows(random_keys(3000, 24)).any()
    assert {name: int(rows.sum()) for name, rows in known.known_rows_by_release(everybody).items()} == {
        "part-1": 60, "part-2": 60, "part-3": 70,
    }  # fmt: skip
    assert known.count_new_values(Kind.EMAIL, everybody[:, 0]) == (0, 190)
    assert known.contains_note_prints(old["part-1"][:, 1]).all()
    assert known.active["part-1"].false_positive_rate(Kind.NAME_DOB) == 60 / 2**44
    for release in known.active.values():
        release.verify()
    retire_release(tmp_path, "part-1", NOW)
    known = KnownReleases.open(tmp_path)
    assert not known.known_rows(old["part-1"]).any()
    assert known.known_rows(np.concatenate([old["part-2"], new])).all()


def test_a_small_release_knows_all_its_values(tmp_path: Path) -> None:
    keys = random_keys(200, 8)
    register(tmp_path, "part-1", keys, {Kind.EMAIL: keys[:, 0]})
    known = KnownReleases.open(tmp_path)
    assert known.count_new_values(Kind.EMAIL, np.concatenate([keys[:, 0], keys[:50, 1]])) == (50, 250)
    assert known.count_new_values(Kind.NIR, keys[:, 0]) == (200, 200)


def test_a_large_release_keeps_a_sample_of_its_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EXACT_VALUES", 100)
    keys = random_keys(4000, 9)
    manifest = register(tmp_path, "part-1", keys, {Kind.EMAIL: keys[:, 0]})
    assert manifest["value_sample"] == 16
    assert manifest["values"]["email"] < 400
    known = KnownReleases.open(tmp_path)
    unknown, compared = known.count_new_values(Kind.EMAIL, keys[:, 0])
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


def test_files_of_a_killed_writer_are_no_release_and_do_not_prevent_a_new_one(tmp_path: Path) -> None:
    keys = random_keys(10, 12)
    (tmp_path / ".part-1.new" / "values").mkdir(parents=True)
    (tmp_path / ".part-1.new" / "nir+dob.tags").write_bytes(b"half")
    assert len(KnownReleases.open(tmp_path)) == 0
    register(tmp_path, "part-1", keys)
    assert KnownReleases.open(tmp_path).known_rows(keys).all()


def test_a_retired_release_is_not_compared_any_more_and_its_tags_are_deleted(tmp_path: Path) -> None:
    keys = random_keys(10, 13)
    register(tmp_path, "part-1", keys)
    retire_release(tmp_path, "part-1", NOW)
    retire_release(tmp_path, "part-1", NOW)
    assert len(KnownReleases.open(tmp_path)) == 0
    assert not list(tmp_path.rglob("*.tags"))
    assert read_manifests(tmp_path)[0]["retired"] == NOW.isoformat()
    with pytest.raises(InputError, match="no release"):
        retire_release(tmp_path, "part-2", NOW)


def test_a_removed_release_leaves_nothing(tmp_path: Path) -> None:
    register(tmp_path, "part-1", random_keys(10, 14))
    remove_release(tmp_path, "part-1")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError):
        remove_release(tmp_path, "part-1")


def test_a_damaged_release_is_an_error_and_never_ignored(tmp_path: Path) -> None:
    register(tmp_path, "part-1", random_keys(10, 15))
    (tmp_path / "part-1" / "nir+dob.tags").write_bytes(b"x")
    with pytest.raises(StoreError):
        KnownReleases.open(tmp_path)
    shutil.rmtree(tmp_path / "part-1")
    register(tmp_path, "part-1", random_keys(10, 15))
    path = tmp_path / "part-1" / "manifest.json"
    for text in ("{}", path.read_text().replace('"cuts": [', '"cuts": [7,')):
        path.write_text(text)
        with pytest.raises(StoreError, match="manifest"):
            KnownReleases.open(tmp_path)


def test_a_release_of_another_normaliser_is_reported_and_not_compared(tmp_path: Path) -> None:
    keys = random_keys(10, 16)
    register(tmp_path, "part-1", keys)
    path = tmp_path / "part-1" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "normaliser": 99}))
    (tmp_path / ".checksums.json").unlink()
    known = KnownReleases.open(tmp_path)
    assert (len(known), known.stale) == (0, ("part-1",))


def test_a_release_of_another_case_is_refused(tmp_path: Path) -> None:
    keys = random_keys(10, 16)
    register(tmp_path, "part-1", keys)
    assert KnownReleases.open(tmp_path, case="c").known_rows(keys).all()
    with pytest.raises(KeyFileError, match="another case"):
        KnownReleases.open(tmp_path, case="d")


def test_a_folder_that_does_not_exist_has_no_release(tmp_path: Path) -> None:
    assert len(KnownReleases.open(tmp_path / "none")) == 0


def test_an_open_release_verifies(tmp_path: Path) -> None:
    register(tmp_path, "part-1", random_keys(5000, 17))
    next(iter(KnownReleases.open(tmp_path).active.values())).verify()


@pytest.mark.slow
def test_a_damaged_or_missing_file_of_a_release_is_noticed_at_opening_and_by_verify(tmp_path: Path) -> None:
    keys = random_keys(300, 1)
    values = {Kind.EMAIL: np.arange(1, 200, dtype=np.uint64) << np.uint64(40)}
    register(tmp_path, "part-1", keys, values)
    register(tmp_path, "part-2", random_keys(300, 2), values)
    opened = KnownReleases.open(tmp_path)
    opened.verify()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix in {".tags", ".json"}]
    # a segment that the index does not name correctly is not used: its releases are looked up themselves
    files = [path for path in files if path.name != "index.json"]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        for at in (0, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            with pytest.raises(StoreError):
                KnownReleases.open(tmp_path).verify()
            with pytest.raises(StoreError):
                opened.verify()
        path.unlink()
        if path.name != ".checksums.json":
            with pytest.raises(StoreError):
                KnownReleases.open(tmp_path).verify()
        path.write_bytes(content)
    segment = next((tmp_path / ".union").rglob("name+dob.tags"))
    content = segment.read_bytes()
    segment.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    with pytest.raises(StoreError, match="does not match its digest"):
        KnownReleases.open(tmp_path)
    segment.write_bytes(content)
    KnownReleases.open(tmp_path).verify()


def test_a_release_that_is_gone_is_an_error_until_it_is_restored_or_given_up(tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    for name in ("part-1", "part-2", "part-3"):
        register(folder, name, random_keys(50, 1))
    remove_release(folder, "part-3")
    retire_release(folder, "part-2", NOW)
    assert len(KnownReleases.open(folder)) == 1
    (folder / "part-1").rename(tmp_path / "aside")
    with pytest.raises(StoreError, match="the release part-1 is lost: it was registered") as caught:
        KnownReleases.open(folder)
    assert "restore" in caught.value.hint
    with pytest.raises(StoreError, match="part-1 is lost"):
        register(folder, "part-4", random_keys(50, 2))
    (tmp_path / "aside").rename(folder / "part-1")
    register(folder, "part-4", random_keys(50, 2))
    # a retirement that was killed after it had announced its manifest, and before it wrote it
    content = (folder / "part-4" / "manifest.json").read_bytes()
    retire_release(folder, "part-4", NOW)
    checksums = json.loads((folder / ".checksums.json").read_text())
    checksums["releases"]["part-4"].append(hashlib.sha256(content).hexdigest())
    (folder / ".checksums.json").write_text(json.dumps(checksums))
    KnownReleases.open(folder)
    (folder / "part-4" / "manifest.json").write_bytes(content)
    assert {each["id"] for each in read_manifests(folder) if each["retired"] is None} == {"part-1", "part-4"}
    retire_release(folder, "part-4", NOW)
    # a home of an earlier version has no checksums; the next release brings them
    (folder / ".checksums.json").unlink()
    register(folder, "part-5", random_keys(50, 3))
    assert set(json.loads((folder / ".checksums.json").read_text())["releases"]) == {
        "part-1", "part-2", "part-4", "part-5",
    }  # fmt: skip
