"""Finds the passwords that the text of a post gives for its archives. They are tried on these archives and forgotten.

Only what the post itself says counts: words behind a label, and the name of the site, which many sites use. Nothing is
guessed beyond that, and nothing is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_PASSWORDS = 20
"""Passwords of one post that are tried."""
MAX_LENGTH = 128
# Characters of a text that are searched; a longer text is a dump.
MAX_TEXT = 200_000
_LABEL = re.compile(
    r"(?:\bpass(?:word|wd|code|phrase)?s?|\bpwd|\bpw|\bmdp|\bmots? de passe|\bcl[eé]|\bkey|\bunlock(?: code)?|\bzip code"
    r"|\bdecrypt(?:ion)?(?: key)?|\bcontrase[nñ]a|\bpasswort|\bпароль|密码|解压码)"
    r"(?:[ \t]{1,3}(?:for|of|to|du|de|pour|zip|rar|7z|archive|the|the archive|file|files?|fichiers?|l.archive)){0,4}"
    r"[ \t]{0,8}(?:(?:is|est|are)\b[ \t]{0,4}:?|[:=\-–—>|]{1,3}|：)[ \t]{0,8}(?P<given>[^\r\n]{1,300})",
    re.IGNORECASE,
)
# a label on a line of its own; the password is the next line
_ABOVE = re.compile(
    r"^[ \t]{0,8}(?:pass(?:word|wd|code|phrase)?|pwd|mdp|mot de passe)[ \t]{0,4}:?[ \t]{0,8}\r?\n[ \t]{0,8}"
    r"(?P<given>[^\r\n]{1,300})",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED = re.compile(r"[\"'`«“‘\[(<]\s?(.{1,128}?)\s?[\"'`»”’\])>]")
_ENDING = ".,;:!?)]}>\"'`»”’"


def find_passwords(text: str, sites: Iterable[str] = ()) -> list[str]:
    """Passwords that a text gives, the likeliest first; at most `MAX_PASSWORDS`.

    Args:
        text: of a post: its title, its body, its pages.
        sites: names of the site, such as its host; they come last.
    """
    text = text[:MAX_TEXT]
    found: dict[str, None] = {}
    matches = sorted([*_LABEL.finditer(text), *_ABOVE.finditer(text)], key=lambda match: match.start("given"))
    for match in matches[: 4 * MAX_PASSWORDS]:
        for reading in _readings(match["given"]):
            found.setdefault(reading)
    labelled = [each for each in found if each and len(each) <= MAX_LENGTH]
    places = [name for site in sites for name in _names_of(site)]
    # the name of the site is always tried, however many labels a hostile post has
    names = list(dict.fromkeys(place for place in places if place and len(place) <= MAX_LENGTH))[:4]
    return [*labelled[: MAX_PASSWORDS - len(names)], *(name for name in names if name not in found)]


def _readings(given: str) -> list[str]:
    """What may be meant by the rest of a line behind a label."""
    given = given.strip()
    quoted = _QUOTED.match(given)
    word = given.split(maxsplit=1)[0] if given else ""
    readings = [quoted[1]] if quoted else []
    readings += [word, word.rstrip(_ENDING), given]
    return [reading for reading in readings if reading]


def _names_of(site: str) -> list[str]:
    host = site.lower().removeprefix("www.")
    return [host, host.rpartition(".")[0].rpartition(".")[2], f"www.{host}"] if "." in host else [host]
