"""Reads the file list of a .torrent file of version 1, 2 or both. No swarm is ever joined: the content stays unread.

Source: BEP 3 (bencoding, `files` and `length`), BEP 52 (`file tree`).
"""

from __future__ import annotations

import re
from typing import Any

from data.errors import InputError
from data.hashing.file_fingerprints import FileEntry

# Levels of nesting that are read; a folder of a file tree takes two.
MAX_DEPTH = 100
MAX_FILES = 200_000
_NUMBER = re.compile(rb"i(0|-?[1-9]\d{0,18})e")
_LENGTH = re.compile(rb"(0|[1-9]\d{0,8}):")


def read_torrent(data: bytes) -> list[FileEntry]:
    """The files of a torrent, without padding files.

    Raises:
        InputError: the data is not a torrent file.
    """
    try:
        value, at = _value(data, 0, 0)
    except (IndexError, RecursionError) as error:
        raise InputError("the torrent file is incomplete") from error
    info = value.get(b"info") if isinstance(value, dict) and at == len(data) else None
    if not isinstance(info, dict):
        raise InputError("this is not a torrent file")
    title = _text(info.get(b"name"))
    if isinstance(tree := info.get(b"file tree"), dict):
        return [FileEntry(name, size) for name, size in _tree(tree, "")]
    if isinstance(files := info.get(b"files"), list):
        return [
            FileEntry("/".join(map(_text, path)), _size(each.get(b"length")))
            for each in files[:MAX_FILES]
            if isinstance(each, dict) and isinstance(path := each.get(b"path"), list)
            and b"p" not in (each.get(b"attr") or b"")
        ]  # fmt: skip
    return [FileEntry(title, _size(info.get(b"length")))]


def _tree(tree: dict[bytes, Any], folder: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for name, below in tree.items():
        if not isinstance(below, dict):
            raise InputError("the torrent file is damaged")
        leaf = below.get(b"")
        if isinstance(leaf, dict):
            found.append((folder + _text(name), _size(leaf.get(b"length"))))
        else:
            found += _tree(below, f"{folder}{_text(name)}/")
        if len(found) > MAX_FILES:
            break
    return found[:MAX_FILES]


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _size(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise InputError("the torrent file names a file without a size")
    return value


def _value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """The bencoded value that begins at `at`, and where it ends."""
    if depth > MAX_DEPTH:
        raise InputError("the torrent file is nested too deep")
    kind = data[at : at + 1]
    if kind == b"i" and (number := _NUMBER.match(data, at)):
        return int(number[1]), number.end()
    if kind == b"l":
        items = []
        at += 1
        while data[at : at + 1] != b"e":
            item, at = _value(data, at, depth + 1)
            items.append(item)
        return items, at + 1
    if kind == b"d":
        pairs: dict[bytes, Any] = {}
        at += 1
        while data[at : at + 1] != b"e":
            key, at = _value(data, at, depth + 1)
            if not isinstance(key, bytes):
                raise InputError("the torrent file is damaged")
            pairs[key], at = _value(data, at, depth + 1)
        return pairs, at + 1
    if (length := _LENGTH.match(data, at)) and length.end() + int(length[1]) <= len(data):
        end = length.end() + int(length[1])
        return data[length.end() : end], end
    raise InputError("the torrent file is damaged, or is not a torrent file")
