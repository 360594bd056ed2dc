"""Sealed evidence: sealing in the age format, and keeping, reading and expiring the sealed files.

This module only ever has the public half of the evidence key. The examiner decides what a sealed file contains, and the
caller when to keep or expire it. `data.case.evidence_chain` records what was kept; `data.case.evidence_check` compares
the files, the chain and the database.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from data.case.evidence_chain import append, head_of, lines_of, open_chain_locked, read_and_repair, read_chain
from data.durable_files import read_file, replace_file, sync_folder
from data.errors import InputError, KeyFileError, StoreError
from data.hashing.chain_keys import ChainKey

SUFFIX = ".age"
MAX_RECIPIENTS = 16
"""People for whom evidence is sealed."""
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


def seal(recipients: str, payload: bytes) -> bytes:
    """Seal bytes for everyone who holds one of the private keys; the standard `age -d` opens them.

    Args:
        recipients: the public halves, `age1…`, one on each line; lines that begin with # and empty lines are none.
        payload: the bytes to seal; the sealed file reveals only their exact length and the number of recipients.

    Raises:
        KeyFileError: a line is not an age X25519 public key, or there are none or too many.
    """
    import pyrage

    lines = [line.strip() for line in recipients.splitlines()]
    keys = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    try:
        to = [pyrage.x25519.Recipient.from_str(key) for key in keys]
    except pyrage.RecipientError as error:
        raise KeyFileError(
            "the evidence key is not an age public key",
            hint="each line of keys/evidence.pub must start with age1, or with # for a remark",
        ) from error
    if not 1 <= len(to) <= MAX_RECIPIENTS:
        raise KeyFileError(
            "keys/evidence.pub holds no age public key, or too many",
            hint=f"write 1 to {MAX_RECIPIENTS} public keys into it, one on each line",
        )
    sealed: bytes = pyrage.encrypt(payload, to)
    return sealed


def keep(folder: Path, finding_id: str, sealed: bytes, now: datetime, key: ChainKey | None = None) -> EvidenceEntry:
    """Write a sealed file and its line in the chain; both are on the disk when this returns.

    Each finding is kept once: a second call for the same id changes nothing and returns the first entry. A caller that
    was killed before it recorded the success can therefore simply call again.

    Args:
        folder: the `evidence` folder of a home.
        finding_id: names the file.
        sealed: what `seal` made.
        now: aware UTC.
        key: of the next entry of the chain or an earlier one; advanced beyond the entry. Without it the line is not
            keyed, which only a chain without keys allows.

    Raises:
        InputError: the id is not valid as a file name.
        KeyFileError: the chain is keyed, but no key was given.
        StoreFull: no space is left; the chain is unchanged.
        StoreError: the folder cannot be written.
    """
    _check_id(finding_id)
    with open_chain_locked(folder) as chain:
        lines = read_and_repair(chain)
        for entry in _entries(lines):
            if entry.id == finding_id:
                return entry
        replace_file(folder / (finding_id + SUFFIX), [sealed])
        digest = hashlib.sha256(sealed).hexdigest()
        seq = append(chain, lines, {"do": "keep", "id": finding_id, "sha256": digest, "bytes": len(sealed)}, now, key)
        return EvidenceEntry(seq, finding_id, digest, len(sealed), now)


def entries(folder: Path) -> list[EvidenceEntry]:
    """All entries in the order of the chain; damaged lines are skipped, and `verify` reports them.

    Raises:
        StoreError: the chain cannot be read at all.
    """
    return entries_of(read_chain(folder))


def entries_of(chain: bytes) -> list[EvidenceEntry]:
    """The entries of the bytes of a chain, as `entries`."""
    return _entries(lines_of(chain))


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
        sealed = read_file(folder / (finding_id + SUFFIX))
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


def expire(folder: Path, before: datetime, now: datetime | None = None, key: ChainKey | None = None) -> list[str]:
    """Delete the sealed files that were kept before a time, and return their ids; the chain gets a tombstone for each.

    The tombstone is written before the file is deleted: if the process is killed in between, the next call deletes the
    remaining file.

    Args:
        folder: the `evidence` folder of a home; it need not exist.
        before: aware UTC.
        now: the time of the tombstones, aware; the current time by default.
        key: as for `keep`.

    Raises:
        KeyFileError: the chain is keyed, but no key was given.
        StoreFull: no space is left for a tombstone.
        StoreError: the folder cannot be written.
    """
    deleted: list[str] = []
    if not folder.exists():
        return deleted
    now = now or datetime.now(UTC)
    with open_chain_locked(folder) as chain:
        lines = read_and_repair(chain)
        for entry in _entries(lines):
            file = folder / (entry.id + SUFFIX)
            if entry.expired is None and entry.at < before:
                append(chain, lines, {"do": "expire", "id": entry.id}, now, key)
                file.unlink(missing_ok=True)
                deleted.append(entry.id)
            elif entry.expired is not None:
                file.unlink(missing_ok=True)
        sync_folder(folder)
    return deleted


def head(folder: Path) -> tuple[int, str]:
    """Number of lines of the chain, and hex digest of the last one; 64 zeros if the chain is empty."""
    return head_of(lines_of(read_chain(folder)))


def try_folder(folder: Path) -> None:
    """Return if evidence can be read and written: the chain is read, and a small file is written and deleted.

    Raises:
        StoreFull: no space is left.
        StoreError: the chain cannot be read, or the folder cannot be written.
    """
    with open_chain_locked(folder):
        read_chain(folder)
        trial = folder / "trial.new"
        replace_file(trial, [b"\0" * 4096])
        trial.unlink()


def _check_id(finding_id: str) -> None:
    if not _ID.fullmatch(finding_id):
        raise InputError("an evidence id has only letters, digits, _ and -", hint="see: tocsin evidence list")


def _entries(lines: list[bytes]) -> list[EvidenceEntry]:
    found: dict[str, EvidenceEntry] = {}
    for line in lines:
        try:
            value = orjson.loads(line)
            if value["do"] == "key":
                continue
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
