"""Sealed evidence: sealing in the age format, and an append-only hash chain of all sealed files.

This module only ever has the public half of the evidence key. The examiner decides what a sealed file contains, and the
caller when to keep or expire it. The chain reveals every change except lines removed from its end; to reveal that too,
a caller must note `head` elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import orjson

from data.errors import InputError, KeyFileError, StoreError, StoreFull

CHAIN_FILE = "chain.jsonl"
SUFFIX = ".age"
EMPTY_CHAIN_HEAD = "0" * 64
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


@dataclass(frozen=True, slots=True)
class EvidenceEntry:
    """One sealed file that was kept.

    Attributes:
        seq: its place in the chain. sha256: hex digest of the sealed file. bytes: its size.
        at: when it was kept, aware UTC. expired: when the file was deleted; None while it exists.
    """

    seq: int
    id: str
    sha256: str
    bytes: int
    at: datetime
    expired: datetime | None = None


def new_identity() -> tuple[str, str]:
    """A new age key pair as text: the private half (`AGE-SECRET-KEY-1…`) and the public half (`age1…`)."""
    import pyrage

    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


def seal(recipient: str, payload: bytes) -> bytes:
    """Seal bytes for the holder of the private key; the standard `age -d` opens them.

    Args:
        recipient: the public half, `age1…`.
        payload: the bytes to seal; the sealed file reveals only their exact length.

    Raises:
        KeyFileError: the recipient is not an age X25519 public key.
    """
    import pyrage

    try:
        to = pyrage.x25519.Recipient.from_str(recipient.strip())
    except pyrage.RecipientError as error:
        raise KeyFileError(
            "the evidence key is not an age public key",
            hint="keys/evidence.pub must hold one line that starts with age1",
        ) from error
    sealed: bytes = pyrage.encrypt(payload, [to])
    return sealed


def keep(folder: Path, finding_id: str, sealed: bytes, now: datetime) -> EvidenceEntry:
    """Write a sealed file and its line in the chain; both are on the disk when this returns.

    Each finding is kept once: a second call for the same id changes nothing and returns the first entry. A caller that
    was killed before it recorded the success can therefore simply call again.

    Raises:
        InputError: the id is not valid as a file name.
        StoreFull: no space is left; the chain is unchanged.
        StoreError: the folder cannot be written.
    """
    _check_id(finding_id)
    with _open_chain_locked(folder) as chain:
        lines = _read_and_repair(chain)
        for entry in _entries(lines):
            if entry.id == finding_id:
                return entry
        _write_atomically(folder / (finding_id + SUFFIX), sealed)
        digest = hashlib.sha256(sealed).hexdigest()
        seq = _append(chain, lines, {"do": "keep", "id": finding_id, "sha256": digest, "bytes": len(sealed)}, now)
        return EvidenceEntry(seq, finding_id, digest, len(sealed), now)


def entries(folder: Path) -> list[EvidenceEntry]:
    """All entries in the order of the chain; damaged lines are skipped, and `verify` reports them.

    Raises:
        StoreError: the chain cannot be read at all.
    """
    return _entries(_lines(_read(folder)))


def read(folder: Path, finding_id: str) -> bytes:
    """The sealed bytes of one finding, checked against the digest in the chain.

    Raises:
        InputError: there is no evidence with this id, or it has expired.
        StoreError: the file is missing, or its digest differs from that in the chain.
    """
    _check_id(finding_id)
    found = next((entry for entry in entries(folder) if entry.id == finding_id), None)
    if found is None:
        raise InputError(f"no evidence with the id {finding_id}", hint="see: tocsin evidence list")
    if found.expired is not None:
        raise InputError(f"the evidence {finding_id} expired on {found.expired:%Y-%m-%d} and was deleted")
    try:
        sealed = (folder / (finding_id + SUFFIX)).read_bytes()
    except OSError as error:
        raise StoreError(
            f"the sealed file of {finding_id} cannot be read: {error.strerror}", hint="run: tocsin evidence verify"
        ) from error
    if hashlib.sha256(sealed).hexdigest() != found.sha256:
        raise StoreError(f"the sealed file of {finding_id} was altered", hint="run: tocsin evidence verify")
    return sealed


def older_than(folder: Path, before: datetime) -> list[str]:
    """The ids that `expire` would delete: kept before a time and not expired yet."""
    return [entry.id for entry in entries(folder) if entry.expired is None and entry.at < before]


def expire(folder: Path, before: datetime, now: datetime | None = None) -> list[str]:
    """Delete the sealed files that were kept before a time, and return their ids; the chain gets a tombstone for each.

    The tombstone is written before the file is deleted: if the process is killed in between, the next call deletes the
    remaining file.

    Args:
        folder: the `evidence` folder of a home; it need not exist.
        before: aware UTC.
        now: the time of the tombstones, aware; the current time by default.

    Raises:
        StoreFull: no space is left for a tombstone.
        StoreError: the folder cannot be written.
    """
    deleted: list[str] = []
    if not folder.exists():
        return deleted
    now = now or datetime.now(UTC)
    with _open_chain_locked(folder) as chain:
        lines = _read_and_repair(chain)
        for entry in _entries(lines):
            file = folder / (entry.id + SUFFIX)
            if entry.expired is None and entry.at < before:
                _append(chain, lines, {"do": "expire", "id": entry.id}, now)
                file.unlink(missing_ok=True)
                deleted.append(entry.id)
            elif entry.expired is not None:
                file.unlink(missing_ok=True)
        _sync_folder(folder)
    return deleted


def verify(folder: Path) -> list[str]:
    """Every problem of the evidence, one sentence each; empty if there is none."""
    try:
        raw = _read(folder)
    except StoreError as error:
        return [str(error)]
    problems: list[str] = []
    if raw and not raw.endswith(b"\n"):
        problems.append("the last line of the chain is truncated; it is removed when the next evidence is kept")
    previous, kept = EMPTY_CHAIN_HEAD, dict[str, tuple[str, bool]]()
    for number, line in enumerate(_lines(raw)):
        try:
            value = orjson.loads(line)
            what, name, seq, link = str(value["do"]), str(value["id"]), value["seq"], value["prev"]
            datetime.fromisoformat(value["at"])
            digest = str(value["sha256"]) if what == "keep" else ""
        except (ValueError, KeyError, TypeError):
            problems.append(f"line {number} of the chain cannot be read")
            previous = hashlib.sha256(line).hexdigest()
            continue
        if seq != number:
            problems.append(f"line {number} of the chain has the number {seq}: lines are missing or were added")
        if link != previous:
            problems.append(f"line {number} of the chain does not match the digest of the line before it")
        previous = hashlib.sha256(line).hexdigest()
        if what == "keep" and name not in kept:
            kept[name] = (digest, False)
        elif what == "expire" and name in kept:
            kept[name] = (kept[name][0], True)
        else:
            problems.append(f"line {number} of the chain keeps an id a second time, or expires one that was never kept")
    for name, (digest, gone) in kept.items():
        problems.extend(_file_problems(folder / (name + SUFFIX), name, digest, gone))
    known = {name + SUFFIX for name in kept}
    problems.extend(
        f"{file.name} is in the folder but not in the chain"
        for file in sorted(folder.glob("*" + SUFFIX))
        if file.name not in known
    )
    return problems


def head(folder: Path) -> str:
    """Hex digest of the last line of the chain; 64 zeros if the chain is empty.

    Noted elsewhere, it later reveals whether lines were removed from the end.
    """
    lines = _lines(_read(folder))
    return hashlib.sha256(lines[-1]).hexdigest() if lines else EMPTY_CHAIN_HEAD


def _file_problems(file: Path, name: str, digest: str, gone: bool) -> Iterator[str]:
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        if not gone:
            yield f"the sealed file of {name} is missing"
        return
    except OSError as error:
        yield f"the sealed file of {name} cannot be read: {error.strerror}"
        return
    if gone:
        yield f"{name} has expired, but its file still exists; the next expiry deletes it"
    elif found != digest:
        yield f"the sealed file of {name} was altered"


def _check_id(finding_id: str) -> None:
    if not _ID.fullmatch(finding_id):
        raise InputError("an evidence id has only letters, digits, _ and -", hint="see: tocsin evidence list")


def _read(folder: Path) -> bytes:
    try:
        return (folder / CHAIN_FILE).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"the evidence chain cannot be read: {error.strerror}") from error


def _lines(raw: bytes) -> list[bytes]:
    """All complete lines; a truncated last line is ignored, because no caller was told that it was written."""
    return raw.split(b"\n")[:-1]


def _entries(lines: list[bytes]) -> list[EvidenceEntry]:
    found: dict[str, EvidenceEntry] = {}
    for line in lines:
        try:
            value = orjson.loads(line)
            at = datetime.fromisoformat(value["at"])
            _check_id(value["id"])
            if value["do"] == "keep":
                found[value["id"]] = EvidenceEntry(value["seq"], value["id"], value["sha256"], value["bytes"], at)
            else:
                found[value["id"]] = replace(found[value["id"]], expired=at)
        except (ValueError, KeyError, TypeError, InputError):
            # a damaged line must not prevent new evidence from being kept or old evidence from expiring; `verify`
            # reports it
            continue
    return list(found.values())


@contextlib.contextmanager
def _open_chain_locked(folder: Path) -> Iterator[IO[bytes]]:
    """Open the chain and lock it against other processes; errors of the file system become StoreFull or StoreError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / CHAIN_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "r+b", buffering=0) as chain:  # noqa: PTH123 - opened with its mode above
            fcntl.flock(chain, fcntl.LOCK_EX)
            yield chain
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(
                "no space is left on the disk for evidence", hint="free some space; nothing was lost"
            ) from error
        raise StoreError(
            f"evidence cannot be written: {error.strerror}", hint=f"check the permissions of {folder}"
        ) from error


