"""Decodes archives with libarchive in memory: bytes go in, members come out.

No path is opened and nothing is extracted.

Messages of libarchive are never passed on, because they may contain names of files.
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

from crawler.readers.archives.compressed_stream import CompressedStream
from crawler.readers.archives.libarchive_input import MAX_KEPT, LibarchiveInput
from crawler.readers.archives.rar_listing import RarEntry, RarListing
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import Source
from crawler.readers.core.unread_members import (
    points_outside,
    report_empty_member,
    report_locked_member,
    report_unread_member,
)
from data.plural import counted

MISSING = "it cannot be opened because libarchive13 is not installed; run: tocsin doctor"
_LIBRARIES = ("libarchive.so.13", "libarchive.so")
_EOF, _WARN, _FAILED, _FATAL = 1, -20, -25, -30
_REGULAR, _DIRECTORY, _LINK = 0o100000, 0o040000, 0o120000
_PIECE = 2**20
# libarchive does not use the checksums and marks at the end of a format; these are shorter, and every archive is longer
_MIN_ARCHIVE = 24
# failed headers in a row, or warnings about one member, after which reading stops: an archive may not stay at one place
_MAX_FAILED = 100


def _load() -> Any:
    """The module with the functions of libarchive; None if the library is not installed.

    The library is loaded by its file name: the loader searches the folders of the system even without a cache of them,
    as inside bubblewrap.
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
    # the module logs messages of libarchive
    logging.getLogger("libarchive").propagate = False
    logging.getLogger("libarchive").addHandler(logging.NullHandler())
    return ffi


_ffi = _load()


_inputs: dict[int, LibarchiveInput] = {}
_keys = itertools.count(1)


def _read_callback(archive: int, key: int, target: Any) -> int:  # noqa: ARG001 - the library's signature
    return _inputs[key].set_next(target)


# a callback needs executable memory, which a confined reader cannot get any more: one function serves all archives
_READ_CALLBACK = _ffi.READ_CALLBACK(_read_callback) if _ffi is not None else None


def available() -> bool:
    """True if libarchive is installed."""
    return _ffi is not None


def _return_code(call: Callable[..., int], *arguments: object) -> int:
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
    password: bytes = b"",
) -> None:
    """Read all members of an archive.

    Args:
        source: the archive.
        out: takes its members.
        limits: of the sample.
        kind: name of the format in libarchive.
        whole: the archive in memory, for formats that need random access.
        listing: takes the same bytes as libarchive; members that libarchive does not reach are reported from it.
        password: opens the first member; only that member is read.
    """
    _with_archive(source, out, limits, (kind, "none"), whole=whole, listing=listing, password=password)


def password_fits(kind: str, data: bytes, password: bytes, *, whole: bool = False) -> bool:
    """Whether the first bytes of an archive, up to some bytes of its first member, can be decrypted with a password.

    Args:
        kind: the name of the format in libarchive.
        data: the first bytes of the archive.
        password: the password to try.
        whole: the first member is whole in `data`, so that its checksum is checked too. The cipher of PKWARE alone
            accepts one wrong password in 256.
    """
    if _ffi is None:
        return False
    handle = _ffi.read_new()
    try:
        _ffi.get_read_filter_function("none")(handle)
        _ffi.get_read_format_function(kind)(handle)
        memory = ctypes.create_string_buffer(data, len(data))
        entry, buffer = ctypes.c_void_p(), ctypes.c_void_p()
        size, offset = ctypes.c_size_t(), ctypes.c_longlong()
        if (
            _return_code(_ffi.read_add_passphrase, handle, password) < 0
            or _return_code(_ffi.read_open_memory, handle, memory, len(data)) < _WARN
            or _return_code(_ffi.read_next_header, handle, ctypes.byref(entry)) < _WARN
        ):
            return False
        block = handle, ctypes.byref(buffer), ctypes.byref(size), ctypes.byref(offset)
        code = _return_code(_ffi.read_data_block, *block)
        while whole and code == 0:
            code = _return_code(_ffi.read_data_block, *block)
        # a wrong checksum is a warning
        return code == _EOF if whole else code >= _WARN
    finally:
        _return_code(_ffi.read_free, handle)


