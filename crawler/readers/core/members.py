"""One module per container or format; here they are found by file, chosen by first bytes, and kept apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import chain

from crawler.readers.core import signatures
from crawler.readers.core.embedded_archives import EmbeddedArchiveSearch
from crawler.readers.core.limits import HEAD, ContentsTooLarge, Damaged, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.registry import EMPTY, UNKNOWN, Choice, Reader, choose, fallback_reader
from crawler.readers.core.source import Source
from data.errors import LimitReached, WireError

PartEnd = Callable[[int], int]
"""Where the part of a file ends that holds a place, or the place itself where no reader knows such a part."""
# packed files that are members are known again by so many bytes, and then by a digest of all of them
_KNOWN_BY, _MOST_KNOWN = 64, 10_000
# larger ones are not taken into memory to see whether they are the same
_COMPARED = 2**26
# between values that are searched together: it is in no word
_BETWEEN = b"\x02"
_NEAR, _FOLLOWED = 4096, 100


def read_sample(chunks: Iterator[bytes], send: Callable[[bytes, bytes], None], limits: Limits) -> None:
    """Read one sample to its end and send its frames, from the first `M` to `Z`, whatever the bytes are.

    Raises:
        WireError: only from `chunks` and `send`: there is nobody left to talk to.
    """
    out = Output(send, limits)
    # a limit ends the whole sample; each open member has said so on the way out
    try:
        read_member(Source(chunks), out)
    except LimitReached:
        out.finish()
    else:
        out.finish()


def read_member(source: Source, out: Output, pick: Choice = choose) -> None:
    """Read one member (or the sample itself) inside what is open: its frames from `M` to `E`.

    Whatever its bytes do to a reader, the member ends with honest problems, and its bytes all went to the byte pass.
    What stands behind the end of its format is examined as well: files behind it are members of it.

    Raises:
        LimitReached: the sample is over.
        WireError: there is nobody left to talk to.
    """
    _member(source, out, pick, _rest)


def read_embedded(
    data: bytes | bytearray, source: Source, out: Output, taken: PartEnd = lambda at: at, at: int = 1
) -> None:
    """Read the packed files that begin somewhere in bytes in memory, as members of the open one.

    Args:
        data: searched from `at` on.
        source: what they are part of.
        out: takes the members.
        taken: where the part that holds a place ends, if a reader knows that part; else the place itself.
        at: the first byte that is searched.
    """
    finder = signatures.SignatureFinder(data)
    place = finder.find(at)
    while place is not None:
        further = max(taken(place), _read_already(data, place, out))
        if further <= place:
            if not may_read_embedded(out):
                return
            inner = Source(_cut(data, place), "", source.amplification)
            _member(inner, out, _choose_archive, None)
            out.count_embedded(inner.position)
            further = place + max(1, inner.position)
        place = finder.find(further)


def read_embedded_in_values(columns: Iterable[Iterable[bytes]], source: Source, out: Output) -> None:
    """Read the packed files that are written as text in values of a table that came from no text."""
    watcher = EmbeddedArchiveSearch(lambda data: read_embedded(data, source, out, at=0), out, raw=False)
    watcher.feed(_BETWEEN.join(chain.from_iterable(columns)))
    watcher.finish()


def _cut(data: bytes | bytearray, start: int) -> Iterator[bytes]:
    view = memoryview(data)
    for at in range(start, len(view), 2**20):
        yield bytes(view[at : at + 2**20])


def _read_already(data: bytes | bytearray, at: int, out: Output) -> int:
    """Where a packed file ends that was read as a member before, `at` if none begins there."""
    known = out.known_archives.get(bytes(data[at : at + _KNOWN_BY]))
    if known is None or blake2b(memoryview(data)[at : at + known[0]], digest_size=16).digest() != known[1]:
        return at
    return at + known[0]


def may_read_embedded(out: Output) -> bool:
    """Say that a packed file begins inside the open member; False if it is too deep to be read."""
    if out.depth > out.limits.max_depth:
        out.problem("depth", f"more than {out.limits.max_depth} containers inside each other", incomplete=True)
        return False
    if not _within_reread_limit(out):
        return False
    out.problem_once("inside", "a packed file begins inside other bytes; it is examined by itself")
    return True


def _within_reread_limit(out: Output) -> bool:
    """False, and said, where most of what begins like a packed file is none, and reading it would never end."""
    if not out.may_try_embedded():
        said = "too much in it begins like a packed file and is none; no more is tried"
        out.problem_once("inside", said, incomplete=True)
        return False
    return True


def _rest(source: Source, out: Output, kind: str, moved: bool) -> None:
    """Examine what a reader left unread: files that follow, and packed files in what is none.

    One follows the other without end in pictures of disks, so each is a member of what holds them all, not of the last.
    """
    goes_on = moved and kind != UNKNOWN and not out.end_unknown
    if not moved and kind != UNKNOWN:
        source.skip(1)
    followed = 0
    while True:
        _over_zeros(source)
        if goes_on:
            if not source.peek(1):
                return
            if out.depth <= out.limits.max_depth:
                out.problem_once("trailing", f"bytes follow the end of the {kind}; they are examined by themselves")
        elif not signatures.skip_to_archive(source):
            return
        known = out.known_archives.get(source.peek(_KNOWN_BY))
        if known is not None:
            data = source.peek(known[0])
            if _read_already(data, 0, out):
                source.skip(known[0])
                continue
        if not (_within_reread_limit(out) if goes_on else may_read_embedded(out)):
            return
        followed += goes_on
        # of very many that follow each other fewer bytes tell what each is
        goes_on = read_file_here(source, out, choose if goes_on and followed < _FOLLOWED else _choose_archive)


def _choose_archive(head: bytes, name: str) -> Reader | None:
    """As `choose` where a packed file is known to begin: fewer bytes tell what it is, and there may be many of them."""
    return choose(head[:_NEAR], name)


def read_file_here(source: Source, out: Output, pick: Choice = _choose_archive) -> bool:
    """Read what begins where the source stands as a member, as far as its format goes; at least a byte is taken.

    Returns:
        True if the end of the format was met, behind which the source then stands.
    """
    inner = Source(iter(source.piece, b""), "", source.amplification)
    found = _member(inner, out, pick, None)
    out.count_embedded(inner.position)
    moved = inner.position > 0
    source.put_back(inner.take_rest())
    if not moved:
        source.skip(1)
    return moved and found


@contextmanager
def search_if_damaged(held: bytes | bytearray, source: Source, out: Output) -> Iterator[None]:
    """Around the reading of a file in memory: if nothing can be made of it, packed files in it are read."""
    try:
        yield
    except Damaged:
        read_embedded(held, source, out)
        raise


def _over_zeros(source: Source) -> None:
    """Read over what tapes, disks and some tools fill their last block with."""
    while source.peek(1) == b"\0":
        piece = source.piece()
        source.step_back(len(piece.lstrip(b"\0")))


def _member(
    source: Source, out: Output, pick: Choice, rest: Callable[[Source, Output, str, bool], None] | None
) -> bool:
    """Read one member; without `rest` only so far as its format goes. True if the end of the format was met."""
    head = source.peek(HEAD)
    reader = (pick(head, source.name) or fallback_reader()) if head else None
    kind = reader.FORMAT if reader is not None else EMPTY
    out.begin(source.name, kind)
    digest = blake2b(digest_size=16) if out.depth > 1 and signatures.is_archive_start(head) else None
    depth = out.depth
    try:
        try:
            _read_whole(source, out, reader, digest, rest)
        except ContentsTooLarge as error:
            _close(out, depth)
            if error.depth < depth:
                raise
            # its own bytes are examined, and nothing more in them is opened
            out.mark_end_unknown()
            out.problem("ratio", str(error), incomplete=True)
            if rest is not None:
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
    if digest is not None and source.position <= _COMPARED and len(out.known_archives) < _MOST_KNOWN:
        out.known_archives[head[:_KNOWN_BY]] = source.position, digest.digest()
    return ended


def _read_whole(
    source: Source,
    out: Output,
    reader: Reader | None,
    digest: blake2b | None,
    rest: Callable[[Source, Output, str, bool], None] | None,
) -> None:
    """Have a member read, with what stands behind its format and what no reader took."""
    watcher = _watcher(reader, source, out)
    watch = source.observe if rest is not None else source.observe_read
    watch(_observer(out, digest, watcher))
    if out.depth > out.limits.max_depth + 1:
        out.problem("depth", f"more than {out.limits.max_depth} containers inside each other", incomplete=True)
    elif reader is not None:
        begun = source.position
        _read(reader, source, out)
        if rest is not None:
            rest(source, out, reader.FORMAT, source.position > begun)
        if watcher is not None:
            watcher.finish()
    if rest is not None:
        source.drain()
    else:
        source.notify_observer()


def _watcher(reader: Reader | None, source: Source, out: Output) -> EmbeddedArchiveSearch | None:
    """What looks for packed files in a format that is read without a thought of them; such a format says so."""
    how = getattr(reader, "EMBEDDED_SEARCH", "")
    if not how:
        return None
    return EmbeddedArchiveSearch(
        lambda data: read_embedded(data, source, out, at=0), out, raw=how != "encoded", text=how != "raw"
    )


def _observer(out: Output, digest: blake2b | None, watcher: EmbeddedArchiveSearch | None) -> Callable[[bytes], None]:
    """What sees every byte of a member."""
    depth = out.depth

    def give(data: bytes) -> None:
        if depth > 1:
            out.member_bytes(data, depth)
        else:
            out.count_input(data)

    if digest is None and watcher is None:
        return give

    seen = 0

    def all_of_them(data: bytes) -> None:
        nonlocal seen
        give(data)
        seen += len(data)
        if digest is not None and seen <= _COMPARED:
            digest.update(data)
        if watcher is not None and not out.is_closed(depth):
            watcher.feed(data)

    return all_of_them


def _read(reader: Reader, source: Source, out: Output) -> None:
    depth = out.depth
    try:
        reader.read(source, out, out.limits)
    except (LimitReached, WireError):
        raise
    except Damaged as error:
        _close(out, depth)
        out.mark_end_unknown()
        out.problem(error.code, str(error), incomplete=True)
    except MemoryError:
        _close(out, depth)
        out.mark_end_unknown()
        out.problem("memory", "reading it needs more memory than the limit", incomplete=True)
    except Exception as error:  # noqa: BLE001 - hostile bytes meet many libraries; its text may hold content
        _close(out, depth)
        out.mark_end_unknown()
        out.problem("reader", f"the {reader.FORMAT} reader failed with {type(error).__name__}", incomplete=True)


def _close(out: Output, depth: int) -> None:
    """End the members that a failed reader left open."""
    while out.depth > depth:
        out.problem("reader", "reading ended inside this member", incomplete=True)
        out.end(0)
