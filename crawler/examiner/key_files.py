"""Checks the key files of a home, which the examiner reads only when it starts."""

from __future__ import annotations

from data.durable_files import read_file
from data.errors import KeyFileError
from data.hashing.case_keys import parse_enrol_key, parse_match_key
from data.settings.home import Home


def key_file_faults(home: Home, case: str, *, has_match_key: bool) -> list[str]:
    """Sentences on key files that are lost, damaged or of another case; empty if a new examiner could start.

    Args:
        home: whose files are read.
        case: of the key that is in use.
        has_match_key: the match key came from the file of the home.
    """
    wrong = []
    if has_match_key and _case_of_match_key(home) != case:
        wrong.append("keys/match.key is lost or damaged: the examiner works with what it read when it started")
    if home.enrol_key_path.exists() and _case_of_enrol_key(home) != case:
        wrong.append("keys/enrol.key is damaged or belongs to another case")
    return wrong


def _case_of_match_key(home: Home) -> str:
    try:
        return parse_match_key(home.match_key_text()).derive().case
    except KeyFileError:
        return ""


def _case_of_enrol_key(home: Home) -> str:
    try:
        return parse_enrol_key(read_file(home.enrol_key_path).decode(errors="replace")).case
    except (KeyFileError, OSError):
        return ""
