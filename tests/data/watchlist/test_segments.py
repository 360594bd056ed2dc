"""Segments find what was imported, in any number of bundles and steps, and no damage to them goes unnoticed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.case.bundle import RECORD_DTYPE, BundleHeader
from data.case.watchlist import Watchlist
from data.case.watchlist_import import import_bundles, retire_canaries
from data.errors import BundleError, StoreError, StoreFull
from data.hashing.tags import Kind
from data.tagsets import verified_files
from data.watchlist import segment_writer
from data.watchlist.manifest import MANIFEST, read_manifest
from data.watchlist.segment import MAX_SHARING

CASE = "case"
KINDS = np.array([Kind.EMAIL, Kind.PHONE, Kind.NAME_DOB, Kind.PHONE_DOB], np.uint8)


def random_bundle(number, tags, canaries=50, shared=()):
    """A bundle of random entries; `shared` entries of another one are added, under canary 0."""
    dice = np.random.default_rng(number)
    records = np.zeros(tags + len(shared), RECORD_DTYPE)
    records["tag"][:tags] = dice.integers(1, 2**64, tags, dtype=np.uint64)
    records["digest"][:tags] = dice.integers(0, 256, (tags, 16), dtype=np.uint8)
    records["canary"][:tags] = dice.integers(0, canaries, tags)
    records["kind"][:tags] = KINDS[dice.integers(0, len(KINDS), tags)]
    for field in ("tag", "digest", "kind"):
        records[field][tags:] = shared[field] if len(shared) else records[field][tags:]
    header = BundleHeader(
        f"bundle-{number}", CASE, f"client-{number}", f"Client {number}", "2026-11-01", canaries, len(records), {}
    )
    return header, records


def opened(folder) -> Watchlist:
    return Watchlist.open(folder, case=CASE)


def found(watchlist, records, most=MAX_SHARING) -> set[tuple[int, int]]:
    """(number of a record, canary) of all entries that records resolve to."""
    values, codes = watchlist.resolve(records["tag"].copy(), records["digest"].copy(), records["kind"].copy(), most)
    assert (np.diff(values) >= 0).all()
    is_value = records["kind"] < 16
    seen = watchlist.probe_values.lookup(records["tag"].copy()) & is_value
    seen |= watchlist.probe_records.lookup(records["tag"].copy()) & ~is_value
    assert seen[values].all(), "what resolves is a member too"
    return set(zip(values.tolist(), codes.tolist(), strict=True))


def own(number, records) -> set[tuple[int, int]]:
    return {(at, number << 32 | int(canary)) for at, canary in enumerate(records["canary"].tolist())}


def segments(folder) -> list[Path]:
    return sorted(folder.glob("segment-*"))


@pytest.mark.slow
def test_entries_are_found_after_any_sequence_of_imports_and_retirements(tmp_path, monkeypatch):
    # ranges of a few entries, runs in a file, and segments that are not all merged
    monkeypatch.setattr(segment_writer, "_RANGE_ENTRIES", 40)
    monkeypatch.setattr(segment_writer, "_IN_MEMORY", 0)
    monkeypatch.setattr("data.case.watchlist_import.SMALL_SEGMENT", 10)
    bundles = [random_bundle(number, tags) for number, tags in enumerate((3000, 5, 700, 40, 40, 1, 2000))]
    bundles.append(random_bundle(7, 30, shared=bundles[0][1][:3]))
    counts = []
    for group in (bundles[:1], bundles[1:4], bundles[4:5], bundles[5:6], bundles[6:]):
        assert len(import_bundles(tmp_path, CASE, group)) == len(group)
        counts.append(len(segments(tmp_path)))
    assert counts == [1, 2, 3, 4, 1], "3000, 745, 40 and 1 stay apart; 2030 more are merged with all of them"
    watchlist = opened(tmp_path)
    assert len(watchlist) == sum(len(records) for _, records in bundles)
    for number, (_, records) in enumerate(bundles):
        expected = own(number, records)
        if number == 0:
            expected |= {(at, 7 << 32) for at in range(3)}
        if number == 7:
            expected |= {(30 + at, int(bundles[0][1]["canary"][at])) for at in range(3)}
        assert found(watchlist, records) == expected, number
    before = {path: path.stat().st_ino for path in segments(tmp_path)}
    assert retire_canaries(tmp_path, CASE, "client-0") == 50
    assert {path: path.stat().st_ino for path in segments(tmp_path)} == before, "retiring rewrites no tags"
    watchlist = opened(tmp_path)
    assert found(watchlist, bundles[0][1]) == {(at, 7 << 32) for at in range(3)}
    assert len(watchlist) == sum(len(records) for _, records in bundles[1:])
    assert watchlist.count_unreachable(500) == 0
    # the next merge leaves them out
    large = random_bundle(8, 9000)
    import_bundles(tmp_path, CASE, [large])
    manifest = read_manifest(tmp_path)
    assert sum(each.tags for each in manifest.segments) == sum(len(each[1]) for each in bundles[1:]) + 9000
    watchlist = opened(tmp_path)
    assert found(watchlist, large[1]) == own(8, large[1])
    assert found(watchlist, bundles[0][1]) == {(at, 7 << 32) for at in range(3)}
    for number in range(1, 9):
        retire_canaries(tmp_path, CASE, f"client-{number}")
    empty = opened(tmp_path)
    assert len(empty) == len(segments(tmp_path)) == 0
    assert not found(empty, large[1])
    assert len(empty.clients()) == 9


@pytest.mark.slow
def test_a_large_part_with_shared_tags_resolves_exactly(tmp_path):
    header, records = random_bundle(1, 600_000, canaries=70_000)
    # a telephone number that a thousand people share, with one digest
    records["tag"][:1000], records["digest"][:1000], records["kind"][:1000] = 12345 << 40, 7, Kind.PHONE
    records["canary"][:1000] = np.arange(1000)
    import_bundles(tmp_path, CASE, [(header, records)])
    assert read_manifest(tmp_path).shared == 1, "a value that recognises nobody is told"
    watchlist = opened(tmp_path)
    some = records[np.r_[0:1, 1000:40_000]]
    assert found(watchlist, some, 1000) == own(0, some) | {(0, canary) for canary in range(1000)}
    # so many people are told apart by their other values
    assert found(watchlist, some) == found(watchlist, some, 999) == {pair for pair in own(0, some) if pair[0] > 0}
    size = sum(path.stat().st_size for path in tmp_path.rglob("*"))
    assert size <= 20 * len(records) + 2 * 4 * 2**20, "20 bytes a tag, and the table of buckets of each part"
    foreign = random_bundle(2, 100_000)[1]
    assert not found(watchlist, foreign)
    assert watchlist.probe_values.lookup(foreign["tag"].copy()).sum() == 0


def test_one_bad_bundle_of_many_adds_nothing(tmp_path):
    import_bundles(tmp_path, CASE, [random_bundle(0, 100)])
    before = (tmp_path / MANIFEST).read_bytes()
    header, records = random_bundle(2, 100)
    records["canary"][5] = header.canaries
    with pytest.raises(BundleError, match="client-2 has a canary that its header does not count"):
        import_bundles(tmp_path, CASE, [random_bundle(1, 100), (header, records)])
    assert (tmp_path / MANIFEST).read_bytes() == before
    assert len(segments(tmp_path)) == 1


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.slow
def test_every_flipped_byte_is_noticed_at_the_next_opening(tmp_path):
    import_bundles(tmp_path, CASE, [random_bundle(number, 40) for number in range(3)])
    whole = {path: path.read_bytes() for path in [*tmp_path.rglob("*.part"), tmp_path / MANIFEST]}
    assert len(whole) == 3
    loaded = opened(tmp_path)
    loaded.verify()
    for path, content in whole.items():
        for at in range(0, len(content), max(1, len(content) // 60)):
            flip(path, at)
            with pytest.raises(StoreError) as caught:
                opened(tmp_path)
            assert caught.value.hint
            with pytest.raises(StoreError):
                loaded.verify()
            path.write_bytes(content)
        for end in (0, 3, len(content) // 2, len(content) - 1):
            path.write_bytes(content[:end])
            with pytest.raises(StoreError):
                opened(tmp_path)
            path.write_bytes(content)
        path.rename(tmp_path / "aside")
        with pytest.raises(StoreError):
            opened(tmp_path)
        with pytest.raises(StoreError):
            loaded.verify()
        (tmp_path / "aside").rename(path)
    loaded.verify()
    # a damaged segment is not merged into a new one, which would give the damage a valid checksum
    flip(next(tmp_path.rglob("*.part")), 200)
    with pytest.raises(StoreError, match="does not match its checksum"):
        import_bundles(tmp_path, CASE, [random_bundle(4, 40)])


def test_a_large_list_is_read_whole_only_after_a_change_and_by_verify(tmp_path, monkeypatch):
    monkeypatch.setattr(verified_files, "ALWAYS_VERIFIED", 0)
    bundle = random_bundle(0, 300)
    import_bundles(tmp_path, CASE, [bundle])
    path = next(tmp_path.rglob("values.part"))
    state = path.stat()
    flip(path, 200)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(StoreError, match="does not match its checksum"):
        opened(tmp_path)
    with pytest.raises(StoreError, match="does not match its checksum"):
        opened(tmp_path)
    # storage that decays under an unchanged file: its times and inode are those that were noted
    verified_files.note_verified(tmp_path, list(tmp_path.rglob("*.part")))
    decayed = opened(tmp_path)
    with pytest.raises(StoreError, match="does not match its checksum"):
        decayed.verify()
    # after a restart of the machine it is read whole again
    monkeypatch.setattr(verified_files, "_boot", lambda: "another boot")
    with pytest.raises(StoreError, match="does not match its checksum"):
        opened(tmp_path)
    flip(path, 200)
    assert found(opened(tmp_path), bundle[1]) == own(0, bundle[1])


def test_a_list_that_was_opened_reports_a_list_that_is_gone_or_older(tmp_path):
    folder = tmp_path / "watchlist"
    import_bundles(folder, CASE, [random_bundle(0, 100)])
    shutil.copytree(folder, tmp_path / "backup")
    import_bundles(folder, CASE, [random_bundle(1, 100)])
    watchlist = opened(folder)
    shutil.rmtree(folder)
    with pytest.raises(StoreError, match="has 0 bundles now, instead of 2"):
        watchlist.verify()
    shutil.copytree(tmp_path / "backup", folder)
    with pytest.raises(StoreError, match="has 1 bundles now, instead of 2"):
        watchlist.verify()


def test_a_full_disk_leaves_the_old_list_and_no_file(tmp_path, monkeypatch):
    bundle = random_bundle(0, 100)
    import_bundles(tmp_path, CASE, [bundle])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("data.watchlist.segment_writer.os.fsync", full)
    with pytest.raises(StoreFull, match="no space is left on the disk for the watch-list"):
        import_bundles(tmp_path, CASE, [random_bundle(1, 5000)])
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert found(opened(tmp_path), bundle[1]) == own(0, bundle[1])


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_list(tmp_path):
    bundles = [random_bundle(number, 200) for number in range(2)]
    start = tmp_path / "start"
    import_bundles(start, CASE, bundles[:1])
    retired = random_bundle(2, 10)
    import_bundles(start, CASE, [retired])
    outcomes = []
    for moment in range(200):
        folder = tmp_path / f"killed-{moment}"
        shutil.copytree(start, folder)
        child = os.fork()
        if not child:
            left = [moment]

            def count(event: str, _arguments: object, left=left) -> None:
                # each system call that changes a folder, and each opened file
                if event in {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}:
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.addaudithook(count)
            retire_canaries(folder, CASE, "client-2")
            import_bundles(folder, CASE, bundles[1:])
            os._exit(0)
        _, status = os.waitpid(child, 0)
        names = [bundle["id"] for bundle in read_manifest(folder).bundles]
        watchlist = opened(folder)
        watchlist.verify()
        assert found(watchlist, bundles[0][1]) == own(0, bundles[0][1])
        assert bool(found(watchlist, bundles[1][1])) == ("bundle-1" in names)
        outcomes.append(len(names))
        # the next import completes it, and leaves nothing of the one that was killed
        import_bundles(folder, CASE, bundles[1:])
        assert found(opened(folder), bundles[1][1]) == own(2, bundles[1][1])
        assert len(list(folder.iterdir())) <= 3 + outcomes[-1], sorted(folder.iterdir())
        shutil.rmtree(folder)
        if not status:
            break
    else:
        pytest.fail("the import never ended")
    assert set(outcomes) == {2, 3}
    assert outcomes == sorted(outcomes), "once the new list is there, it stays"


def test_a_list_of_an_earlier_version_is_opened_and_then_converted(tmp_path):
    with zipfile.ZipFile(Path(__file__).parents[2] / "samples" / "homes" / "2026-11.zip") as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / "home" / "watchlist"
    case = read_manifest(folder).case
    older = Watchlist.open(folder, case=case)
    assert not older.has_checksums
    older.verify()
    assert older.count_unreachable(1000) == 0
    assert len(older) == 271
    (generation,) = folder.glob("generation-*")
    tags = np.load(generation / "tags.npy")
    digests, kinds = np.load(generation / "digests.npy"), np.load(generation / "kinds.npy")
    before = older.resolve(tags, digests, kinds)
    assert len(before[0]) >= 271
    import_bundles(folder, case, [])
    converted = Watchlist.open(folder, case=case)
    assert converted.has_checksums
    assert converted.clients() == older.clients()
    assert not list(folder.glob("generation-*"))
    after = converted.resolve(tags, digests, kinds)
    assert sorted(zip(*map(np.ndarray.tolist, before), strict=True)) == sorted(
        zip(*map(np.ndarray.tolist, after), strict=True)
    )
