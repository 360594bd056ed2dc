"""The file that carries a client's tags from the client to the monitor: versioned, authenticated, all or nothing.

Layout: magic, header length, JSON header, tag records of 29 bytes, HMAC-SHA-256 of all before it under the case's
bundle key. It holds no plaintext; who has the enrolment key could test guesses against it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BundleError
from data.hashing.case_keys import EnrolKeys
from data.hashing.tags import Kind
from data.identifiers.normalise import VERSION as NORMALISER

MAGIC = b"TOCSINB1"
FORMAT = 1
RECORD = np.dtype([("tag", "<u8"), ("digest", "u1", 16), ("canary", "<u4"), ("kind", "u1")])
_LENGTH = struct.Struct("<I")
_MAC = 32
_MAX_HEADER = 64 * 1024
_BLOCK = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Header:
    """What a bundle says of itself; `canaries` and `tags` are counts, `kinds` counts tags by kind word."""

    bundle: str
    case: str
    client: str
    name: str
    created: str
    canaries: int
    tags: int
    kinds: Mapping[str, int]
    planted: bool = False
    format: int = FORMAT
    normaliser: int = NORMALISER


def write_bundle(
    path: Path,
    keys: EnrolKeys,
    records: NDArray[Any],
    *,
    client: str,
    name: str,
    canaries: int,
    planted: bool = False,
    now: datetime | None = None,
) -> Header:
    """Write a bundle, whole or not at all.

    Args:
        path: must not exist.
        keys: of the case.
        records: shape (n,), of dtype `RECORD`.
        client: its opaque id. name: for people, shown in alerts.
        name: display name of the client.
        canaries: how many canaries the records belong to, numbered from 0.
        planted: the canaries are invented people.
        now: aware; time of making.

    Raises:
        BundleError: the file exists or cannot be written.
    """
    counts = np.bincount(records["kind"], minlength=256)
    header = Header(
        bundle=secrets.token_hex(8),
        case=keys.case,
        client=client,
        name=name,
        created=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
        canaries=canaries,
        tags=len(records),
        kinds={kind.word: int(counts[kind]) for kind in Kind if counts[kind]},
        planted=planted,
    )
    if path.exists():
        raise BundleError(f"{path} exists and is not overwritten", hint="name another file with --out")
    text = json.dumps(asdict(header)).encode()
    mac = hmac.new(keys.bundle, digestmod=hashlib.sha256)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:  # noqa: PTH123
            for part in (MAGIC, _LENGTH.pack(len(text)), text):
                stream.write(part)
                mac.update(part)
            body = memoryview(records.tobytes())
            for start in range(0, len(body), _BLOCK):
                stream.write(body[start : start + _BLOCK])
                mac.update(body[start : start + _BLOCK])
            stream.write(mac.digest())
            stream.flush()
            os.fsync(stream.fileno())
        aside.rename(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise BundleError(
            f"{path} cannot be written: {error.strerror}", hint="choose another place with --out"
        ) from error
    return header


def read_bundle(path: Path, case: str, bundle_key: bytes) -> tuple[Header, NDArray[Any]]:
    """The header and the records of a bundle, once every byte of it is authenticated.

    Args:
        path: of the bundle.
        case: the case that it must belong to. bundle_key: the case's.
        bundle_key: authenticates it.

    Raises:
        BundleError: it is unreadable, no bundle, cut, altered, of another case or another normaliser version.
    """
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}", hint="check the path") from error
    start = len(MAGIC) + _LENGTH.size
    if len(blob) < start + _MAC or not blob.startswith(MAGIC):
        raise BundleError(f"{path} is no canary bundle, or was cut", hint="ask the client to send it again")
    (length,) = _LENGTH.unpack_from(blob, len(MAGIC))
    if length > _MAX_HEADER or start + length + _MAC > len(blob):
        raise BundleError(f"{path} was cut or altered", hint="ask the client to send it again")
    try:
        header = Header(**json.loads(blob[start : start + length]))
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleError(f"{path} was altered, or made by another Tocsin", hint="ask for it again") from error
    # said before the MAC is looked at, so that the wrong key and damage are told apart; nothing of it is used yet
    if header.case != case:
        raise BundleError(
            f"{path} was made with the key of case {header.case}, not of this case ({case})",
            hint="give the client this home's keys/enrol.key and have it enrol again",
        )
    if header.format != FORMAT or header.normaliser != NORMALISER:
        raise BundleError(
            f"{path} was made by a Tocsin with normaliser version {header.normaliser}; this one has {NORMALISER}",
            hint="use the same Tocsin version at the client and enrol again",
        )
    body = memoryview(blob)[start + length : -_MAC]
    expected = hmac.new(bundle_key, memoryview(blob)[:-_MAC], hashlib.sha256).digest()
    if not hmac.compare_digest(expected, blob[-_MAC:]):
        raise BundleError(f"{path} was cut or altered on its way", hint="ask the client to send it again")
    if len(body) != header.tags * RECORD.itemsize:
        raise BundleError(f"{path} does not hold what its header says", hint="ask the client to send it again")
    return header, np.frombuffer(body, RECORD)
