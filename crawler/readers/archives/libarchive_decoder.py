"""libarchive as a decoder in memory: bytes go in, members come out; no path is opened and nothing is extracted.

Its own words about an archive are never passed on: they may hold names.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from isal import isal_zlib

from crawler.readers.archives.compressed_stream import Stream
from crawler.readers.archives.libarchive_input import MOST_KEPT, LibarchiveInput
from crawler.readers.archives.rar_listing import RarEntry, RarListing
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.special_members import (
    ProblemCounter,
    points_outside,
    report_empty_member,
    report_locked_member,
    report_unread_member,
)

MISSING = "libarchive13 is not installed; run: tocsin doctor"
_LIBRARIES = ("libarchive.so.13", "libarchive.so")
_EOF, _WARN, _FAILED, _FATAL = 1, -20, -25, -30
_REGULAR, _DIRECTORY, _LINK = 0o100000, 0o040000, 0o120000
_PIECE = 2**20
# checksums and marks at the end, which libarchive does not use, are shorter, and so is no packed file
_LEAST = 24
# headers that fail one after the other, warnings about one member: an archive may not stay at one place
_MAX_FAILED = 100


def _load() -> Any:
    """The module of libarchive's functions, None where the library is not there.

    The loader knows the system's folders also where no cache of them is to be seen, as inside bubblewrap.
    """
    if not os.environ.get("LIBARCHIVE"):
        for name in _LIBRARIES:
            try:
                ctypes.CDLL(name)
            except OSError:
                continue
            os.environ["LIBARCHIVE"] = name
            break
        else:
            return None
    try:
        ffi = importlib.import_module("libarchive.ffi")
        for name, takes, gives in (
            ("entry_is_data_encrypted", [ctypes.c_void_p], ctypes.c_int),
            ("entry_is_metadata_encrypted", [ctypes.c_void_p], ctypes.c_int),
            ("read_has_encrypted_entries", [ctypes.c_void_p], ctypes.c_int),
            ("entry_pathname_utf8", [ctypes.c_void_p], ctypes.c_char_p),
            ("filter_bytes", [ctypes.c_void_p, ctypes.c_int], ctypes.c_longlong),
        ):
            ffi.ffi(name, takes, gives)
    except (ImportError, AttributeError, OSError, TypeError):
        return None
    # it logs what libarchive says
    logging.getLogger("libarchive").propagate = False
    logging.getLogger("libarchive").addHandler(logging.NullHandler())
    return ffi


_ffi = _load()


_feeds: dict[int, LibarchiveInput] = {}
_keys = itertools.count(1)


def _next(archive: int, key: int, target: Any) -> int:  # noqa: ARG001 - the library's signature
    return _feeds[key].next(target)


# memory to run code from can only be had before a reader is confined: one function serves all archives
_NEXT = _ffi.READ_CALLBACK(_next) if _ffi is not None else None


def available() -> bool:
    """True if libarchive is there."""
    return _ffi is not None


def _code(call: Callable[..., int], *arguments: object) -> int:
    try:
        return call(*arguments)
    except _ffi.ArchiveError as error:
        return _FATAL if error.retcode is None else int(error.retcode)


def read_archive(
    source: Source,
    out: Output,
    limits: Limits,
    kind: str,
    *,
    whole: bytearray | None = None,
    listing: RarListing | None = None,
) -> None:
    """Read all members of an archive.

    Args:
        source: the archive.
        out: takes its members.
        limits: of the sample.
        kind: what libarchive calls the format.
        whole: the archive in memory, for formats that are read in any order.
        listing: sees what libarchive sees; members that libarchive does not come to are told from it.
    """
    _with_archive(source, out, limits, (kind, "none"), whole=whole, listing=listing)


def read_filtered(source: Source, out: Output, limits: Limits, kind: str, name: str) -> None:
    """Read a compressed file as one member of that name; `kind` is what libarchive calls the compression."""
    _with_archive(source, out, limits, ("raw", kind), name=name)


def _with_archive(
    source: Source,
    out: Output,
    limits: Limits,
    kinds: tuple[str, str],
    *,
    whole: bytearray | None = None,
    listing: RarListing | None = None,
    name: str | None = None,
) -> None:
    if _ffi is None:
        out.problem("unread", MISSING, incomplete=True)
        return
    key = next(_keys)
    feed = _feeds[key] = LibarchiveInput(source, listing)
    handle = _ffi.read_new()
    try:
        _ffi.get_read_filter_function(kinds[1])(handle)
        _ffi.get_read_format_function(kinds[0])(handle)
        if whole is None:
            code = _code(_ffi.read_open, handle, key, _ffi.NO_OPEN_CB, _NEXT, _ffi.NO_CLOSE_CB)
        else:
            # an empty array has no address
            memory = (ctypes.c_char * max(1, len(whole))).from_buffer(whole or bytearray(1))
            code = _code(_ffi.read_open_memory, handle, memory, len(whole))
        # of a compressed file the packed bytes tell where it ends, else those that the format itself has used
        feed.where = lambda: int(_ffi.filter_bytes(handle, -1 if kinds[0] == "raw" else 0))
        _Archive(source, out, limits, feed, handle, name, len(whole or b""), listing).read(code)
    finally:
        del _feeds[key]
        _code(_ffi.read_free, handle)


class _Archive:
    """One archive that libarchive reads."""

    def __init__(
        self,
        source: Source,
        out: Output,
        limits: Limits,
        feed: LibarchiveInput,
        handle: int,
        name: str | None,
        held: int,
        listing: RarListing | None,
    ) -> None:
        self.source = source
        self.limits = limits
        self.feed = feed
        self.handle = handle
        self.held = held
        self.notes = ProblemCounter()
        self._out = out
        self._name = name
        self._listing = listing
        self._members = 0
        self._locked = 0
        self._used = 0

    def read(self, code: int) -> None:
        """All members, then what was wrong."""
        try:
            self.feed.check()
            if code <= _FATAL:
                self._broken("its beginning")
            else:
                self._members_one_by_one()
            self._tell_the_rest()
            if not self.held:
                self._give_back()
        finally:
            if self._locked:
                self.notes.add("locked", f"{self._locked} of {self._members} members are encrypted and not read")
            self.notes.report(self._out)

    def _give_back(self) -> None:
        """Leave what follows the archive to be read by itself."""
        # what libarchive took for a header that it could not read is none of the archive's
        end = self._used if self._out.end_unknown else self.feed.where()
        if self._listing is not None and self._listing.end:
            end = self._listing.end
        if self.feed.dropped:
            self.notes.add("size", f"more than {MOST_KEPT} bytes between its members were not looked into")
        rest = self.feed.kept(end) + self.source.peek(_LEAST)
        if len(rest) > _LEAST:
            self.source.put_back(self.feed.kept(end))

    def _look_between(self) -> None:
        """Look into what stands between two members."""
        start, self._used = self._used, self.feed.where()
        if self.held or self._name is not None:
            return
        # the archive itself begins at the very first of them
        read_embedded(self.feed.kept(start, self._used), self.source, self._out, at=0 if start else 1)
        self.feed.forget(self._used)

    def _members_one_by_one(self) -> None:
        entry = ctypes.c_void_p()
        failed = 0
        while failed < _MAX_FAILED:
            code = _code(_ffi.read_next_header, self.handle, ctypes.byref(entry))
            self.feed.check()
            if code == _EOF:
                self._look_between()
                return
            if code <= _FATAL:
                break
            if code < _WARN:
                failed += 1
                self.notes.add("damaged", "a member's header is damaged")
                continue
            self._members += 1
            self._look_between()
            goes_on = self._member(entry)
            self._used = self.feed.where()
            if not goes_on:
                self._out.mark_end_unknown()
                return
        self._broken("a place after which no member is found")

    def _tell_the_rest(self) -> None:
        """Members that libarchive did not come to, by their headers."""
        listing = self._listing
        if listing is None:
            return
        while not listing.stopped and self.feed.more():
            pass
        for listed in listing.members[self._members :]:
            self._members += 1
            if listed.locked:
                self._locked += 1
                report_locked_member(self._out, listed.name)
            elif not listed.folder:
                report_unread_member(self._out, listed.name)
                self.notes.add("unread", "a member is packed in a way that is not known, or cannot be reached")

    def _listed(self, name: str) -> RarEntry | None:
        """What the listing knows of the member that libarchive is at, if both call it the same."""
        known = self._listing.members if self._listing is not None else []
        listed = known[self._members - 1] if self._members <= len(known) else None
        return listed if listed is not None and listed.name.replace("\\", "/") == name.replace("\\", "/") else None

    def _is_locked(self, entry: ctypes.c_void_p, name: str) -> bool:
        listed = self._listed(name)
        if listed is not None:
            return listed.locked
        return bool(_ffi.entry_is_data_encrypted(entry) or _ffi.entry_is_metadata_encrypted(entry))

    def _encrypted(self) -> bool:
        """True if libarchive met something encrypted: asked for 7z alone, for of a broken xar archive it dies."""
        return self.held > 0 and _ffi.read_has_encrypted_entries(self.handle) > 0

    def _broken(self, where: str) -> None:
        self._out.mark_end_unknown()
        if self._listing is not None and self._listing.locked:
            self.notes.add("locked", "its list of members is encrypted")
        elif self._encrypted():
            self.notes.add("locked", "what follows an encrypted part cannot be reached")
        elif self.feed.ended:
            self.notes.add("cut", "the archive ends before its end")
        else:
            self.notes.add("damaged", f"the archive is damaged or of an unknown kind at {where}")

    def _member(self, entry: ctypes.c_void_p) -> bool:
        """Read one; False if no other can be reached."""
        name = _title(entry) if self._name is None else self._name
        kind = _ffi.entry_filetype(entry) & 0o170000
        if kind == _DIRECTORY and not _ffi.entry_symlink(entry):
            return True
        if self._is_locked(entry, name):
            self._locked += 1
            report_locked_member(self._out, name)
            return True
        if self._bare(entry, kind):
            report_empty_member(self._out, name)
            return True
        body = _Body(self, max(0, _ffi.entry_size(entry)))
        member = Source(body.pieces(), name, body.amplification)
        self.feed.inside = True
        read_member(member, self._out)
        self.feed.inside = False
        listed = self._listed(name)
        if member.damage is None and listed is not None and listed.crc not in (None, body.crc):
            self.notes.add("damaged", "a member does not have the checksum that its header names")
        if body.dead:
            if self._encrypted():
                self.notes.add("locked", "its members are encrypted")
            self.notes.add("damaged", "nothing behind a damaged member can be reached")
        elif member.damage is not None and member.damage.code == "ratio" and body.left > self.limits.max_output:
            # the next member is found by unpacking this one to its end
            self.notes.add("ratio", "nothing behind a member that unpacks without end can be reached")
            return False
        return not body.dead

    def _bare(self, entry: ctypes.c_void_p, kind: int) -> bool:
        symbolic = _ffi.entry_symlink(entry)
        target = symbolic or _ffi.entry_hardlink(entry)
        if target is not None or kind == _LINK:
            if points_outside((target or b"").decode("utf-8", "replace")):
                self.notes.add("suspicious", "a link leads out of the archive", incomplete=False)
            return kind == _LINK or bool(symbolic) or _ffi.entry_size(entry) <= 0
        if kind in (_REGULAR, 0):
            return False
        self.notes.add("suspicious", "a member is a device, a pipe or a socket", incomplete=False)
        return True


def _title(entry: ctypes.c_void_p) -> str:
    name = _ffi.entry_pathname_utf8(entry) or _ffi.entry_pathname(entry) or b""
    return str(name.decode("utf-8", "replace"))


class _Body(Stream):
    """The bytes of one member.

    Attributes:
        crc: CRC-32 of what came so far.
        dead: nothing can be read from the archive any more.
    """

    def __init__(self, archive: _Archive, size: int) -> None:
        super().__init__(archive.source, archive.limits)
        self.crc = 0
        self.dead = False
        self._archive = archive
        self._size = size

    @property
    def left(self) -> int:
        """Bytes that its header promises beside those that came."""
        return self._size - self.unpacked

    @property
    def packed(self) -> int:
        """Bytes of the archive: what belongs to one member is not known."""
        return self._archive.held or self.source.position

    def parts(self) -> Iterator[bytes]:
        """Its blocks; holes are left out."""
        buffer, size, offset = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_longlong()
        handle, feed = self._archive.handle, self._archive.feed
        warnings = 0
        while True:
            size.value = 0
            code = _code(_ffi.read_data_block, handle, ctypes.byref(buffer), ctypes.byref(size), ctypes.byref(offset))
            feed.check()
            if size.value and buffer.value and code >= _WARN:
                data = ctypes.string_at(buffer.value, size.value)
                self.crc = isal_zlib.crc32(data, self.crc)
                yield data
            if code == _EOF:
                return
            if code == _WARN:
                warnings += 1
            if code < _WARN or warnings > _MAX_FAILED:
                self.dead = code <= _FATAL
                if feed.ended:
                    raise Damaged("cut", "the archive ends inside this member")
                raise Damaged("damaged", "it is damaged, or packed in a way that is not known")
            if code == _WARN and warnings == 1:
                self._archive.notes.add("damaged", "a member does not have the checksum that its header names")
