"""The canary bundle: a versioned, authenticated file that carries a client's tags from the client to the monitor.

Layout: magic bytes, header length, JSON header, tag records of 29 bytes, and the HMAC-SHA-256 of everything before it
under the bundle key of the case. A bundle holds no plaintext, but whoever has the enrolment key could test guesses
against it. A bundle is accepted as a whole or not at all.

A file of many clients, which a vendor makes, holds one complete bundle for each client: magic bytes, each bundle after
its length (8 bytes), a length of 0, the number of bundles (8 bytes), and the HMAC-SHA-256 of everything before it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import mmap
import os
import secrets
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from data.durable_files import completed_file, is_disk_full, open_file
from data.errors import BundleError
from data.hashing.case_keys import EnrolKeys
from data.hashing.tags import Kind
from data.identifiers.normalise import VERSION as NORMALISER

MAGIC = b"TOCSINB1"
MANY_MAGIC = b"TOCSINBM"
FORMAT = 1
RECORD_DTYPE = np.dtype([("tag", "<u8"), ("digest", "u1", 16), ("canary", "<u4"), ("kind", "u1")])
_LENGTH = struct.Struct("<I")
_LONG = struct.Struct("<Q")
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
    """Write a bundle of one client atomically.

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
    header = _make_header(keys, records, client, name, canaries, planted=planted, now=now)
    with _new_file(path) as stream:
        _write_parts(stream, keys.bundle, _bundle_parts(header, records))
    return header


class BundlesWriter:
    """Writes a file of many clients, which appears once it is complete. Use it in a `with` block.

    Args:
        path: must not exist.
        keys: the enrolment keys of the case.

    Raises:
        BundleError: the file exists or cannot be written.
    """

    def __init__(self, path: Path, keys: EnrolKeys) -> None:
        self._keys, self._path, self._file = keys, path, _new_file(path)
        self._mac = hmac.new(keys.bundle, digestmod=hashlib.sha256)
        self._count = 0

    def __enter__(self) -> Self:
        """Create the file under a temporary name."""
        self._stream = self._file.__enter__()
        self._write(MANY_MAGIC)
        return self

    def add(
        self, records: NDArray[Any], *, client: str, name: str, canaries: int, now: datetime | None = None
    ) -> BundleHeader:
        """Add the bundle of one client; the arguments are those of `write_bundle`."""
        header = _make_header(self._keys, records, client, name, canaries, planted=False, now=now)
        parts = list(_bundle_parts(header, records))
        mac = hmac.new(self._keys.bundle, digestmod=hashlib.sha256)
        self._write(_LONG.pack(sum(map(len, parts)) + _MAC))
        for part in parts:
            mac.update(part)
            self._write(part)
        self._write(mac.digest())
        self._count += 1
        return header

    def _write(self, part: bytes | memoryview) -> None:
        self._mac.update(part)
        try:
            self._stream.write(part)
        except OSError as error:
            raise _not_written(self._path, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Complete the file, or delete it after an error."""
        if error is None:
            try:
                self._write(_LONG.pack(0) + _LONG.pack(self._count))
                self._stream.write(self._mac.digest())
            except BaseException as failed:
                self._file.__exit__(type(failed), failed, failed.__traceback__)
                raise
        self._file.__exit__(kind, error, trace)


def _make_header(
    keys: EnrolKeys,
    records: NDArray[Any],
    client: str,
    name: str,
    canaries: int,
    *,
    planted: bool,
    now: datetime | None,
) -> BundleHeader:
    counts = np.bincount(records["kind"], minlength=256)
    return BundleHeader(
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


def _bundle_parts(header: BundleHeader, records: NDArray[Any]) -> Iterator[bytes | memoryview]:
    """The bytes of a bundle without its MAC."""
    # not by asdict, which copies everything in them: a vendor's file has a header for each of 1,500 clients
    text = json.dumps({each.name: getattr(header, each.name) for each in fields(header)}).encode()
    yield MAGIC + _LENGTH.pack(len(text)) + text
    yield np.ascontiguousarray(records).view(np.uint8).reshape(-1).data


def _write_parts(stream: IO[bytes], key: bytes, parts: Iterable[bytes | memoryview]) -> None:
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        for start in range(0, len(part), _BLOCK):
            stream.write(part[start : start + _BLOCK])
            mac.update(part[start : start + _BLOCK])
    stream.write(mac.digest())


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file that gets its name once it is complete and flushed to the disk; deleted after an error.

    Raises:
        BundleError: the file exists or cannot be written.
    """
    if path.exists():
        raise BundleError(f"{path} exists and is not overwritten", hint="name another file with --out")
    try:
        with completed_file(path) as stream:
            yield stream
    except OSError as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: OSError) -> BundleError:
    hint = "free some space and try again; nothing was written" if is_disk_full(error) else ""
    return BundleError(f"{path} cannot be written: {error.strerror}", hint=hint or "choose another place with --out")


