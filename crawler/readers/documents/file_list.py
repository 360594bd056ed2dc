"""Reads lists of files (`dir /s`, `ls -lR`, `tree`, `find`): each path is one line of text, in which people are found.

Times, sizes and owners of files are no values of people and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawler.readers.core.encoding import as_utf8, is_text, repair, utf8_pieces
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from data.identifiers.path_lines import path_line

FORMAT = "file_list"
EMBEDDED_SEARCH = "all"

# what `dir` writes before the path of a folder, in the languages of Windows that are usual here
_DIR_FOLDER = re.compile(
    r"^ ?(?:R[^ ]{1,3}pertoire d[e']|Directory of|Verzeichnis von|Directorio de|Directory di) ?(.+)$"
)
_DIR_ENTRY = re.compile(
    r"^(?:\d{2}[/.-]\d{2}[/.-]\d{4}|\d{4}-\d{2}-\d{2}) {1,3}\d{2}:\d{2}(?: [AP]M)? +(?:<[A-Z]+> +|[\d., \u00a0\u202f]{1,20} )(.+)$"
)
_LS_FOLDER = re.compile(r"^(\S.*):$")
_LS_ENTRY = re.compile(
    r"^[-dlbcps][-rwxsStT]{9}[.+@]? +\d+ +\S+ +\S+ +[\d.,]+[KMGT]? +"
    r"(?:\S{3,5}\.? +\d{1,2} +(?:\d{4}|\d{1,2}:\d{2})|\d{1,2} +\S{3,5}\.? +(?:\d{4}|\d{1,2}:\d{2})|\d{4}-\d\d-\d\d +[\d:.]+(?: +[+-]\d{4})?) (.+)$"
)
_TREE_ENTRY = re.compile(r"^((?:[│|] {3}|[│|]\u00a0\u00a0 | {4})*)(?:[├└+\\`|][─-]{2,3}) ?(.+)$")
_FIND_ENTRY = re.compile(r"^(?:\.{0,2}/|[A-Za-z]:\\)(?:[^/\\|<>\"]{1,255}[/\\])*[^/\\|<>\":]{1,255}$")
# what the entries of each kind of list look like, and the lines that name the folder of the entries after them
_KINDS = ((_DIR_ENTRY, _DIR_FOLDER), (_LS_ENTRY, _LS_FOLDER), (_TREE_ENTRY, None), (_FIND_ENTRY, None))
_MAX_DEPTH = 64
# So many of the first lines, and such a share of them, decide that a text is a list of files.
_LINES, _MIN_LINES, _MIN_ENTRIES, _SHARE = 200, 4, 2, 0.6


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Nearly sure if most lines are entries or folders of one kind of list."""
    text = as_utf8(head)
    if not is_text(text):
        return 0.0
    lines = [line.rstrip() for line in repair(text).decode("utf-8", "replace").split("\n")[:_LINES]]
    lines = [line for line in lines if line.strip()]
    if len(lines) < _MIN_LINES:
        return 0.0
    for entry, folder in _KINDS:
        entries = sum(1 for _ in filter(entry.match, lines))
        # most texts have no entry of any kind, so the lines are looked at for folders only after that
        if entries >= _MIN_ENTRIES:
            folders = 0
            if folder is not None:
                folders = sum(1 for line in filter(folder.match, lines) if not entry.match(line))
            if entries + folders >= _SHARE * len(lines):
                return 0.96
    return 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Send one line for each path; lines that belong to no list are sent as they are."""
    reader = _ListReader()
    text: list[str] = []
    size = 0
    for line in _lines(source, limits.max_line):
        found = reader.read(line)
        text.append(found + "\n\n")
        size += len(found)
        if size > 2**16:
            out.text("".join(text).encode("utf-8", "replace"))
            text, size = [], 0
    out.text("".join(text).encode("utf-8", "replace"))


def _lines(source: Source, max_line: int) -> Iterator[str]:
    held = b""
    for piece in utf8_pieces(source):
        *whole, held = (held + piece).split(b"\n")
        for line in whole:
            yield _text(line)
        if len(held) > max_line:
            yield _text(held)
            held = b""
    if held:
        yield _text(held)


def _text(line: bytes) -> str:
    return repair(line).decode("utf-8", "replace").rstrip()


class _ListReader:
    """Puts the folder before each file of a list."""

    def __init__(self) -> None:
        self._folder = ""
        self._tree: list[str] = []

    def read(self, line: str) -> str:
        """The text of one line of the list."""
        if match := _DIR_FOLDER.match(line):
            self._folder = match[1]
            return path_line(self._folder)
        if match := _DIR_ENTRY.match(line) or _LS_ENTRY.match(line):
            name = match[1].strip().partition(" -> ")[0]
            return "" if name in (".", "..") else path_line(f"{self._folder}/{name}")
        if match := _TREE_ENTRY.match(line):
            depth = min(len(match[1]) // 4, _MAX_DEPTH)
            self._tree = [*self._tree[:depth], match[2]]
            return path_line("/".join(self._tree))
        if match := _LS_FOLDER.match(line):
            self._folder = match[1]
            return path_line(self._folder)
        return path_line(line) if _FIND_ENTRY.match(line) else line
