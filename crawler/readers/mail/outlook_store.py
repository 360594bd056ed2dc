"""Mailboxes of Outlook (.pst, .ost), read by libpff: each message is text, its bodies and attachments are members.

Contacts are rows. Every other property that is a string is text: appointments, tasks and notes have their words there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pypff

from crawler.readers.core.encoding import repair
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_embedded, read_member
from crawler.readers.core.output import Output
from crawler.readers.core.problem_counter import ProblemCounter
from crawler.readers.core.source import HeldFile, Source
from crawler.readers.structured.json_records import RecordWriter

FORMAT = "pst"

_MAGIC = b"!BDN"
_FIRST_UNICODE = 23
# Folders and messages of one mailbox, and properties of one item. Real mailboxes have at most some hundred thousand.
_MAX_ITEMS, _MAX_ENTRIES = 2_000_000, 10_000
_PIECE = 2**20
_STRINGS = (0x1E, 0x1F)
# strings that say how a message travelled or what kind of thing it is, or that are read as bodies and headers
_UNUSED = frozenset((0x001A, 0x007D, 0x1000, 0x1013, 0x1035, 0x1039, 0x1042))
# of a contact: names, birth date and telephones, with the column of each; Microsoft [MS-OXPROPS]
_CONTACT = {
    0x3A06: "given_name", 0x3A11: "surname", 0x3A44: "middle_name", 0x3001: "display_name", 0x3A1C: "mobile",
    0x3A09: "phone_home", 0x3A08: "phone_business", 0x3003: "email", 0x39FE: "smtp_address", 0x3A26: "postal_code",
    0x3A27: "city", 0x3A29: "street",
}  # fmt: skip
_BIRTHDAY, _TIME = 0x3A42, 0x40
_GIVEN_NAME, _SURNAME = 0x3A06, 0x3A11
_ERRORS = (OSError, ValueError, TypeError, OverflowError, SystemError)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """1.0 by the signature, else 0.0."""
    return 1.0 if head.startswith(_MAGIC) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output every item of every folder."""
    held = source.read_all(limits.hold)
    if len(held) < _stated_size(held):
        out.problem("cut", "the mailbox ends before the end that its header states", incomplete=True)
    box = pypff.file()
    try:
        box.open_file_object(HeldFile(held))
        root = box.get_root_folder()
    except _ERRORS:
        read_embedded(held, source, out)
        raise Damaged("damaged", "the index of the mailbox is damaged") from None
    reader = _Reader(source, out, limits)
    try:
        reader.read_folders(root)
    finally:
        reader.finish()


def _stated_size(held: bytearray) -> int:
    """The size of the mailbox according to its header; ANSI mailboxes have versions 14 and 15, and smaller numbers."""
    version = int.from_bytes(held[10:12], "little")
    at, size = (168, 4) if version < _FIRST_UNICODE else (184, 8)
    return int.from_bytes(held[at : at + size], "little")


class _Reader:
    """Reads folder after folder; one message is in memory at a time."""

    def __init__(self, source: Source, out: Output, limits: Limits) -> None:
        self._source = source
        self._out = out
        self._records = RecordWriter(out, limits)
        self._problems = ProblemCounter()
        self._items = 0

    def finish(self) -> None:
        """Write the contacts that are waiting, and report what was wrong."""
        self._records.finish()
        self._problems.report(self._out)

    def read_folders(self, root: Any) -> None:
        """Read a folder and all those in it."""
        waiting = [root]
        while waiting:
            folder = waiting.pop()
            for message in self._each(folder, "sub_messages", "sub_message"):
                self._read_message(message)
            waiting += self._each(folder, "sub_folders", "sub_folder")

    def _each(self, item: Any, many: str, one: str) -> Iterator[Any]:
        """The parts of an item; damaged ones are counted."""
        try:
            count = getattr(item, f"number_of_{many}")
        except _ERRORS:
            self._problems.add("damaged", "a folder or message is damaged")
            return
        for number in range(count):
            self._items += 1
            if self._items > _MAX_ITEMS:
                raise Damaged("size", "it holds too many folders, messages and attachments")
            try:
                yield getattr(item, f"get_{one}")(number)
            except _ERRORS:
                self._problems.add("damaged", "a folder or message is damaged")

    def _read_message(self, message: Any) -> None:
        self._read_properties(message)
        for name in ("plain_text_body", "html_body", "rtf_body"):
            try:
                body = getattr(message, name)
            except _ERRORS:
                self._problems.add("damaged", "the body of a message is damaged")
                continue
            if body:
                data = body if isinstance(body, bytes) else str(body).encode("utf-8", "replace")
                read_member(Source(iter([data]), name, self._source.amplification), self._out)
        for attachment in self._each(message, "attachments", "attachment"):
            self._read_attachment(attachment)
        # messages that are attached to this one
        for item in self._each(message, "sub_items", "sub_item"):
            self._read_properties(item)

    def _read_properties(self, item: Any) -> None:
        """Output the strings of an item as text, and those of a contact as a row."""
        texts: list[str] = []
        contact: dict[str, str] = {}
        for tag, value in self._properties(item):
            if tag in _CONTACT or tag == _BIRTHDAY:
                contact[_CONTACT.get(tag, "birth_date")] = value
            if tag not in _UNUSED and tag != _BIRTHDAY:
                texts.append(value)
        if "surname" in contact or "given_name" in contact:
            self._records.add([contact], size=sum(map(len, contact.values())))
        elif texts:
            self._out.text(repair("\n".join(texts).encode("utf-8", "replace"), b"\0") + b"\n\n")

    def _properties(self, item: Any) -> Iterator[tuple[int, str]]:
        """The strings of an item, by the number of the property."""
        try:
            sets = item.number_of_record_sets
            for number in range(min(sets, _MAX_ENTRIES)):
                entries = item.get_record_set(number)
                for place in range(min(entries.number_of_entries, _MAX_ENTRIES)):
                    entry = entries.get_entry(place)
                    tag, kind = entry.entry_type, entry.value_type
                    if kind in _STRINGS:
                        value = entry.get_data_as_string()
                        if value:
                            yield tag, value
                    elif kind == _TIME and tag == _BIRTHDAY:
                        yield tag, entry.get_data_as_datetime().date().isoformat()
        except _ERRORS:
            self._problems.add("damaged", "properties of a message are damaged")

    def _read_attachment(self, attachment: Any) -> None:
        def pieces() -> Iterator[bytes]:
            try:
                left = attachment.get_size()
                while left > 0 and (piece := attachment.read_buffer(min(left, _PIECE))):
                    left -= len(piece)
                    yield piece
            except _ERRORS:
                raise Damaged("damaged", "an attachment is damaged") from None

        try:
            name = attachment.long_filename or ""
        except _ERRORS:
            name = ""
        read_member(Source(pieces(), name, self._source.amplification), self._out)
        for item in self._each(attachment, "sub_items", "sub_item"):
            self._read_properties(item)
