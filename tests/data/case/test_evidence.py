from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyrage
import pytest

from data.case import evidence
from data.case.evidence_chain import CHAIN_FILE, EMPTY_CHAIN_HEAD
from data.case.evidence_check import verify
from data.errors import InputError, KeyFileError, StoreError, StoreFull

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PRIVATE, PUBLIC = evidence.new_identity()
PAYLOAD = b'{"excerpts": ["jean.dupont@example.org"]}'


def test_sealed_bytes_open_only_with_the_private_half() -> None:
    sealed = evidence.seal(PUBLIC, PAYLOAD)
    assert PAYLOAD not in sealed
    assert pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(PRIVATE)]) == PAYLOAD
    other, _ = evidence.new_identity()
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(other)])


def test_the_standard_age_tool_opens_a_seal(tmp_path: Path) -> None:
    age = shutil.which("age")
    assert age, "age is missing:  sudo apt-get install --no-install-recommends age"
    (tmp_path / "key").write_text(PRIVATE + "\n")
    (tmp_path / "sealed").write_bytes(evidence.seal(PUBLIC + "\n", PAYLOAD))
    done = subprocess.run([age, "-d", "-i", "key", "sealed"], cwd=tmp_path, capture_output=True, timeout=30)
    assert done.stdout == PAYLOAD, done.stderr


def test_each_of_several_recipients_opens_a_seal_alone() -> None:
    keys = [evidence.new_identity() for _ in range(3)]
    listed = "# duty officers\n" + "\n\n".join(public for _, public in keys) + f"\n{keys[0][1]}\n"
    sealed = evidence.seal(listed, PAYLOAD)
    for private, _ in keys:
        assert pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(private)]) == PAYLOAD
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(PRIVATE)])
    assert sealed.count(b"-> X25519 ") == 3
    for wrong in (
        listed + "ssh-ed25519 AAAA\n",
        "# nobody\n",
        "\n".join(evidence.new_identity()[1] for _ in range(17)),
    ):
        with pytest.raises(KeyFileError):
            evidence.seal(wrong, PAYLOAD)


@pytest.mark.parametrize("text", ["", "age1nonsense", pytest.param(PRIVATE, id="a private key"), "ssh-ed25519 AAAA"])
def test_a_text_that_is_no_public_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(KeyFileError) as refused:
        evidence.seal(text, PAYLOAD)
    assert not text or text not in str(refused.value)


def keep(folder: Path, name: str, at: datetime = NOW, payload: bytes = PAYLOAD) -> evidence.EvidenceEntry:
    return evidence.keep(folder, name, evidence.seal(PUBLIC, payload), at)


def test_kept_evidence_is_listed_read_and_verified(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    sealed = evidence.seal(PUBLIC, PAYLOAD)
    evidence.keep(folder, "a1", sealed, NOW)
    keep(folder, "b2")
    assert [(entry.seq, entry.id, entry.at) for entry in evidence.entries(folder)] == [(0, "a1", NOW), (1, "b2", NOW)]
    assert evidence.read(folder, "a1") == sealed
    assert verify(folder) == []
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_finding_is_kept_once(tmp_path: Path) -> None:
    first = keep(tmp_path, "a1")
    assert keep(tmp_path, "a1", NOW + timedelta(1)) == first
    assert len(evidence.entries(tmp_path)) == 1
    assert verify(tmp_path) == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".a", "a" * 129])
