"""Makes a line of running text of a path, so that the people named in folders and files are found. Pure."""

from __future__ import annotations

import re

# Characters of a path that are read: its end names the file.
MAX_PATH = 1024
_SEPARATOR = re.compile(r"[\\/]+")
_DRIVE = re.compile(r"^(?:[A-Za-z]:|\.{1,2})$")
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
# a dot between words, and not one within a number or a date
_DOT = re.compile(r"(?<=[^\W\d])\.(?=[^\W\d])")


def path_line(path: str) -> str:
    """The parts of a path with separators between them, without drive and ending; '' if it has no letter or digit.

    `Dossiers/DUPONT_Jean_1975-03-12.pdf` becomes `Dossiers | DUPONT Jean 1975-03-12`.
    """
    parts = [part for part in _SEPARATOR.split(path[-MAX_PATH:]) if part and not _DRIVE.match(part)]
    if parts:
        parts[-1] = _ENDING.sub("", parts[-1])
    # the dots of an e-mail address stay
    line = " | ".join(part if "@" in part else _DOT.sub(" ", part) for part in parts)
    line = line.replace("_", " ").replace("\n", " ").replace("\r", " ")
    return line if any(char.isalnum() for char in line) else ""