def read_bundles(path: Path, case: str, bundle_key: bytes) -> Iterator[tuple[BundleHeader, NDArray[Any]]]:
    """The header and the records of each bundle of a file, which may be one bundle or a file of many clients.

    Each bundle is authenticated before it is yielded, and the order and number of all before the iterator ends: use
    nothing of a file before its end. The records are mapped from the file, so memory does not grow with it.

    Args:
        path: the file.
        case: the case that the bundles must belong to.
        bundle_key: the bundle key of this case.

    Raises:
        BundleError: as `read_bundle`.
    """
    with _mapped(path) as blob:
        if not _is_many(blob):
            yield _parse_bundle(str(path), blob, case, bundle_key)
            return
        damaged = BundleError(f"{path} is truncated or altered", hint="ask the vendor to send the file again")
        mac = hmac.new(bundle_key, blob[: len(MANY_MAGIC)], hashlib.sha256)
        at, count = len(MANY_MAGIC), 0
        while True:
            if at + _LONG.size > len(blob):
                raise damaged
            (length,) = _LONG.unpack_from(blob, at)
            if not length:
                break
            end = at + _LONG.size + length
            if end > len(blob):
                raise damaged
            header, records = _parse_bundle(
                f"{path}, bundle {count + 1}", blob[at + _LONG.size : end], case, bundle_key
            )
            for start in range(at, end, _BLOCK):
                mac.update(blob[start : min(end, start + _BLOCK)])
            yield header, records
            at, count = end, count + 1
        mac.update(blob[at : at + 2 * _LONG.size])
        if len(blob) != at + 2 * _LONG.size + _MAC or not hmac.compare_digest(mac.digest(), blob[-_MAC:]):
            raise damaged
        if _LONG.unpack_from(blob, at + _LONG.size)[0] != count:
            raise damaged


def _is_many(blob: memoryview) -> bool:
    return len(blob) >= len(MANY_MAGIC) and bytes(blob[: len(MANY_MAGIC)]) == MANY_MAGIC


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """The bytes of a file, mapped; arrays made of them keep the map."""
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            blob = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if size else memoryview(b"")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no file"
        raise BundleError(f"{path} cannot be read: {reason}", hint="check the path") from error
    yield blob


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
    with _mapped(path) as blob:
        if _is_many(blob):
            raise BundleError(f"{path} holds bundles of many clients", hint="import it:  tocsin canary import FILE")
        return _parse_bundle(str(path), blob, case, bundle_key)


def _parse_bundle(path: str, blob: memoryview, case: str, bundle_key: bytes) -> tuple[BundleHeader, NDArray[Any]]:
    """Authenticate and parse one bundle; `path` names it in errors."""
    start = len(MAGIC) + _LENGTH.size
    if len(blob) < start + _MAC or bytes(blob[: len(MAGIC)]) != MAGIC:
        raise BundleError(
            f"{path} is not a canary bundle, or is truncated", hint="ask the client to send the bundle again"
        )
    (length,) = _LENGTH.unpack_from(blob, len(MAGIC))
    if length > _MAX_HEADER or start + length + _MAC > len(blob):
        raise BundleError(f"{path} is truncated or altered", hint="ask the client to send the bundle again")
    try:
        header = BundleHeader(**json.loads(bytes(blob[start : start + length])))
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
    body = blob[start + length : -_MAC]
    expected = hmac.digest(bundle_key, blob[:-_MAC], "sha256")
    if not hmac.compare_digest(expected, blob[-_MAC:]):
        raise BundleError(f"{path} is truncated or altered", hint="ask the client to send the bundle again")
    if len(body) != header.tags * RECORD_DTYPE.itemsize:
        raise BundleError(
            f"{path} does not have the number of tags that its header names",
            hint="ask the client to send the bundle again",
        )
    return header, np.frombuffer(body, RECORD_DTYPE)