def read_filtered(source: Source, out: Output, limits: Limits, kind: str, name: str) -> None:
    """Read a compressed file as one member called `name`; `kind` is the name of the compression in libarchive."""
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
    password: bytes = b"",
) -> None:
    if _ffi is None:
        out.problem("unread", MISSING, incomplete=True)
        return
    key = next(_keys)
    archive_input = _inputs[key] = LibarchiveInput(source, listing)
    handle = _ffi.read_new()
    try:
        _ffi.get_read_filter_function(kinds[1])(handle)
        _ffi.get_read_format_function(kinds[0])(handle)
        if password:
            _return_code(_ffi.read_add_passphrase, handle, password)
        if whole is None:
            code = _return_code(_ffi.read_open, handle, key, _ffi.NO_OPEN_CB, _READ_CALLBACK, _ffi.NO_CLOSE_CB)
        else:
            # an empty array has no address
            memory = (ctypes.c_char * max(1, len(whole))).from_buffer(whole or bytearray(1))
            code = _return_code(_ffi.read_open_memory, handle, memory, len(whole))
        # where the input ends: for a compressed file the compressed bytes count, otherwise the bytes that the format
        # has used
        archive_input.where = lambda: int(_ffi.filter_bytes(handle, -1 if kinds[0] == "raw" else 0))
        archive = _Archive(source, out, limits, archive_input, handle, name, len(whole or b""), listing)
        archive.opened = bool(password)
        archive.read(code)
    finally:
        del _inputs[key]
        _return_code(_ffi.read_free, handle)


class _Archive:
    """The state of reading one archive.

    Attributes:
        held: size of the archive if all of it is in memory, otherwise 0.
        opened: a password opens the first member, the only one that is read.
    """

    def __init__(
        self,
        source: Source,
        out: Output,
        limits: Limits,
        archive_input: LibarchiveInput,
        handle: int,
        name: str | None,
        held: int,
        listing: RarListing | None,
    ) -> None:
        self.source = source
        self.limits = limits
        self.input = archive_input
        self.handle = handle
        self.held = held
        self.problems = ProblemCounter()
        self._out = out
        self._name = name
        self._listing = listing
        self.opened = False
        self._members = 0
        self._locked = 0
        # bytes that libarchive had used behind the last member
        self._used = 0

    def read(self, code: int) -> None:
        """Read all members, then report the problems."""
        try:
            self.input.check()
            if code <= _FATAL:
                self._note_broken("its beginning")
            else:
                self._read_members()
            self._report_unreached()
            if not self.held:
                self._put_back_rest()
        finally:
            if self._locked:
                self.problems.add(
                    "locked", f"{self._locked} of {counted(self._members, 'member')} are encrypted and were not read"
                )
            self.problems.report(self._out)

    def _put_back_rest(self) -> None:
        """Put the bytes behind the archive back into the source, to be examined as files of their own."""
        # bytes that libarchive took for a header and could not read do not belong to the archive
        end = self._used if self._out.end_unknown else self.input.where()
        if self._listing is not None and self._listing.end:
            end = self._listing.end
        if self.input.dropped:
            self.problems.add(
                "size", f"more than {MAX_KEPT} bytes between members were not searched for embedded archives"
            )
        rest = self.input.kept(end) + self.source.peek(_MIN_ARCHIVE)
        if len(rest) > _MIN_ARCHIVE:
            self.source.put_back(self.input.kept(end))

    def _search_gap(self) -> None:
        """Read archives embedded between the last member and this one."""
        start, self._used = self._used, self.input.where()
        if self.held or self._name is not None:
            return
        # the first byte of the first gap is the signature of the archive itself
        read_embedded(self.input.kept(start, self._used), self.source, self._out, at=0 if start else 1)
        self.input.forget(self._used)

    def _read_members(self) -> None:
        entry = ctypes.c_void_p()
        failed = 0
        while failed < _MAX_FAILED:
            code = _return_code(_ffi.read_next_header, self.handle, ctypes.byref(entry))
            self.input.check()
            if code == _EOF:
                self._search_gap()
                return
            if code <= _FATAL:
                break
            if code < _WARN:
                failed += 1
                self.problems.add("damaged", "the header of a member is damaged")
                continue
            self._members += 1
            self._search_gap()
            goes_on = self._read_member(entry)
            self._used = self.input.where()
            if self.opened:
                return
            if not goes_on:
                self._out.mark_end_unknown()
                return
        self._note_broken("a place behind which no member is found")

    def _report_unreached(self) -> None:
        """Report the members that libarchive did not reach, by their headers."""
        listing = self._listing
        if listing is None:
            return
        while not listing.stopped and self.input.more():
            pass
        if listing.goes_on:
            self.problems.add("cut", "the archive goes on in a further volume, which is missing")
        for listed in listing.members[self._members :]:
            self._members += 1
            if listed.locked:
                self._locked += 1
                report_locked_member(self._out, listed.name)
            elif not listed.folder:
                report_unread_member(self._out, listed.name)
                self.problems.add("unread", "a member is compressed by an unsupported method, or cannot be reached")

    def _listed(self, name: str) -> RarEntry | None:
        """The entry of the listing for the current member of libarchive, if the names agree."""
        known = self._listing.members if self._listing is not None else []
        listed = known[self._members - 1] if self._members <= len(known) else None
        return listed if listed is not None and listed.name.replace("\\", "/") == name.replace("\\", "/") else None

    def _is_locked(self, entry: ctypes.c_void_p, name: str) -> bool:
        if self.opened:
            return False
        listed = self._listed(name)
        if listed is not None:
            return listed.locked
        return bool(_ffi.entry_is_data_encrypted(entry) or _ffi.entry_is_metadata_encrypted(entry))

    def _encrypted(self) -> bool:
        """True if libarchive found encrypted data. Asked for 7z only: for a broken xar archive the function crashes."""
        return self.held > 0 and _ffi.read_has_encrypted_entries(self.handle) > 0

    def _note_broken(self, where: str) -> None:
        self._out.mark_end_unknown()
        if self._listing is not None and self._listing.locked:
            self.problems.add("locked", "its list of members is encrypted")
        elif self._encrypted():
            self.problems.add("locked", "members behind an encrypted part cannot be reached")
        elif self.input.ended:
            self.problems.add("cut", "the archive ends too early")
        else:
            self.problems.add("damaged", f"the archive is damaged or of an unsupported kind at {where}")

    def _read_member(self, entry: ctypes.c_void_p) -> bool:
        """Read one member; False if no further member can be reached."""
        name = _name(entry) if self._name is None else self._name
        kind = _ffi.entry_filetype(entry) & 0o170000
        if kind == _DIRECTORY and not _ffi.entry_symlink(entry):
            return True
        if self._is_locked(entry, name):
            self._locked += 1
            report_locked_member(self._out, name)
            return True
        if self._has_no_bytes(entry, kind):
            report_empty_member(self._out, name)
            return True
        body = _Body(self, max(0, _ffi.entry_size(entry)))
        member = Source(body.pieces(), name, body.amplification)
        self.input.inside = True
        read_member(member, self._out)
        self.input.inside = False
        listed = self._listed(name)
        if member.damage is None and listed is not None and listed.crc not in (None, body.crc):
            self.problems.add("damaged", "a member does not match the checksum in its header")
        if body.dead:
            if self._encrypted():
                self.problems.add("locked", "its members are encrypted")
            self.problems.add("damaged", "members behind a damaged member cannot be reached")
        elif member.damage is not None and member.damage.code == "ratio" and body.left > self.limits.max_output:
            # the next member can only be found by decompressing this one to its end
            self.problems.add("ratio", "members behind a decompression bomb cannot be reached")
            return False
        return not body.dead

    def _has_no_bytes(self, entry: ctypes.c_void_p, kind: int) -> bool:
        """Whether a member is a link or a device; suspicious ones are reported."""
        symbolic = _ffi.entry_symlink(entry)
        target = symbolic or _ffi.entry_hardlink(entry)
        if target is not None or kind == _LINK:
            if points_outside((target or b"").decode("utf-8", "replace")):
                self.problems.add("suspicious", "a link points outside the archive", incomplete=False)
            return kind == _LINK or bool(symbolic) or _ffi.entry_size(entry) <= 0
        if kind in (_REGULAR, 0):
            return False
        self.problems.add("suspicious", "a member is a device, a pipe or a socket", incomplete=False)
        return True


