"""Reads samples and members: chooses the reader, reports what it could not read, and finds embedded archives.

A sample is the outermost member. A container passes each file inside it to `read_member`. Archives also stand where no
format has a place for them: behind the end of a file, between the members of an archive, in a picture, as base64 in a
text. The byte pass sees nothing in compressed bytes, so all bytes that a reader does not use are searched, and archives
found there are read as members too. Each format is left to its reader.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import chain

from crawler.process.companion_names import ending_of
from crawler.readers.core import signatures
from crawler.readers.core.embedded_archives import EmbeddedArchiveSearch
from crawler.readers.core.encoded_values import EncodedValueSearch
from crawler.readers.core.file_cuts import index_sample
from crawler.readers.core.limits import HEAD, Damaged, Limits, MemberGivenUp, TooSlow
from crawler.readers.core.opacity import OpacityMeter, TextOpacityMeter
from crawler.readers.core.output import Output
from crawler.readers.core.registry import EMPTY, UNKNOWN, Choice, Reader, choose, fallback_reader
from crawler.readers.core.source import Source
from data.errors import LimitReached, WireError

PartEnd = Callable[[int], int]
"""Where the part of a file ends that contains a place; the place itself if the reader knows no such part."""
_ReadRest = Callable[[Source, Output, str, bool], None]
# An archive that was read as a member is recognised by its first bytes, and then by a digest of all of it.
_KNOWN_BY, _MAX_KNOWN = 64, 10_000
# Larger archives are not taken into memory to see whether they are the same.
_MAX_COMPARED = 2**26
# stands between values that are searched together, because it is part of no word
_BETWEEN_VALUES = b"\x02"
_SHORT_HEAD, _MAX_FULL_HEADS = 4096, 100


def read_sample(
    chunks: Iterator[bytes],
    send: Callable[[bytes, bytes], None],
    limits: Limits,
    *,
    clock: Callable[[], float] = time.process_time,
    begun: Callable[[Output], None] = lambda _: None,
) -> None:
    """Read one sample to its end and send its frames, from the first `M` to `Z`, whatever its bytes are.

    Args:
        chunks: the bytes of the sample.
        send: takes the frames.
        limits: of the sample.
        clock: tells the processor time of this process in seconds.
        begun: gets the output before the first byte is read.

    Raises:
        WireError: only from `chunks` and `send`: the connection is closed.
    """
    out = Output(send, limits, clock)
    begun(out)
    # a limit ends the whole sample; every open member has reported it before the error arrives here
    source = Source(chunks)
    if out.guide is not None and not out.guide:
        index_sample(source, out)
        return
    source.guide = out.guide or ()
    try:
        read_member(source, out)
    except LimitReached:
        out.finish()
    else:
        out.finish()


def read_member(source: Source, out: Output, pick: Choice = choose) -> None:
    """Read one member (or the sample itself) inside the open one, and send its frames from `M` to `E`.

    Whatever its bytes do to a reader, the member ends, its problems are reported, and all of its bytes go to the byte
    pass. What follows the end of its format is examined as well: files there become members of it.

    Args:
        source: the bytes of the member.
        out: takes the frames.
        pick: chooses the reader.

    Raises:
        LimitReached: the sample has become too large; nothing more of it is read.
        WireError: the connection is closed.
    """
    if out.depth and ending_of(source.name):
        further = out.waiting_files.take(source, out.depth)
        if further is None:
            return
        source = further
    _read_one(source, out, pick, _read_rest)


def _read_one(source: Source, out: Output, pick: Choice, read_rest: _ReadRest | None) -> bool:
    """Read one member; without `read_rest` only as far as its format goes.

    True if the end of its format was reached.
    """
    head = source.peek(HEAD)
    reader, slow = _recognised(head, source.name, out, pick) if head else (None, "")
    kind = reader.FORMAT if reader is not None else EMPTY
    out.begin(source.name, kind)
    if slow:
        out.problem(TooSlow.code, slow, incomplete=True)
    digest = blake2b(digest_size=16) if out.depth > 1 and signatures.is_archive_start(head) else None
    depth = out.depth
    try:
        try:
            _read_and_observe(source, out, reader, digest, read_rest)
        except MemberGivenUp as error:
            _end_inner_members(out, depth)
            if error.depth < depth:
                raise
            # its own bytes still go to the byte pass, and no more members are read inside it
            out.budget.close(depth)
            out.speed.end_reader(depth)
            out.mark_end_unknown()
            out.problem(error.code, str(error), incomplete=True)
            if read_rest is not None:
                source.drain()
            else:
                source.notify_observer()
        if source.damage is not None:
            out.problem(source.damage.code, str(source.damage), incomplete=True)
    except LimitReached as error:
        out.problem("limit", str(error), incomplete=True)
        out.end(source.position)
        raise
    ended = kind not in (UNKNOWN, EMPTY) and not out.end_unknown
    out.end(source.position)
    if digest is not None and source.position <= _MAX_COMPARED and len(out.known_archives) < _MAX_KNOWN:
        out.known_archives[head[:_KNOWN_BY]] = source.position, digest.digest()
    return ended


def _recognised(head: bytes, name: str, out: Output, pick: Choice) -> tuple[Reader, str]:
    """The reader of a member, and what is said if recognising its format took too long: then nothing is opened.

    The time that this takes inside a container is that of the container's reader.
    """
    if out.depth:
        return pick(head, name) or fallback_reader(), ""
    try:
        with out.speed.recognising():
            return pick(head, name) or fallback_reader(), ""
    except TooSlow as error:
        return fallback_reader(), str(error)


def _read_and_observe(
    source: Source, out: Output, reader: Reader | None, digest: blake2b | None, read_rest: _ReadRest | None
) -> None:
    """Let the reader read, then examine the bytes behind its format and those that it left unread."""
    search = _embedded_search(reader, source, out)
    # a reader of text would read over a part that is encrypted or compressed
    meter = TextOpacityMeter() if search is not None and reader is not fallback_reader() else None
    embedded_before = out.budget.embedded
    # bytes that are examined as they are read may be needed by the container, so reading is not given up at such a place
    observe = source.observe if read_rest is not None else source.observe_read
    observe(_observer(out, digest, search, meter, controls=read_rest is not None))
    if out.depth > out.limits.max_depth + 1:
        sentence = f"it lies inside more than {out.limits.max_depth} containers and was not opened"
        out.problem("depth", sentence, incomplete=True)
    elif reader is not None:
        began = source.position
        _run_reader(reader, source, out)
        for waiting in out.waiting_files.release(out.depth):
            _read_one(waiting, out, choose, _read_rest)
        if read_rest is not None:
            read_rest(source, out, reader.FORMAT, source.position > began)
        if search is not None:
            search.finish()
    if read_rest is not None:
        source.drain()
    else:
        source.notify_observer()
    if meter is not None:
        meter.report(out, out.budget.embedded - embedded_before)


def _embedded_search(reader: Reader | None, source: Source, out: Output) -> EmbeddedArchiveSearch | None:
    """The search for embedded archives that the reader asks for with `EMBEDDED_SEARCH`."""
    kinds = getattr(reader, "EMBEDDED_SEARCH", "")
    if not kinds:
        return None
    values, encoded = None, getattr(reader, "ENCODED_VALUES", "")
    if encoded and out.depth <= out.limits.max_depth:
        values = EncodedValueSearch(
            lambda data: read_member(Source(_pieces(data, 0), "", source.amplification), out),
            out,
            decodes_hex=encoded == "sql",
            markup=encoded == "markup",
        )
    return EmbeddedArchiveSearch(
        lambda data: read_embedded(data, source, out, at=0),
        out,
        raw=kinds != "encoded",
        text=kinds != "raw",
        values=values,
    )


def _observer(
    out: Output,
    digest: blake2b | None,
    search: EmbeddedArchiveSearch | None,
    meter: OpacityMeter | None,
    *,
    controls: bool,
) -> Callable[[bytes], None]:
    """Takes every byte of the open member: for the byte pass and for everything that examines it.

    With `controls`, it is a point of control of the reader's speed.
    """
    depth = out.depth

    def count(data: bytes) -> None:
        out.speed.add(len(data), depth)
        if depth > 1:
            out.member_bytes(data, depth)
        else:
            out.budget.add_input(len(data))
        if controls:
            out.speed.check(depth)

    if digest is None and search is None:
        return count

    seen = 0

    def observe(data: bytes) -> None:
        nonlocal seen
        count(data)
        seen += len(data)
        if digest is not None and seen <= _MAX_COMPARED:
            digest.update(data)
        if meter is not None:
            meter.feed(data)
        if search is not None and not out.budget.is_closed(depth):
            search.feed(data)

    return observe


def _run_reader(reader: Reader, source: Source, out: Output) -> None:
    """Let the reader read the source; any failure of it becomes a problem of the member."""
    depth = out.depth

    def failed(code: str, sentence: str) -> None:
        _end_inner_members(out, depth)
        out.mark_end_unknown()
        out.problem(code, sentence, incomplete=True)

    out.speed.begin_reader(reader.FORMAT)
    try:
        reader.read(source, out, out.limits)
    except (LimitReached, WireError):
        raise
    except Damaged as error:
        failed(error.code, str(error))
    except MemoryError:
        failed("memory", "reading it takes more memory than the limit allows")
    except Exception as error:  # noqa: BLE001 - hostile bytes reach many libraries; the error's text may hold content
        failed("reader", f"the reader of {reader.FORMAT} failed with {type(error).__name__}")
    out.speed.end_reader(depth)


def _end_inner_members(out: Output, depth: int) -> None:
    """End the members that a failed reader left open inside the one at `depth`."""
    while out.depth > depth:
        out.problem("reader", "reading ended in the middle of this member", incomplete=True)
        out.end(0)


# --- embedded archives ------------------------------------------------------------------------------------------------


def read_embedded(
    data: bytes | bytearray, source: Source, out: Output, part_end: PartEnd = lambda at: at, at: int = 1
) -> None:
    """Search bytes in memory for archives and other files with a signature, and read them as members of the open one.

    Args:
        data: searched from `at` on.
        source: which the data is part of.
        out: takes the members.
        part_end: tells which parts of the data the reader has read already; these are not searched.
        at: the first byte that is searched; 1 if `data` is a whole file, whose own signature is not to be found.
    """
    finder = signatures.SignatureFinder(data)
    place = finder.find(at)
    while place is not None:
        further = max(part_end(place), _known_archive_end(data, place, out))
        if further <= place:
            if not may_read_embedded(out):
                return
            inner = Source(_pieces(data, place), "", source.amplification)
            _read_one(inner, out, _choose_archive, None)
            out.budget.add_embedded(inner.position)
            further = place + max(1, inner.position)
        place = finder.find(further)


def read_embedded_in_values(columns: Iterable[Iterable[bytes]], source: Source, out: Output) -> None:
    """Read archives that are written as text (base64 and others) in values of a table from a binary format."""
    search = EmbeddedArchiveSearch(lambda data: read_embedded(data, source, out, at=0), out, raw=False)
    search.feed(_BETWEEN_VALUES.join(chain.from_iterable(columns)))
    search.finish()


@contextmanager
def search_if_damaged(held: bytes | bytearray, source: Source, out: Output) -> Iterator[None]:
    """Around the reading of a file in memory: if the file proves damaged, archives embedded in it are read."""
    try:
        yield
    except Damaged:
        read_embedded(held, source, out)
        raise


def read_file_here(source: Source, out: Output, pick: Choice | None = None) -> bool:
    """Read the file that begins at the current place of a source as a member, as far as its format goes.

    The source then stands behind that file; at least one byte of it is read.

    Args:
        source: in which the file begins.
        out: takes the member.
        pick: chooses the reader; if not given, an archive is known to begin here.

    Returns:
        True if the end of the file's format was reached.
    """
    inner = Source(iter(source.piece, b""), "", source.amplification)
    ended = _read_one(inner, out, pick or _choose_archive, None)
    out.budget.add_embedded(inner.position)
    moved = inner.position > 0
    source.put_back(inner.take_rest())
    if not moved:
        source.skip(1)
    return moved and ended


def may_read_embedded(out: Output) -> bool:
    """Report that an archive begins inside the open member.

    Returns:
        False if a limit forbids to read it; then that is reported instead.
    """
    if out.depth > out.limits.max_depth:
        sentence = f"an archive in it lies inside more than {out.limits.max_depth} containers and was not opened"
        out.problem("depth", sentence, incomplete=True)
        return False
    if not _within_reread_limit(out):
        return False
    out.problem_once("inside", "an archive begins inside other bytes; it is examined as a member")
    return True


def _within_reread_limit(out: Output) -> bool:
    """False, and reported, once most of what looks like an archive is none and reading it all would never end."""
    if not out.budget.allows_embedded():
        sentence = "the search for embedded archives in it was given up: too many false archive signatures"
        out.problem_once("inside", sentence, incomplete=True)
        return False
    return True


def _choose_archive(head: bytes, name: str) -> Reader | None:
    """As `choose`, from fewer bytes: an archive is known to begin here, and there may be many of them."""
    return choose(head[:_SHORT_HEAD], name)


def _known_archive_end(data: bytes | bytearray, at: int, out: Output) -> int:
    """Where the archive that begins at `at` ends, if it was read as a member before; otherwise `at`."""
    known = out.known_archives.get(bytes(data[at : at + _KNOWN_BY]))
    if known is None or blake2b(memoryview(data)[at : at + known[0]], digest_size=16).digest() != known[1]:
        return at
    return at + known[0]


def _pieces(data: bytes | bytearray, start: int) -> Iterator[bytes]:
    view = memoryview(data)
    for at in range(start, len(view), 2**20):
        yield bytes(view[at : at + 2**20])


# --- what follows the end of a format ---------------------------------------------------------------------------------


def _read_rest(source: Source, out: Output, kind: str, moved: bool) -> None:
    """Examine what a reader left unread: files that follow each other, and archives in bytes of no known format.

    In images of disks such files follow each other without end. So each becomes a member of the file that holds them
    all, not of the file before it.

    Args:
        source: stands where the reader stopped.
        out: takes the members.
        kind: format of the open member.
        moved: the reader read at least one byte.
    """
    # at the end of a format a file of any format may begin; elsewhere only archives are searched for
    at_end = moved and kind != UNKNOWN and not out.end_unknown
    if not moved and kind != UNKNOWN:
        source.skip(1)
    followed = 0
    # bytes between the embedded archives of a file that no reader recognises
    meter = OpacityMeter() if kind == UNKNOWN and not out.assessed else None
    while True:
        source.skip_zeros()
        if at_end:
            if not source.peek(1):
                return
            if out.depth <= out.limits.max_depth:
                sentence = f"bytes follow the end of the {kind} file; they are examined as files of their own"
                out.problem_once("trailing", sentence)
        elif not signatures.skip_to_archive(source, meter.feed if meter else None):
            if meter:
                meter.report(out)
            return
        known = out.known_archives.get(source.peek(_KNOWN_BY))
        if known is not None:
            data = source.peek(known[0])
            if _known_archive_end(data, 0, out):
                source.skip(known[0])
                continue
        if not (_within_reread_limit(out) if at_end else may_read_embedded(out)):
            return
        followed += at_end
        # once very many files have followed each other, fewer bytes decide the format of each
        at_end = read_file_here(source, out, choose if at_end and followed < _MAX_FULL_HEADS else None)