def _read_and_repair(chain: IO[bytes]) -> list[bytes]:
    """The lines of the chain, after removing a truncated last line, which a killed process leaves."""
    chain.seek(0)
    raw = chain.read()
    complete = raw.rfind(b"\n") + 1
    if complete != len(raw):
        chain.truncate(complete)
        os.fsync(chain.fileno())
    return _lines(raw[:complete])


def _append(chain: IO[bytes], lines: list[bytes], value: Mapping[str, Any], now: datetime) -> int:
    previous = hashlib.sha256(lines[-1]).hexdigest() if lines else EMPTY_CHAIN_HEAD
    seq = len(lines)
    line = orjson.dumps({"seq": seq, **value, "at": now, "prev": previous}, option=orjson.OPT_UTC_Z)
    start = chain.seek(0, os.SEEK_END)
    try:
        unwritten = memoryview(line + b"\n")
        while unwritten:
            unwritten = unwritten[chain.write(unwritten) :]
        os.fsync(chain.fileno())
    except OSError:
        # on a full disk, remove the part of the line that was written, so that the chain stays valid
        chain.truncate(start)
        raise
    lines.append(line)
    return seq


def _write_atomically(file: Path, content: bytes) -> None:
    """Write a file so that it is either absent or complete."""
    temporary = file.with_suffix(".new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as out:  # noqa: PTH123 - opened with its mode above
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