def _name(entry: ctypes.c_void_p) -> str:
    name = _ffi.entry_pathname_utf8(entry) or _ffi.entry_pathname(entry) or b""
    return str(name.decode("utf-8", "replace"))


class _Body(CompressedStream):
    """The bytes of one member.

    Attributes:
        crc: CRC-32 of the bytes so far.
        dead: nothing more can be read from the archive.
    """

    def __init__(self, archive: _Archive, size: int) -> None:
        super().__init__(archive.source, archive.limits)
        self.crc = 0
        self.dead = False
        self._archive = archive
        self._size = size

    @property
    def left(self) -> int:
        """Bytes that are still to come according to the header."""
        return self._size - self.decompressed

    @property
    def compressed(self) -> int:
        """Bytes of the archive so far, because those of one member are not known."""
        return self._archive.held or self.source.position

    def parts(self) -> Iterator[bytes]:
        """The blocks of the member; holes of sparse files are left out."""
        buffer, size, offset = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_longlong()
        handle, archive_input = self._archive.handle, self._archive.input
        warnings = 0
        while True:
            size.value = 0
            code = _return_code(
                _ffi.read_data_block, handle, ctypes.byref(buffer), ctypes.byref(size), ctypes.byref(offset)
            )
            archive_input.check()
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
                if archive_input.ended:
                    raise Damaged("cut", "the archive ends inside this member")
                raise Damaged("damaged", "it is damaged, or compressed by an unsupported method")
            if code == _WARN and warnings == 1:
                self._archive.problems.add("damaged", "a member does not match the checksum in its header")
