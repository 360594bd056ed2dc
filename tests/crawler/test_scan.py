"""The byte pass against a slow twin in plain Python, and against one value in many clothes."""

import html
import quopri
import re
import tracemalloc
from urllib.parse import quote

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crawler import scan
from crawler.scan import ByteScanner
from crawler.scan_kernels import IBAN_LENGTHS
from data import normalise
from data.tags import Kind, probe_tag

KEY = bytes(range(16))


class Everything:
    """A watch-list that every value is on."""

    def lookup(self, tags):
        return np.ones(len(tags), bool)


class Watch:
    """A watch-list of given normal forms."""

    def __init__(self, *values):
        self.tags = np.array([probe_tag(KEY, kind, value) for kind, value in values], np.uint64)

    def lookup(self, tags):
        return np.isin(tags, self.tags)


def run(data, watch=None, cuts=()):
    scanner = ByteScanner(KEY, watch or Everything())
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        found += scanner.feed(data[start:end])
    return found + scanner.finish()


def seen(data, watch=None, cuts=()):
    return {(candidate.kind, candidate.value, candidate.offset) for candidate in run(data, watch, cuts)}


# --- the twin --------------------------------------------------------------------------------------------------------

SYMBOL = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|.", re.DOTALL)


def read_symbol(symbol):
    if len(symbol) == 1:
        return symbol.decode("cp1252", "ignore") or chr(symbol[0])
    point = symbol[0] & (0x7F >> len(symbol))
    for byte in symbol[1:]:
        point = point << 6 | byte & 0x3F
    return chr(point) if point < 0x110000 else "\x01"


def folded(data):
    """The text that is searched, and for each of its characters the place of the symbol it came from."""
    text, places = "", []
    for found in SYMBOL.finditer(data):
        character = read_symbol(found[0])
        reading = normalise.fold(character)
        point = ord(character)
        known = point < 0x3400 or 0xFB00 <= point < 0x10000 or 0x1D400 <= point < 0x1D800
        if point > 127 and (not reading.isascii() or len(reading) > 3 or not known):
            reading = "\x01"
        text += reading
        places += [found.start()] * len(reading)
    return text, places


def find(text):
    """Kind, value and place of all that the pass should see in folded text."""
    for word in re.finditer(r"[a-z0-9]+", text):
        yield from find_tokens(text, word)
        yield from find_ibans(text, word.start())
    for group in re.finditer(r"[0-9]+", text):
        if len(group[0]) > 15:
            yield from find_long(group)
        else:
            yield from find_numbers(text, group.start())
    for at in re.finditer("@", text):
        yield from find_emails(text, at.start())


def find_tokens(text, word):
    pieces = re.compile(r"[a-z0-9]+(?:[-_.][a-z0-9]+){0,7}").match(text, word.start())[0]
    value = ""
    for piece in re.split(r"[-_.]", pieces):
        value += piece
        if len(value) > 64:
            break
        if len(value) >= 8:
            yield Kind.TOKEN, value, word.start()


def find_ibans(text, start):
    if re.compile(r"iban[a-z]{2}[0-9]").match(text, start):
        yield from find_ibans(text, start + 4)
    head = re.compile(r"[a-z]{2}").match(text, start)
    length = int(IBAN_LENGTHS[(ord(head[0][0]) - 97) * 26 + ord(head[0][1]) - 97]) if head else 0
    gap = r"[ .\-/()+_]{0,2}"
    if length and (found := re.compile(rf"[a-z0-9](?:{gap}[a-z0-9]){{{length - 1}}}").match(text, start)):
        value = re.sub("[^a-z0-9]", "", found[0])
        if normalise.iban(value):
            yield Kind.IBAN, value, start


def find_numbers(text, start):
    plus = text[start - 1 : start] == "+"
    digits, corsica, at = "", "", start
    while True:
        run_of = re.compile("[0-9]*").match(text, at)[0]
        digits, at = digits + run_of, at + len(run_of)
        if len(digits) > 15:
            return
        if not corsica and len(digits) in (1, 6) and digits[-1] == "2" and text[at : at + 1] in tuple("ab"):
            corsica = digits + text[at]
            digits = (digits[:5] + {"a": "19", "b": "18"}[text[at]]) if len(digits) == 6 else corsica
            at += 1
            if text[at : at + 1] in tuple("0123456789"):
                continue
        yield from find_readings(digits, plus, corsica, start)
        gap = re.compile(r"[ .\-/()+_]{1,3}(?=[0-9])").match(text, at)
        if not gap or len(digits) == 15:
            return
        at = gap.end()
        if (plus or digits.startswith("00")) and text[at - 1 : at + 2] == "(0)":
            at += 1