def test_an_id_that_could_name_another_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        evidence.keep(tmp_path, name, b"x", NOW)
    assert not list(tmp_path.iterdir())


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_every_change_of_a_file_or_the_chain_is_found(tmp_path: Path) -> None:
    for name in ("a1", "b2", "c3"):
        keep(tmp_path, name)
    chain = tmp_path / CHAIN_FILE
    whole = chain.read_bytes()
    lines = whole.splitlines(keepends=True)
    for broken in (
        lines[0] + lines[2],
        lines[1] + lines[2],
        lines[1] + lines[0] + lines[2],
        whole.replace(b'"bytes":', b'"bytez":', 1),
        whole.replace(b'"id":"a1"', b'"id":"a2"', 1),
        whole + lines[2],
        whole[:-3],
        b"not json\n" + whole,
    ):
        chain.write_bytes(broken)
        assert verify(tmp_path), broken
    chain.write_bytes(whole)
    assert verify(tmp_path) == []
    flip(tmp_path / "b2.age", 100)
    assert verify(tmp_path) == ["the sealed file of b2 was altered"]
    with pytest.raises(StoreError):
        evidence.read(tmp_path, "b2")
    flip(tmp_path / "b2.age", 100)
    (tmp_path / "c3.age").unlink()
    assert verify(tmp_path) == ["the sealed file of c3 is missing"]
    (tmp_path / "d4.age").write_bytes(b"x")
    assert any("not in the chain" in problem for problem in verify(tmp_path))


@pytest.mark.slow
def test_each_of_a_thousand_random_changes_is_found(tmp_path: Path) -> None:
    """Edits, deletions, repetitions, reorderings and truncations of files and of the chain, from one seed.

    A chain that was cut at a line is whole in itself: its head is what differs from the one that alerts carry.
    """
    dice = random.Random(17)
    for number in range(6):
        keep(tmp_path, f"e{number}", payload=PAYLOAD * (number + 1))
    originals = {
        path: path.read_bytes()
        for path in sorted(tmp_path.iterdir())
        if path.suffix in {".age", ".jsonl"} or path.name == CHAIN_FILE
    }
    chain, head = tmp_path / CHAIN_FILE, evidence.head(tmp_path)
    assert verify(tmp_path) == []
    assert len(originals) == 7
    undetected = []
    for turn in range(1000):
        path = chain if turn % 2 else dice.choice(sorted(originals))
        before = originals[path]
        kind = dice.choice(["edit", "delete", "repeat", "reorder", "truncate", "insert", "remove"])
        changed = _changed(before, kind, dice, lines=path == chain)
        if changed is None:
            path.unlink()
        elif changed == before:
            continue
        else:
            path.write_bytes(changed)
        if not verify(tmp_path) and evidence.head(tmp_path) == head:
            undetected.append((turn, path.name, kind))
        path.write_bytes(before)
    assert undetected == []
    assert verify(tmp_path) == []


def _changed(content: bytes, kind: str, dice: random.Random, *, lines: bool) -> bytes | None:
    if kind == "remove":
        return None
    parts = content.splitlines(keepends=True) if lines else [content[at : at + 16] for at in range(0, len(content), 16)]
    at = dice.randrange(len(parts))
    if kind == "edit":
        place = dice.randrange(len(content))
        return content[:place] + bytes([content[place] ^ 1 << dice.randrange(8)]) + content[place + 1 :]
    if kind == "delete":
        return b"".join(parts[:at] + parts[at + 1 :])
    if kind == "repeat":
        return b"".join([*parts[:at], parts[at], *parts[at:]])
    if kind == "reorder":
        dice.shuffle(parts)
        return b"".join(parts)
    if kind == "truncate":
        return content[: dice.randrange(len(content))]
    place = dice.randrange(len(content))
    return content[:place] + dice.randbytes(dice.randrange(1, 9)) + content[place:]


def test_the_head_of_the_chain_changes_with_every_line(tmp_path: Path) -> None:
    assert evidence.head(tmp_path) == (0, EMPTY_CHAIN_HEAD)
    keep(tmp_path, "a1")
    first = evidence.head(tmp_path)
    keep(tmp_path, "b2")
    assert [count for count, _ in (first, evidence.head(tmp_path))] == [1, 2]
    assert len({first[1], evidence.head(tmp_path)[1], EMPTY_CHAIN_HEAD}) == 3


