"""Sealed evidence: age-format sealing, an append-only chain of what was kept, its verification and its expiry.

Only the public half of the evidence key is ever here; what is in a seal is decided by the examiner, and when to keep
or expire by the caller. A chain shows every change but one: lines cut from its end. Who wants to see that too notes
`head` elsewhere (the store's audit does).
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

CHAIN = "chain.jsonl"
SUFFIX = ".age"
FIRST = "0" * 64
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One kept seal.

    Attributes:
        seq: its place in the chain. sha256: hex, of the sealed file; bytes: its size. at: aware UTC.
        expired: when its file was deleted, None while it is there.
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
        payload: what to seal; only its length (rounded by nothing) can be seen from outside.

    Raises:
        KeyFileError: the recipient is not an age X25519 public key.
    """
    import pyrage

    try:
        to = pyrage.x25519.Recipient.from_str(recipient.strip())
    except pyrage.RecipientError as error:
        raise KeyFileError(
            "the evidence key is not an age public key", hint="keys/evidence.pub holds one line that starts with age1"
        ) from error
    sealed: bytes = pyrage.encrypt(payload, [to])
    return sealed


def keep(folder: Path, finding_id: str, sealed: bytes, now: datetime) -> Entry:
    """Write a seal and its line in the chain; both are on disk when this returns.

    A finding is kept once: a second call for its id changes nothing and returns the first entry, so that a
    caller that was killed before it noted its success may simply call again.

    Raises:
        InputError: the id could not be a file name.
        StoreFull: no space is left; the chain is as before.
        StoreError: the folder cannot be written.
    """
    _check(finding_id)
    with _writing(folder) as chain:
        lines = _recovered(chain)
        for entry in _entries(lines):
            if entry.id == finding_id:
                return entry
        _write_aside(folder / (finding_id + SUFFIX), sealed)
        digest = hashlib.sha256(sealed).hexdigest()
        seq = _append(chain, lines, {"do": "keep", "id": finding_id, "sha256": digest, "bytes": len(sealed)}, now)
        return Entry(seq, finding_id, digest, len(sealed), now)


def entries(folder: Path) -> list[Entry]:
    """All kept seals in the order of keeping; lines that are damaged are left to `verify`.

    Raises:
        StoreError: the chain cannot be read at all.
    """
    return _entries(_lines(_read(folder)))


def read(folder: Path, finding_id: str) -> bytes:
    """The sealed bytes of one finding, checked against the chain.

    Raises:
        InputError: there is none, or it has expired.
        StoreError: the file is missing or is not what was kept.
    """
    _check(finding_id)
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
        raise StoreError(f"the sealed file of {finding_id} is not what was kept", hint="run: tocsin evidence verify")
    return sealed


def older_than(folder: Path, before: datetime) -> list[str]:
    """Ids of what was kept before a time and has not expired: what `expire` would delete."""
    return [entry.id for entry in entries(folder) if entry.expired is None and entry.at < before]


def expire(folder: Path, before: datetime, now: datetime | None = None) -> list[str]:
    """Delete what was kept before a time; the chain keeps a tombstone for each. Returns the ids deleted.

    The tombstone comes first: killed between the two, the next call deletes the file that was left.

    Args:
        folder: the `evidence` folder of a home; one that is not there holds nothing.
        before: aware UTC.
        now: what the tombstones say; the clock's time if not given.

    Raises:
        StoreFull: no space is left for a tombstone.
        StoreError: the folder cannot be written.
    """
    done: list[str] = []
    if not folder.exists():
        return done
    now = now or datetime.now(UTC)
    with _writing(folder) as chain:
        lines = _recovered(chain)
        for entry in _entries(lines):
            file = folder / (entry.id + SUFFIX)
            if entry.expired is None and entry.at < before:
                _append(chain, lines, {"do": "expire", "id": entry.id}, now)
                file.unlink(missing_ok=True)
                done.append(entry.id)
            elif entry.expired is not None:
                file.unlink(missing_ok=True)
        _sync_folder(folder)
    return done


