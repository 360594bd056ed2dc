"""The canary bundle: a versioned, authenticated file that carries a client's tags from the client to the monitor.

Layout: magic bytes, header length, JSON header, tag records of 29 bytes, and the HMAC-SHA-256 of everything before it
under the bundle key of the case. A bundle holds no plaintext, but whoever has the enrolment key could test guesses
against it. A bundle is accepted as a whole or not at all.
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
RECORD_DTYPE = np.dtype([("tag", "<u8"), ("digest", "u1", 16), ("canary", "<u4"), ("kind", "u1")])
_LENGTH = struct.Struct("<I")
_MAC = 32
_MAX_HEADER = 64 * 1024
_BLOCK = 8 * 2**20


@dataclass(frozen=True, slots=True)
class BundleHeader:
    """The header of a bundle.

    Attributes:
        canaries, tags: how many the bundle holds. kinds: how many tags of each kind, by kind word.
        planted: the canaries are invented people.
    """

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
) -> BundleHeader:
    """Write a bundle atomically.

    Args:
        path: must not exist.
        keys: the enrolment keys of the case.
        records: shape (n,), of dtype `RECORD_DTYPE`.
        client: opaque id of the client.
        name: display name of the client, shown in alerts.
        canaries: how many canaries the records belong to; they are numbered from 0.
        planted: the canaries are invented people.
        now: time of creation, aware; the current time by default.

    Raises:
        BundleError: the file exists or cannot be written.
    """
    counts = np.bincount(records["kind"], minlength=256)
    header = BundleHeader(
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
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:  # noqa: PTH123
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
        temporary.rename(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BundleError(
            f"{path} cannot be written: {error.strerror}", hint="choose another place with --out"
        ) from error
    return header


def read_bundle(path: Path, case: str, bundle_key: bytes) -> tuple[BundleHeader, NDArray[Any]]:
    """The header and the records of a bundle, after every byte of it has been authenticated.

    Args:
        path: the bundle.
        case: the case that the bundle must belong to.
        bundle_key: the bundle key of this case, which authenticates the bundle.

    Raises:
        BundleError: the file cannot be read, is no bundle, is truncated or altered, or belongs to another case or
        another
            version of the normaliser.
    """
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}", hint="check the path") from error
    start = len(MAGIC) + _LENGTH.size
    if len(blob) < start + _MAC or not blob.startswith(MAGIC):
        raise BundleError(
            f"{path} is not a canary bundle, or is truncated", hint="ask the client to send the bundle again"
        )
    (length,) = _LENGTH.unpack_from(blob, len(MAGIC))
    if length > _MAX_HEADER or start + length + _MAC > len(blob):
        raise BundleError(f"{path} is truncated or altered", hint="ask the client to send the bundle again")
    try:
        header = BundleHeader(**json.loads(blob[start : start + length]))
    except (ValueError, TypeError, RecursionError) as error:
        raise BundleError(
            f"{path} is altered, or was made by another version of Tocsin",
            hint="ask the client to send the bundle again, or to enrol again with this version",
        ) from error
    # Case and version are checked before the MAC, so that the message distinguishes a wrong key from damage. Nothing
    # else of the header is used until the MAC has been checked.
    if header.case != case:
        raise BundleError(
            f"{path} was made with the key of case {header.case}, not of this case ({case})",
            hint="give the client the keys/enrol.key of this home and have it enrol again",
        )
    if header.format != FORMAT or header.normaliser != NORMALISER:
        raise BundleError(
            f"{path} was made by a Tocsin with normaliser version {header.normaliser}; this one has {NORMALISER}",
            hint="use the same Tocsin version at the client and enrol again",
        )
    body = memoryview(blob)[start + length : -_MAC]
    expected = hmac.new(bundle_key, memoryview(blob)[:-_MAC], hashlib.sha256).digest()
    if not hmac.compare_digest(expected, blob[-_MAC:]):
        raise BundleError(f"{path} is truncated or altered", hint="ask the client to send the bundle again")
    if len(body) != header.tags * RECORD_DTYPE.itemsize:
        raise BundleError(
            f"{path} does not have the number of tags that its header names",
            hint="ask the client to send the bundle again",
        )
    return header, np.frombuffer(body, RECORD_DTYPE)
