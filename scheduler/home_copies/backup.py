"""A backup of a home that is in use, as one tar file compressed with Zstandard, and a home made of it again.

The database is copied from one snapshot, while others write to it; the evidence is what its chain named at that moment.
Folders that commands change as a whole (the watch-list, releases) are locked while they are copied. The last member lists
the digest of each file, so that a backup that was cut off or damaged is never restored.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, cast

from data.case.evidence import SUFFIX, entries_of
from data.case.evidence_chain import CHAIN_FILE, read_chain
from data.durable_files import is_disk_full, locked_folder, new_file, sync_folder
from data.errors import InputError, StoreError, StoreFull
from data.releases.registered import CHECKSUMS
from data.settings.home import Home
from data.store.database import translated_errors
from data.store.store import Store

HEAD, SUMS = "tocsin-backup.json", "SHA256SUMS"
FORMAT = 1
# Of a running Tocsin: another one makes them anew. Databases are copied by SQLite.
_LEFT_OUT = frozenset({"daemon.lock", "daemon.told", "delivery.lock", "tor"})
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What a backup holds.

    Attributes:
        made: when, aware UTC. version: of Tocsin. keys: whether the private keys are in it.
        files, bytes: of the home. head: of the evidence and audit chains, as text.
    """

    made: datetime
    version: str
    keys: bool
    files: int
    bytes: int
    head: str


def write_backup(home: Home, file: Path, *, with_keys: bool) -> BackupSummary:
    """Write a backup of a home; commands and the daemon may run meanwhile.

    Args:
        home: to copy.
        file: to write; it must not exist, and not lie inside the home.
        with_keys: also the folder `keys`; else only the public half of the evidence key.

    Raises:
        InputError: the file exists, lies in the home or cannot be written.
        StoreFull: the disk is full.
        StoreError: the database or the evidence cannot be read.
    """
    if file.exists():
        raise InputError(f"{file} exists already", hint="choose another name: a backup never replaces a file")
    if home.path.resolve() in file.resolve().parents:
        raise InputError(
            "a backup inside the home would be lost with it", hint="choose a file elsewhere, best on another disk"
        )
    part = file.with_name(f".{file.name}.part")
    snapshot = file.with_name(f".{file.name}.db")
    try:
        with _removed(part, snapshot):
            chain, head = _snapshot(home, snapshot)
            made = datetime.now(UTC)
            with new_file(part) as stream:
                summary = _write(home, stream, snapshot, chain, with_keys=with_keys, made=made, head=head)
            part.rename(file)
            sync_folder(file.parent)
    except OSError as error:
        if is_disk_full(error):
            raise StoreFull(f"there is no room for {file}", hint="free some space; no backup was made") from error
        raise InputError(
            f"the backup cannot be written: {error.strerror or error}", hint=f"check {file.parent}"
        ) from error
    return summary


@contextlib.contextmanager
def _removed(*paths: Path) -> Iterator[None]:
    """Begin without these files, and leave none of them behind."""
    for path in paths:
        path.unlink(missing_ok=True)
    try:
        yield
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _snapshot(home: Home, target: Path) -> tuple[bytes, str]:
    """Copy the database; returns the chain of the evidence at the moment of the copy, and the head of both chains."""
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with (
        contextlib.closing(Store.open(home.db_path)) as store,
        contextlib.closing(Store.open(home.db_path)) as reading,
        translated_errors(),
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy,
    ):
        source = reading.database.connection
        # nobody commits while both are looked at; after that, the snapshot of this connection does not change any more
        with store.together():
            source.execute("begin")
            source.execute("select count(*) from sqlite_master").fetchone()
            chain, head = read_chain(home.evidence_dir), str(reading.head())
        source.backup(copy, pages=-1)
        source.execute("rollback")
        # one file, without a log beside it
        copy.execute("pragma journal_mode = delete")
    return chain, head