def test_expired_evidence_is_deleted_and_leaves_a_tombstone(tmp_path: Path) -> None:
    keep(tmp_path, "old", NOW - timedelta(40))
    keep(tmp_path, "young", NOW - timedelta(1))
    assert evidence.older_than(tmp_path, NOW - timedelta(30)) == ["old"]
    assert evidence.expire(tmp_path, NOW - timedelta(30), NOW) == ["old"]
    assert evidence.older_than(tmp_path, NOW - timedelta(30)) == []
    assert evidence.expire(tmp_path, NOW - timedelta(30), NOW) == []
    assert not (tmp_path / "old.age").exists()
    assert [(entry.id, entry.expired) for entry in evidence.entries(tmp_path)] == [("old", NOW), ("young", None)]
    assert verify(tmp_path) == []
    with pytest.raises(InputError, match="expired on 2026-11-24"):
        evidence.read(tmp_path, "old")
    # expired evidence cannot be kept again
    keep(tmp_path, "old")
    assert not (tmp_path / "old.age").exists()


def test_a_file_left_by_a_killed_expiry_is_reported_and_deleted_next_time(tmp_path: Path) -> None:
    keep(tmp_path, "old", NOW - timedelta(40))
    sealed = (tmp_path / "old.age").read_bytes()
    evidence.expire(tmp_path, NOW, NOW)
    (tmp_path / "old.age").write_bytes(sealed)
    assert any("still exists" in problem for problem in verify(tmp_path))
    evidence.expire(tmp_path, NOW, NOW)
    assert verify(tmp_path) == []


def test_the_next_keep_repairs_what_a_killed_one_left(tmp_path: Path) -> None:
    keep(tmp_path, "a1")
    (tmp_path / "b2.age").write_bytes(b"whole, but not yet in the chain")
    chain = tmp_path / CHAIN_FILE
    chain.write_bytes(chain.read_bytes() + b'{"seq":1,"do":"ke')
    assert len(verify(tmp_path)) == 2
    keep(tmp_path, "b2")
    assert verify(tmp_path) == []


def test_evidence_is_kept_even_after_a_damaged_line(tmp_path: Path) -> None:
    keep(tmp_path, "a1")
    chain = tmp_path / CHAIN_FILE
    chain.write_bytes(b"?" + chain.read_bytes())
    keep(tmp_path, "b2")
    assert [entry.id for entry in evidence.entries(tmp_path)] == ["b2"]
    assert any("line 0" in problem for problem in verify(tmp_path))


def test_a_full_disk_leaves_the_chain_unchanged(tmp_path: Path) -> None:
    keep(tmp_path, "a1")
    # a limit on the size of files simulates a full disk: the write fails in the same place
    code = (
        "import resource, signal, sys, pathlib, datetime\n"
        "from data.case import evidence, evidence_chain\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "size = (folder / evidence_chain.CHAIN_FILE).stat().st_size + 20\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "try:\n"
        "    evidence.keep(folder, 'b2', b'x', datetime.datetime.now(datetime.UTC))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert done.stdout.strip() in {StoreError.__name__, StoreFull.__name__}, done.stderr
    assert [entry.id for entry in evidence.entries(tmp_path)] == ["a1"]
    assert (tmp_path / CHAIN_FILE).read_bytes().endswith(b"\n")
    keep(tmp_path, "b2")
    assert verify(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(StoreError):
        keep(blocked, "a1")


@pytest.mark.slow
def test_two_processes_keep_into_one_chain(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, datetime\n"
        "from data.case import evidence\n"
        "for n in range(40):\n"
        "    now = datetime.datetime.now(datetime.UTC)\n"
        "    evidence.keep(pathlib.Path(sys.argv[1]), f'{sys.argv[2]}-{n}', b'x' * n, now)\n"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), name], cwd=Path(__file__).parents[3], env={**os.environ}
        )
        for name in ("a", "b")
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    assert verify(tmp_path) == []
    assert len(evidence.entries(tmp_path)) == 80
