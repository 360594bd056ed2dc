"""Reads compound files (OLE): each stream becomes a member; the stream of an old workbook is read by its cells."""

from __future__ import annotations

from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, read_member, search_if_damaged
from crawler.readers.core.output import Output
from crawler.readers.core.registry import Choice, Reader, choose
from crawler.readers.core.source import Source
from crawler.readers.core.unread_members import report_locked_member
from crawler.readers.office.compound_file import MAGIC, CompoundFile
from crawler.readers.office.compressed_rtf import decompress_rtf
from crawler.readers.office.office_package import PackagePart
from crawler.readers.office.xls_workbook import read_workbook

FORMAT = "ole"

# names of streams, in lower case
_WORKBOOK_STREAMS = ("workbook", "book")
_UNREAD_STREAMS = ("worddocument", "powerpoint document")
_COMPRESSED_RTF = "__substg1.0_10090102"
_ENCRYPTED_STREAMS = ("encryptedpackage", "encryptedsummary")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is a compound file: certain by its signature."""
    return 1.0 if head.startswith(MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output every stream as a member."""
    data = source.read_all(limits.hold)
    with search_if_damaged(data, source, out):
        file = CompoundFile(data)
    unread = 0
    left = 2 * len(data)
    for entry in file.streams:
        name = entry.name.lower()
        if name in _ENCRYPTED_STREAMS:
            report_locked_member(out, entry.name)
            out.problem("locked", "the document is encrypted and was not read", incomplete=True)
            continue
        unread += name in _UNREAD_STREAMS
        stream = file.read_stream(entry)
        left -= len(stream)
        if left < 0:
            # In a valid file a sector belongs to one stream. Streams that share sectors would multiply the work.
            out.problem("suspicious", "streams of the file share sectors; some of them were not read", incomplete=True)
            break
        if name == _COMPRESSED_RTF and stream:
            stream = _rich_text(stream, out)
        member = Source(iter([stream]), entry.name, source.amplification)
        read_member(member, out, _choice_for(name))
    read_embedded(data, source, out, file.end_of_read_sector)
    if unread:
        out.problem("unread", "no reader opens this old Office format: only its bytes were examined", incomplete=True)
    if file.chain_broken:
        out.problem("cut", "a chain of sectors leads out of the file or ends too early", incomplete=True)


def _rich_text(stream: bytes, out: Output) -> bytes:
    """The body of a message of Outlook; the stream itself if it cannot be decompressed."""
    try:
        return decompress_rtf(stream)
    except Damaged as damage:
        out.problem_once(damage.code, str(damage), incomplete=True)
        return stream


def _choice_for(name: str) -> Choice:
    return _choose_workbook if name in _WORKBOOK_STREAMS else _choose_stream_reader


def _choose_workbook(head: bytes, name: str) -> Reader:  # noqa: ARG001 - the signature of a choice
    return _WorkbookStream("xls")


def _choose_stream_reader(head: bytes, name: str) -> Reader | None:
    """Choose the reader of a stream as for any member, except that a stream is never a compound file itself."""
    found = choose(head, name)
    return None if found is not None and found.FORMAT == FORMAT else found


class _WorkbookStream(PackagePart):
    """Reads the stream of a workbook."""

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Output the rows of the workbook."""
        read_workbook(source, out, limits)
