"""Compound files (OLE): old workbooks by their cells, everything else by the streams that it keeps, each as a member."""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_embedded, read_member, search_if_damaged
from crawler.readers.core.output import Output
from crawler.readers.core.registry import Choice, Reader, choose
from crawler.readers.core.source import Source
from crawler.readers.core.special_members import report_locked_member
from crawler.readers.office.compound_file import MAGIC, CompoundFile
from crawler.readers.office.office_package import Part
from crawler.readers.office.xls_workbook import read_workbook

FORMAT = "ole"

_WORKBOOKS = ("workbook", "book")
_TEXTS = ("worddocument", "powerpoint document")
_LOCKED = ("encryptedpackage", "encryptedsummary")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure by its signature."""
    return 1.0 if head.startswith(MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give every stream out as a member."""
    held = source.read_all(limits.hold)
    with search_if_damaged(held, source, out):
        file = CompoundFile(held)
    unread = 0
    left = 2 * len(held)
    for entry in file.streams:
        low = entry.name.lower()
        if low in _LOCKED:
            report_locked_member(out, entry.name)
            out.problem("locked", "it is encrypted and not read", incomplete=True)
            continue
        unread += low in _TEXTS
        data = file.read(entry)
        left -= len(data)
        if left < 0:
            # each sector belongs to one stream: others would be read without end
            out.problem("suspicious", "its streams share their sectors; not all of them were read", incomplete=True)
            break
        member = Source(iter([data]), entry.name, source.amplification)
        read_member(member, out, _picks(low))
    read_embedded(held, source, out, file.known)
    if unread:
        out.problem("unread", "old Office text, which no reader opens: its bytes alone are examined", incomplete=True)
    if file.cut:
        out.problem("cut", "a chain of its sectors leads out of the file", incomplete=True)


def _picks(name: str) -> Choice:
    return (lambda head, _: _Workbook("xls")) if name in _WORKBOOKS else _pick  # noqa: ARG005 - the signature of a choice


def _pick(head: bytes, name: str) -> Reader | None:
    """As for any member; a stream is no document of the kind that it is part of."""
    found = choose(head, name)
    return None if found is not None and found.FORMAT == FORMAT else found


class _Workbook(Part):
    """The stream of a workbook."""

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Its cells."""
        read_workbook(source, out, limits)