def verify(folder: Path) -> list[str]:
    """Everything that is wrong with the evidence, one sentence each; empty where all is well."""
    try:
        raw = _read(folder)
    except StoreError as error:
        return [str(error)]
    problems: list[str] = []
    if raw and not raw.endswith(b"\n"):
        problems.append("the last line of the chain is cut; keeping the next evidence mends it")
    previous, kept = FIRST, dict[str, tuple[str, bool]]()
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
            problems.append(f"line {number} of the chain carries the number {seq}")
        if link != previous:
            problems.append(f"line {number} of the chain does not follow from the line before it")
        previous = hashlib.sha256(line).hexdigest()
        if what == "keep" and name not in kept:
            kept[name] = (digest, False)
        elif what == "expire" and name in kept:
            kept[name] = (kept[name][0], True)
        else:
            problems.append(f"line {number} of the chain keeps an id twice or expires one that was not kept")
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
    """Hex digest of the chain's last line, 64 zeros for an empty chain: noted elsewhere, it shows a cut chain."""
    lines = _lines(_read(folder))
    return hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST


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
        yield f"{name} has expired but its file is still there; expire again to delete it"
    elif found != digest:
        yield f"the sealed file of {name} is not what was kept"


def _check(finding_id: str) -> None:
    if not _ID.fullmatch(finding_id):
        raise InputError("an evidence id is made of letters, digits, _ and -", hint="see: tocsin evidence list")


def _read(folder: Path) -> bytes:
    try:
        return (folder / CHAIN).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StoreError(f"the evidence chain cannot be read: {error.strerror}") from error


def _lines(raw: bytes) -> list[bytes]:
    """Whole lines; a cut last line was never acknowledged and counts for nothing."""
    return raw.split(b"\n")[:-1]


def _entries(lines: list[bytes]) -> list[Entry]:
    found: dict[str, Entry] = {}
    for line in lines:
        try:
            value = orjson.loads(line)
            at = datetime.fromisoformat(value["at"])
            _check(value["id"])
            if value["do"] == "keep":
                found[value["id"]] = Entry(value["seq"], value["id"], value["sha256"], value["bytes"], at)
            else:
                found[value["id"]] = replace(found[value["id"]], expired=at)
        except (ValueError, KeyError, TypeError, InputError):
            # a damaged line must not stop new evidence from being kept, nor old from expiring; verify reports it
            continue
    return list(found.values())


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[IO[bytes]]:
    """The chain, open and locked against other processes; errors of the file system become ours."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / CHAIN, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "r+b", buffering=0) as chain:  # noqa: PTH123 - opened with its mode above
            fcntl.flock(chain, fcntl.LOCK_EX)
            yield chain
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull("no space is left for evidence", hint="free space; nothing is lost") from error
        raise StoreError(f"evidence cannot be written: {error.strerror}", hint=f"check {folder}") from error


def _recovered(chain: IO[bytes]) -> list[bytes]:
    """The lines of the chain, after a cut last line (killed while writing it) was taken off."""
    chain.seek(0)
    raw = chain.read()
    whole = raw.rfind(b"\n") + 1
    if whole != len(raw):
        chain.truncate(whole)
        os.fsync(chain.fileno())
    return _lines(raw[:whole])


def _append(chain: IO[bytes], lines: list[bytes], value: Mapping[str, Any], now: datetime) -> int:
    previous = hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST
    seq = len(lines)
    line = orjson.dumps({"seq": seq, **value, "at": now, "prev": previous}, option=orjson.OPT_UTC_Z)
    start = chain.seek(0, os.SEEK_END)
    try:
        rest = memoryview(line + b"\n")
        while rest:
            rest = rest[chain.write(rest) :]
        os.fsync(chain.fileno())
    except OSError:
        # a full disk: take off what was written of the line, so that the chain stays whole
        chain.truncate(start)
        raise
    lines.append(line)
    return seq


def _write_aside(file: Path, content: bytes) -> None:
    """The file is either not there or whole."""
    aside = file.with_suffix(".new")
    try:
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:  # noqa: PTH123 - its mode
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        aside.replace(file)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