def find_readings(digits, plus, corsica, start):
    letter = not digits.isdigit()
    if len(digits) in (13, 15) and normalise.nir(digits):
        yield Kind.NIR, normalise.nir(digits).decode(), start
    if len(digits) == 9 and letter == bool(corsica) or len(digits) == 11 and not corsica:
        yield Kind.PROFESSIONAL, digits, start
    if not corsica:
        number = normalise.phone("+" * plus + digits).decode()
        if not plus and re.fullmatch("330[1-9][0-9]{8}", digits):
            number = digits[3:]
        if number:
            yield Kind.PHONE, number, start


def find_long(group):
    for at in range(len(group[0])):
        digits = group[0][at:]
        if normalise.nir(digits[:13]):
            yield Kind.NIR, digits[:13], group.start() + at
        if re.match("10[0-9]{9}", digits):
            yield Kind.PROFESSIONAL, digits[:11], group.start() + at
        if re.match("0[1-9][0-9]{8}", digits):
            yield Kind.PHONE, digits[1:10], group.start() + at


def find_emails(text, at):
    before = re.search(r"[a-z0-9._%+\-'&=!#$*?^`{}~]*$", text[max(at - 65, 0) : at])[0]
    if len(before) > 64:
        before = re.search(r"(?<=['&=+!#$*?^`{}~%]).*$|$", before, re.DOTALL)[0]
    before = re.search(r"[a-z0-9_].*$|$", before, re.DOTALL)[0]
    after = re.compile(r"[a-z0-9.\-]*").match(text, at + 1)[0]
    if not before or before.endswith(".") or len(after) >= 128:
        return
    begins = [0] + [found.end() for found in re.finditer(r"['&=+!#$*?^`{}~%](?=[a-z0-9])", before)]
    labels = after.split(".")
    tried = 0
    for count in range(2, len(labels) + 1):
        domain = ".".join(labels[:count]).rstrip("-")
        if len(domain) - len(".".join(labels[: count - 1])) - 1 < 2:
            continue
        for begin in begins:
            if tried < 16:
                yield Kind.EMAIL, before[begin:] + "@" + domain, at - len(before) + begin
                tried += 1


def twin(data):
    text, places = folded(data)
    return {(kind, value.encode(), places[at]) for kind, value, at in find(text.lower())}


WORDS = st.sampled_from(
    "jean.dupont@free.fr é@ö.fr a'b=c+d@x-y.co.uk @ x@y x@-a.b- 0612345678 06.12.34.56.78 +33 (0)6 0033 336 612345678 +32(0)470 "
    "+262 692 00262 1850578006084 185057800608436 2A 2a 2b 2B 185052A006084 12 34 00 1 78 006 084 36 10101234567 890123456789012345 "
    "FR76 FR7630006000011234567890189 IBANFR76 3000 6000 0112 3456 7890 189 BE68539007547034 de fr zk81-99ab _ . - é œ Ł ﬁ … "
    "abcdefghij ABC_DEF.GHI x-".split()
    + [" ", ";", ",", "\n", "\t", '"', "(", ")", "+", "/", "\u00a0", "\u202f", "\u0301", "\u00ad", "\u2011", "я", "🙂", "''"]
)
TEXT = st.lists(WORDS, max_size=30).map("".join)
ENCODED = st.tuples(TEXT, st.sampled_from(["utf-8", "cp1252", "latin-1"])).map(lambda pair: pair[0].encode(pair[1], "ignore"))
ALPHABET = st.binary(max_size=200) | st.lists(st.sampled_from(b"019 2aAbBfFrR7@.-_+()\xe9\xc3\xa9\xa0;"), max_size=200).map(bytes)


@settings(deadline=None, max_examples=300)
@given(ENCODED | ALPHABET)
@example(b"\xe2\x80")
@example(b"x@y.fr" * 40)
def test_finds_what_the_twin_finds_on_bytes_without_escapes(data):
    data = re.sub(rb"[\\&%\x00]|''", b"?", data)
    assert seen(data) == twin(data)
