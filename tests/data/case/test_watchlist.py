"""Bundles are authenticated, imports are atomic, and the watch-list resolves tags exactly."""

from __future__ import annotations

import numpy as np
import pytest

from data.case.bundle import RECORD_DTYPE, read_bundle, write_bundle
from data.case.watchlist import Watchlist
from data.case.watchlist_import import import_bundle, retire_canaries
from data.errors import BundleError, ConfigError, StoreFull
from data.hashing.case_keys import MatchKey
from data.hashing.tags import Kind, confirm_digest, probe_tag
from data.watchlist.manifest import client_names, read_manifest, write_manifest
from data.watchlist.segment import MAX_SHARING

KEYS = MatchKey(b"k" * 32).derive()


def bundle(folder, client="c1", values=(b"a@b.example", b"c@d.example"), name="One", kind=Kind.EMAIL):
    records = np.zeros(len(values), RECORD_DTYPE)
    for at, value in enumerate(values):
        records[at] = (
            probe_tag(KEYS.probe, kind, value), np.frombuffer(confirm_digest(KEYS.confirm, kind, value), np.uint8), at, kind,
        )  # fmt: skip
    path = folder / f"{client}-{len(list(folder.glob('*')))}.bundle"
    write_bundle(path, KEYS.enrol, records, client=client, name=name, canaries=len(values))
    return path


def take(folder, path):
    return import_bundle(folder / "watchlist", KEYS.case, *read_bundle(path, KEYS.case, KEYS.bundle))


def owners(folder, value, kind=Kind.EMAIL):
    tag, digest = probe_tag(KEYS.probe, kind, value), confirm_digest(KEYS.confirm, kind, value)
    return resolved(Watchlist.open(folder / "watchlist", case=KEYS.case), [(tag, digest, kind)])


def resolved(watchlist, wanted):
    tags, digests, kinds = zip(*wanted, strict=True)
    which, codes = watchlist.resolve(
        np.array(tags, np.uint64), np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16), np.array(kinds, np.uint8)
    )
    found = [(watchlist.client_of(code >> 32), code & 0xFFFFFFFF) for code in codes.tolist()]
    return found if len(wanted) == 1 else list(zip(which.tolist(), found, strict=True))


def test_imported_tags_resolve_to_their_client_and_canary(tmp_path):
    assert take(tmp_path, bundle(tmp_path))
    assert take(tmp_path, bundle(tmp_path, "c2", (b"c@d.example",), "Two"))
    assert owners(tmp_path, b"a@b.example") == [("c1", 0)]
    assert sorted(client for client, _ in owners(tmp_path, b"c@d.example")) == ["c1", "c2"]
    assert owners(tmp_path, b"x@y.example") == []
    assert client_names(tmp_path / "watchlist") == {"c1": "One", "c2": "Two"}


def test_a_tag_counts_only_when_digest_and_kind_agree(tmp_path):
    take(tmp_path, bundle(tmp_path))
    watchlist = Watchlist.open(tmp_path / "watchlist", case=KEYS.case)
    tag = probe_tag(KEYS.probe, Kind.EMAIL, b"a@b.example")
    digest = confirm_digest(KEYS.confirm, Kind.EMAIL, b"a@b.example")
    right, wrong, other = (tag, digest, Kind.EMAIL), (tag, bytes(16), Kind.EMAIL), (tag, digest, Kind.TOKEN)
    assert resolved(watchlist, [right]) == [("c1", 0)]
    assert resolved(watchlist, [wrong]) == resolved(watchlist, [other]) == []
    assert resolved(watchlist, [wrong, right, other, right]) == [(1, ("c1", 0)), (3, ("c1", 0))]


@pytest.mark.parametrize(("canaries", "owned"), [(MAX_SHARING, MAX_SHARING), (MAX_SHARING + 1, 0)])
def test_a_value_that_too_many_canaries_share_is_no_evidence_for_any(tmp_path, canaries, owned):
    take(tmp_path, bundle(tmp_path, values=[b"none@mail.example"] * canaries + [b"a@b.example"]))
    assert len(owners(tmp_path, b"none@mail.example")) == owned
    assert owners(tmp_path, b"a@b.example") == [("c1", canaries)]
    # it is told, and not lost: the self-test finds each entry
    assert read_manifest(tmp_path / "watchlist").shared == (0 if owned else 1)
    assert Watchlist.open(tmp_path / "watchlist", case=KEYS.case).count_unreachable(canaries) == 0


