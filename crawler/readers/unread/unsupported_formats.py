"""Formats that are recognised by their first bytes but cannot be read yet: they are reported as not read."""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

FORMAT = "unknown"

_DATABASE, _ENCRYPTED, _ARCHIVE, _DISK = "a database file", "an encrypted file", "an archive", "a disk image"
_VIDEO = "a video or sound recording"
SIGNATURES = (
    (0, b"TAPE\0\0\x03\0", "a SQL Server backup"),
    (3, b"EXPORT:V", "an Oracle export"),
    (4, b"\xef\xcd\xab\x89", "an ESE database"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\xcf\xad\x12\xfe", "an Outlook Express mailbox"),
    (0, b"\x1a\0\0\x04\0\0", "a Lotus Notes database"),
    (16, b"T-DB\0", _DATABASE),
    # FileMaker 7 and later, whose texts are not stored as they are
    (0, b"\0\1\0\0\0\2\0\1\0\5\0\2\0\2\xc0HBAM7", "a FileMaker database"),
    (8, b"DUCK", _DATABASE),
    # LMDB, Berkeley DB, GDBM, H2
    (16, b"\xde\xc0\xef\xbe\1\0\0\0", _DATABASE),
    (12, b"\x61\x15\x06\0", _DATABASE),
    (12, b"\x62\x31\x05\0", _DATABASE),
    (0, b"\xce\x9aW\x13", _DATABASE),
    (0, b"\xcf\x9aW\x13", _DATABASE),
    (0, b"H:2,block", _DATABASE),
    # a primary file of SQL Server
    (0, b"\1\x0f\0\0\x08\0\0\0", _DATABASE),
    (0, b"ANDROID BACKUP\n", "an Android backup"),
    (0, b"age-encryption.org/v1\n", _ENCRYPTED),
    (0, b"Salted__", _ENCRYPTED),
    (0, b"LUKS\xba\xbe", _ENCRYPTED),
    (3, b"-FVE-FS-", _ENCRYPTED),
    (0, b"\x03\xd9\xa2\x9a", "a password database"),
    (0, b"**ACE**", _ARCHIVE),
    (7, b"**ACE**", _ARCHIVE),
    (0, b"SIT!", _ARCHIVE),
    (0, b"StuffIt (", _ARCHIVE),
    (0, b"7kSt", _ARCHIVE),
    (0, b"LRZI", _ARCHIVE),
    (0, b"\x89LZO\0", _ARCHIVE),
    (0, b"\xff\x06\0\0sNaPpY", _ARCHIVE),
    (0, b"SZDD\x88\xf0\x27\x33", _ARCHIVE),
    (0, b"hsqs", _DISK),
    (0, b"KDMV", _DISK),
    (0, b"vhdxfile", _DISK),
    (0, b"conectix", _DISK),
    (0, b"QFI\xfb", _DISK),
    (0, b"\x1a\x45\xdf\xa3", _VIDEO),
    (0, b"OggS\0", _VIDEO),
    (0, b"fLaC\0", _VIDEO),
    (0, b"ID3\x03", _VIDEO),
    (0, b"ID3\x04", _VIDEO),
)
PICTURES = (
    (0, b"\x89PNG\r\n\x1a\n"),
    (0, b"\xff\xd8\xff"),
    (0, b"GIF87a"),
    (0, b"GIF89a"),
    (8, b"WEBPVP8"),
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n"),
    (0, b"\xff\x4f\xff\x51\0"),
    (0, b"8BPS\0\1"),
    (0, b"AT&TFORM"),
    (0, b"\x97JB2\r\n\x1a\n"),
    (0, b"\x01\0\0\0X\0\0\0"),
    (40, b" EMF"),
)
# The bytes with which these formats begin, and the signatures that stand further inside: most files have neither.
_FIRST_BYTES = frozenset(each[1][:1] for each in (*SIGNATURES, *PICTURES) if not each[0])
_INNER = tuple(each for each in SIGNATURES if each[0])
_INNER_OF_PICTURES = tuple(each for each in PICTURES if each[0])
# containers of the MPEG family; their names tell pictures from videos
_MPEG_PICTURES = (b"heic", b"heix", b"mif1", b"avif")
# Fonts are compressed, but no person is described in them.
FONTS = (b"\0\1\0\0\0", b"OTTO\0", b"wOFF", b"wOF2", b"true\0")
_FONT_NAMES = (".odttf", ".fntdata")


def _is_postgresql(head: bytes) -> bool:
    """Whether a file begins with a page of 8 KiB of a table or an index of PostgreSQL; tables are read by their reader."""
    lower, upper, special = (int.from_bytes(head[at : at + 2], "little") for at in (12, 14, 16))
    return head[18:20] == b"\x04\x20" and 24 < lower <= upper <= special <= 8192 and special > 8000


def describe(head: bytes) -> str:
    """The name of the format for people, '' if the first bytes belong to none of these formats.

    Args:
        head: the first bytes, 512 at least if there are so many.
    """
    if _is_postgresql(head):
        return "an index or a damaged table of PostgreSQL"
    if is_picture(head):
        return "a picture"
    if head[4:8] == b"ftyp":
        return _VIDEO
    if head[:1] not in _FIRST_BYTES and not any(head.startswith(magic, at) for at, magic, _ in _INNER):
        return ""
    return next((words for at, magic, words in SIGNATURES if head.startswith(magic, at)), "")


def is_picture(head: bytes) -> bool:
    """Whether a file is a picture, by its first bytes."""
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and head[14:18] in (b"\x28\0\0\0", b"\x7c\0\0\0", b"\x6c\0\0\0"):
        return True
    return (head[4:8] == b"ftyp" and head[8:12] in _MPEG_PICTURES) or any(
        head.startswith(magic, at) for at, magic in (PICTURES if head[:1] in _FIRST_BYTES else _INNER_OF_PICTURES)
    )


def is_font(head: bytes, name: str) -> bool:
    """Whether a file is a font, by its first bytes or its name."""
    return head.startswith(FONTS) or name.lower().endswith(_FONT_NAMES)


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Nearly sure if the first bytes match; a reader that can read the format is surer."""
    return 0.97 if describe(head[:512]) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:  # noqa: ARG001 - every reader takes all three
    """Report what it is and that only the byte pass examined it."""
    head = source.peek(512)
    if is_picture(head) and out.leave_picture_to_document():
        return
    out.problem_once("unread", f"it is {describe(head)}, a format that cannot be read yet", incomplete=True)