def _write(
    home: Home, stream: IO[bytes], snapshot: Path, chain: bytes, *, with_keys: bool, made: datetime, head: str
) -> BackupSummary:
    """Write all members of the archive."""
    import zstandard

    sums: list[str] = []
    total = 0
    compressed = zstandard.ZstdCompressor(level=3).stream_writer(stream, closefd=False)
    with (
        compressed,
        tarfile.open(fileobj=cast("IO[bytes]", compressed), mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        describing = {
            "format": FORMAT,
            "version": version("tocsin"),
            "made": made.isoformat(),
            "keys": with_keys,
            "head": head,
        }
        _add_bytes(archive, HEAD, json.dumps(describing).encode(), made)
        for name, content in _members(home, snapshot, chain, with_keys=with_keys):
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as opened:
                size = opened.seek(0, os.SEEK_END)
                opened.seek(0)
                digest = _Digesting(opened, size)
                archive.addfile(_info(name, size, made), cast("IO[bytes]", digest))
            sums.append(f"{digest.hex}  {name}\n")
            total += size
        _add_bytes(archive, SUMS, "".join(sums).encode(), made)
    return BackupSummary(made, version("tocsin"), with_keys, len(sums), total, head)


def _members(home: Home, snapshot: Path, chain: bytes, *, with_keys: bool) -> Iterator[tuple[str, Path | bytes]]:
    """Name and content of each file of the home that belongs into a backup."""
    yield "tocsin.db", snapshot
    yield f"evidence/{CHAIN_FILE}", chain
    # what was sealed after the snapshot is not in its chain; what expired since is missing, as after any purge
    for entry in entries_of(chain):
        if (sealed := home.evidence_dir / f"{entry.id}{SUFFIX}").is_file():
            yield f"evidence/{sealed.name}", sealed
    for path in sorted(home.path.iterdir()):
        if path.name in _LEFT_OUT or path.name.startswith((".", "tocsin.db")):
            continue
        if path == home.keys_dir and not with_keys:
            if home.evidence_key_path.is_file():
                yield "keys/evidence.pub", home.evidence_key_path
            continue
        if path.is_file():
            yield path.name, path
        elif path.is_dir() and path != home.evidence_dir:
            with locked_folder(path) if path in (home.watchlist_dir, home.releases_dir) else contextlib.nullcontext():
                yield from _files_below(path, path.name)


def _files_below(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _files_below(path, f"{name}/{path.name}")
        elif path.is_file() and (path.name == CHECKSUMS or not path.name.startswith(".")):
            yield f"{name}/{path.name}", path


class _Digesting:
    """Reads exactly so many bytes of a file, and digests them; a file that becomes shorter meanwhile is an error."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left, self._digest = stream, size, hashlib.sha256()

    def read(self, size: int) -> bytes:
        """The next bytes."""
        chunk = self._stream.read(min(size, self._left))
        self._left -= len(chunk)
        self._digest.update(chunk)
        return chunk

    @property
    def hex(self) -> str:
        """The digest of what was read."""
        return self._digest.hexdigest()


def _info(name: str, size: int, made: datetime) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(made.timestamp())
    return info


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes, made: datetime) -> None:
    archive.addfile(_info(name, len(content), made), io.BytesIO(content))


def restore_backup(file: Path, folder: Path) -> BackupSummary:
    """Make a home of a backup; after an error, nothing of it is left.

    Args:
        file: the backup.
        folder: the home to make; it must not exist, or be empty.

    Raises:
        InputError: the folder is not empty, or the file is no backup, is cut off or damaged.
        StoreFull: the disk is full.
        StoreError: the database in it is damaged.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} is not an empty folder", hint="restore into a new folder, and compare before you replace"
        )
    existed = folder.exists()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        summary = _extract(file, folder)
        with contextlib.closing(Store.open(folder / "tocsin.db")) as store:
            if damage := store.database.integrity_problems():
                raise StoreError(f"the database of this backup is damaged: {damage[0]}", hint="use an older backup")
        for name in ("sources", "keys", "watchlist", "releases", "evidence"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        sync_folder(folder)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if existed:
            folder.mkdir(mode=0o700, exist_ok=True)
        if isinstance(error, OSError):
            if is_disk_full(error):
                raise StoreFull(
                    f"there is no room in {folder}", hint="free some space; nothing was restored"
                ) from error
            raise InputError(
                f"the backup cannot be restored: {error.strerror}", hint=f"check {file} and {folder}"
            ) from error
        raise
    return summary


def _extract(file: Path, folder: Path) -> BackupSummary:
    """Write the files of a backup into a folder, and compare their digests."""
    import zstandard

    found: dict[str, str] = {}
    described: dict[str, object] = {}
    listed: dict[str, str] | None = None
    total = 0
    try:
        with (
            file.open("rb") as stream,
            zstandard.ZstdDecompressor().stream_reader(stream) as plain,
            tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r|") as archive,
        ):
            for member in archive:
                content = archive.extractfile(member)
                if content is None or not _is_plain(member.name) or member.name in found:
                    raise InputError(f"{file} holds something that no backup of a home does; it was not restored")
                if member.name == HEAD and not found:
                    described = json.loads(content.read(_CHUNK))
                elif member.name == SUMS:
                    lines = content.read().decode().splitlines()
                    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
                else:
                    found[member.name] = _write_file(folder, member.name, content)
                    total += member.size
    except (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError) as error:
        raise InputError(
            f"{file} is no backup, or is damaged; nothing was restored", hint="use another backup"
        ) from error
    if described.get("format") != FORMAT:
        raise InputError(
            f"{file} is no backup that this version can read", hint="use the version that wrote it, or a newer one"
        )
    if listed != found:
        raise InputError(f"{file} is cut off or damaged; nothing was restored", hint="use another backup")
    return BackupSummary(
        datetime.fromisoformat(str(described["made"])), str(described["version"]), bool(described["keys"]),
        len(found), total, str(described["head"]),
    )  # fmt: skip


def _is_plain(name: str) -> bool:
    """Whether a name lies below the folder into which a backup is restored."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _write_file(folder: Path, name: str, content: IO[bytes]) -> str:
    """Write a file below a folder; returns its digest."""
    path = folder
    for step in PurePosixPath(name).parts:
        path.mkdir(mode=0o700, exist_ok=True)
        path /= step
    digest = hashlib.sha256()
    with new_file(path) as stream:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            stream.write(chunk)
    return digest.hexdigest()