@pytest.mark.slow
def test_people_who_were_enrolled_too_often_are_noticed(tmp_path):
    crowd = [b"%d@b.example" % number for number in range(5)]
    for _ in range(MAX_SHARING):
        take(tmp_path, bundle(tmp_path, values=crowd))
    take(tmp_path, bundle(tmp_path, client="c2", values=[b"z@b.example"]))
    assert Watchlist.open(tmp_path / "watchlist", case=KEYS.case).count_shared() == 0
    last = bundle(tmp_path, client="c2", values=crowd)
    take(tmp_path, last)
    assert Watchlist.open(tmp_path / "watchlist", case=KEYS.case).count_shared() == len(crowd) * (MAX_SHARING + 1)
    assert owners(tmp_path, crowd[0]) == []
    retire_canaries(tmp_path / "watchlist", KEYS.case, "c1")
    assert Watchlist.open(tmp_path / "watchlist", case=KEYS.case).count_shared() == 0
    assert len(owners(tmp_path, crowd[0])) == 1


def test_the_same_bundle_is_imported_once(tmp_path):
    path = bundle(tmp_path)
    assert take(tmp_path, path)
    assert not take(tmp_path, path)
    assert len(Watchlist.open(tmp_path / "watchlist", case=KEYS.case)) == 2


def test_a_retired_client_gives_no_hits_and_is_still_listed(tmp_path):
    take(tmp_path, bundle(tmp_path))
    assert retire_canaries(tmp_path / "watchlist", KEYS.case, "c1") == 2
    assert owners(tmp_path, b"a@b.example") == []
    (client,) = Watchlist.open(tmp_path / "watchlist", case=KEYS.case).clients()
    assert (client.active, client.retired) == (0, 2)
    assert retire_canaries(tmp_path / "watchlist", KEYS.case, "c1") == 0


def test_every_altered_byte_of_a_bundle_is_noticed(tmp_path):
    path = bundle(tmp_path)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BundleError) as caught:
            read_bundle(path, KEYS.case, KEYS.bundle)
        assert caught.value.hint
    for end in range(0, len(whole), 11):
        path.write_bytes(whole[:end])
        with pytest.raises(BundleError):
            read_bundle(path, KEYS.case, KEYS.bundle)


def test_a_bundle_of_another_key_is_reported_as_such(tmp_path):
    other = MatchKey(b"o" * 32).derive()
    with pytest.raises(BundleError, match="of case"):
        read_bundle(bundle(tmp_path), other.case, other.bundle)


def test_a_bundle_never_overwrites_a_file(tmp_path):
    path = bundle(tmp_path)
    with pytest.raises(BundleError, match="not overwritten"):
        write_bundle(path, KEYS.enrol, np.zeros(0, RECORD_DTYPE), client="c", name="", canaries=0)


def test_an_interrupted_import_leaves_the_old_list(tmp_path, monkeypatch):
    take(tmp_path, bundle(tmp_path))
    path = bundle(tmp_path, "c2", (b"z@z.example",))
    (tmp_path / "watchlist" / "generation-dead").mkdir()
    monkeypatch.setattr("data.watchlist.manifest.orjson.dumps", _no_space)
    with pytest.raises(StoreFull, match="no space"):
        take(tmp_path, path)
    monkeypatch.undo()
    assert owners(tmp_path, b"a@b.example") == [("c1", 0)]
    assert owners(tmp_path, b"z@z.example") == []
    assert take(tmp_path, path)
    assert not list((tmp_path / "watchlist").glob("generation-*"))
    assert len(list((tmp_path / "watchlist").glob("segment-*"))) == 1


def _no_space(*_args, **_more):
    raise OSError(28, "No space left on device")


def test_a_list_of_another_case_or_normaliser_is_refused(tmp_path, monkeypatch):
    take(tmp_path, bundle(tmp_path))
    with pytest.raises(ConfigError, match="belongs to case"):
        Watchlist.open(tmp_path / "watchlist", case="other")
    manifest = read_manifest(tmp_path / "watchlist")
    monkeypatch.setattr("data.watchlist.manifest.NORMALISER", 99)
    write_manifest(tmp_path / "watchlist", manifest)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="normaliser version 99"):
        Watchlist.open(tmp_path / "watchlist", case=KEYS.case)
