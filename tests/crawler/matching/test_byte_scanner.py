"""The byte scanner against a slow reference implementation in plain Python, and with values in many formats."""

import base64
import html
import json
import quopri
import re
import tracemalloc
import unicodedata
import zlib
from contextlib import contextmanager
from html.entities import html5
from urllib.parse import quote, quote_plus

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crawler.matching import byte_scanner, scan_kernels
from crawler.matching.byte_scanner import ByteScanner
from crawler.matching.candidates import Candidates
from crawler.matching.number_kernels import IBAN_LENGTHS
from data.hashing.tags import Kind, probe_tag
from data.identifiers import normalise

KEY = bytes(range(16))


class Everything:
    """A watch-list that holds every value."""

    def lookup(self, tags):
        return np.ones(len(tags), bool)


class Watch:
    """A watch-list that holds the given normal forms."""

    def __init__(self, *values):
        self.tags = np.array([probe_tag(KEY, kind, value) for kind, value in values], np.uint64)

    def lookup(self, tags):
        return np.isin(tags, self.tags)


def run(data, watch=None, cuts=()):
    scanner = ByteScanner(KEY, watch or Everything())
    parts = [scanner.feed(data[start:end]) for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return Candidates.concatenated([*parts, scanner.finish()])


def triples(candidates):
    return set(
        zip(map(Kind, candidates.kinds.tolist()), candidates.values.to_list(), candidates.places.tolist(), strict=True)
    )


def pairs(candidates):
    return {(kind, value) for kind, value, _ in triples(candidates)}


@contextmanager
def setting(**values):
    before = {name: getattr(byte_scanner, name) for name in values}
    try:
        for name, value in values.items():
            setattr(byte_scanner, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(byte_scanner, name, value)


# --- the reference implementation ------------------------------------------------------------------------------------

SYMBOL = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|.", re.DOTALL)


def read_symbol(symbol):
    if len(symbol) == 1:
        return symbol.decode("cp1252", "ignore") or chr(symbol[0])
    point = symbol[0] & (0x7F >> len(symbol))
    for byte in symbol[1:]:
        point = point << 6 | byte & 0x3F
    return chr(point) if point < 0x110000 else "\x01"


def folded(data):
    """The text that is searched, and the place in the data from which each of its characters was read."""
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
    """Kind, value and place of everything that the scanner should find in folded text."""
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
    gap = r"[ .\-/()+_\n\r]{0,2}"
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
        gap = re.compile(r"[ .\-/()+_\n\r]{1,3}(?=[0-9])").match(text, at)
        if not gap or len(digits) == 15:
            return
        at = gap.end()
        if (plus or digits.startswith("00")) and text[at - 1 : at + 2] == "(0)":
            at += 1


def find_readings(digits, plus, corsica, start):
    letter = not digits.isdigit()
    if len(digits) in (13, 15) and normalise.nir(digits):
        yield Kind.NIR, normalise.nir(digits).decode(), start
    if (len(digits) == 9 and letter == bool(corsica)) or (len(digits) == 11 and not corsica):
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


def reference(data):
    text, places = folded(data)
    return {(kind, value.encode(), places[at]) for kind, value, at in find(text.lower())}


# not the values of the table below, but pieces that they are made of
PARTS = """
jean.dupont@free.fr é@ö.fr a'b=c+d@x-y.co.uk @ x@y x@-a.b- 0612345678 06.12.34.56.78 +33 (0)6 0033 336 612345678 +32(0)470
+262 692 00262 1850578006084 185057800608436 2A 2a 2b 2B 185052A006084 12 34 00 1 78 006 084 36 10101234567 890123456789012345
FR76 FR7630006000011234567890189 IBANFR76 3000 6000 0112 3456 7890 189 BE68539007547034 de fr zk81-99ab _ . - é œ Ł ﬁ …
abcdefghij ABC_DEF.GHI x- ; , " ( ) + / ́ ­ ‑ я 🙂 ''
"""
WORDS = st.sampled_from([*PARTS.split(), " ", "\n", "\r\n", "\t", "\u00a0", "\u202f"])
TEXT = st.lists(WORDS, max_size=30).map("".join)
ENCODED = st.tuples(TEXT, st.sampled_from(["utf-8", "cp1252", "latin-1"])).map(
    lambda pair: pair[0].encode(pair[1], "ignore")
)
ALPHABET = st.binary(max_size=200) | st.lists(
    st.sampled_from(b"019 2aAbBfFrR7@.-_+()\xe9\xc3\xa9\xa0;\n"), max_size=200
).map(bytes)


@settings(deadline=None, max_examples=150)
@given(ENCODED | ALPHABET)
@example(b"\xe2\x80")
@example(b"x@y.fr" * 40)
@example(b"FR76 3000 6000 0112 3456 7890 189 IBANFR7630006000011234567890189")
def test_it_finds_the_same_as_the_reference_implementation(data):
    with setting(_ALL_SIGNS=0):
        assert triples(run(data)) == reference(data)
    assert triples(run(data)) >= reference(data)


def code_point(digits, base):
    point = int(digits, base)
    return (chr(point) if point < 0xD800 or 0xE000 <= point < 0x110000 else "\ufffd").encode()


def read_escape(found):
    if found["u"] or found["h"]:
        return code_point(found["u"] or found["h"], 16)
    if found["pair"]:
        return json.loads(b'"' + found["pair"] + b'"').encode()
    if found["x"]:
        return bytes([int(found["x"], 16)])
    if found["o"]:
        return bytes([int(found["o"], 8)])
    if found["c"]:
        return b"\n" if found["c"] in b"nrtbfv0Z" else found["c"]
    if found["n"]:
        return code_point(found["n"], 10)
    if found["e"]:
        text = html5.get(found["e"].decode() + ";", "")
        return text.encode() if len(text) == 1 else found[0]
    return b"'"


PAIR = r"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
ESCAPE = re.compile(
    (
        PAIR + r"|(?:\\u|%u(?=[0-9a-fA-F]{4}))(?P<u>[0-9a-fA-F]{4})|(?:\\[xX]|%)(?P<x>[0-9a-fA-F]{2})"
        r"|\\(?P<o>[0-3][0-7]{2})|\\(?P<c>[nrtbfv0Z!-/:-@\[-`{-~])|&#[xX](?P<h>[0-9a-fA-F]{1,6});?"
        r"|&#(?P<n>[0-9]{1,7});?|&(?P<e>[a-zA-Z0-9]{1,31});|(?P<q>'')"
    ).encode()
)
ESCAPES = r"""
\n \t \/ \\ \' \" \u0040 \u00e9 \u00E9 \ud83d\ude00 \ud83d \x40 \xe9 \101 \060 \u12 \u %40 %C3%A9 %2 %u00e9 %2540 %
&eacute; &#233; &#xE9; &#64 &commat; &period; &nbsp; &amp; &amp;#64; &x; & &#; ''
"""
ESCAPED = st.lists(WORDS | st.sampled_from(ESCAPES.split()), max_size=30).map(lambda parts: "".join(parts).encode())


@settings(deadline=None, max_examples=150)
@given(ESCAPED)
@pytest.mark.slow
def test_it_undoes_escapes_like_the_reference_implementation(data):
    expected = {(kind, value) for kind, value, _ in reference(data)}
    for _ in range(byte_scanner._MAX_DEPTH):
        data = ESCAPE.sub(read_escape, data)
        expected |= {(kind, value) for kind, value, _ in reference(data)}
    with setting(_ALL_SIGNS=scan_kernels.ESCAPE):
        assert pairs(run(data)) <= expected


# --- formats ---------------------------------------------------------------------------------------------------------

SURFACES = [
    (
        Kind.EMAIL,
        b"jean.dupont@example.fr",
        ["jean.dupont@example.fr", "Jean.Dupont@EXAMPLE.fr", "<jean.dupont@example.fr>"],
    ),
    (Kind.EMAIL, b"o'brien+sos@mail.example.co.uk", ["o'brien+sos@mail.example.co.uk"]),
    (Kind.EMAIL, b"helene@example.fr", ["hélène@example.fr", "he\u0301le\u0300ne@example.fr"]),
    (
        Kind.PHONE,
        b"612345678",
        [
            *[
                "0612345678",
                "06.12.34.56.78",
                "06-12-34-56-78",
                "06/12/34/56/78",
                "+33612345678",
                "+33(0)612345678",
                "0033612345678",
            ],
            *["33612345678", "612345678", "612345678.0", "06\xa012\xa034\xa056\xa078"],
            *["06\u202f12\u202f34\u202f56\u202f78", "06‑12‑34‑56‑78"],
            *("06 12 34 56 78", "+33 6 12 34 56 78", "+33 (0)6 12 34 56 78", "00 33 6 12 34 56 78"),
            *("0033 (0)6 12 34 56 78", "(06) 12-34-56-78", "06 1234 5678"),
        ],
    ),
    (Kind.PHONE, b"692123456", ["0692123456", "+262 692 12 34 56", "00262692123456"]),
    (Kind.PHONE, b"32470123456", ["+32 470 12 34 56", "0032470123456", "+32 (0)470 12 34 56"]),
    (
        Kind.NIR,
        b"1850578006084",
        [
            *("1850578006084", "185057800608436", "1 85 05 78 006 084 36", "1.85.05.78.006.084"),
            "1\u00a085\u00a005\u00a078\u00a0006\u00a0084\u00a036",
        ],
    ),
    (Kind.NIR, b"2991219006084", ["299122A006084", "2 99 12 2A 006 084 42", "2 99 12 2a 006 084"]),
    (Kind.NIR, b"2991218006084", ["299122B006084", "2 99 12 2B 006 084 69"]),
    (
        Kind.IBAN,
        b"fr7630006000011234567890189",
        [
            *("FR7630006000011234567890189", "FR76 3000 6000 0112 3456 7890 189"),
            *("fr76-3000-6000-0112-3456-7890-189", "IBANFR7630006000011234567890189"),
        ],
    ),
    (Kind.PROFESSIONAL, b"10101234567", ["10101234567", "1 01 01234567", "10101234567.0"]),
    (Kind.PROFESSIONAL, b"750000001", ["750000001", "75 000 000 1"]),
    (Kind.PROFESSIONAL, b"2a0000014", ["2A0000014", "2a 000 001 4"]),
    (
        Kind.TOKEN,
        b"zk8199abc",
        ["zk8199abc", "ZK-8199-ABC", "zk_81.99-abc", "ZK8199ÁBC", "http://x.fr/a/ZK8199ABC?y", "x_zk8199-abc.pdf"],
    ),
]
CASES = [(kind, value, surface) for kind, value, surfaces in SURFACES for surface in surfaces]
NAMES = {64: "&commat;", 46: "&period;", 43: "&plus;", 45: "&hyphen;", 40: "&lpar;", 0xE9: "&eacute;", 0xA0: "&nbsp;"}


def each(form):
    """An encoder that writes every character as an escape of its code point."""
    return lambda text: "".join(form.format(ord(character)) for character in text).encode()


FORMATS = {
    "utf-8": str.encode,
    "utf-8 with mark": lambda text: text.encode("utf-8-sig"),
    "latin-1": lambda text: text.encode("latin-1"),
    "cp1252": lambda text: text.encode("cp1252"),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "utf-16-le at an odd place": lambda text: b"\n" + text.encode("utf-16-le"),
    "utf-16-be with mark": lambda text: b"\n\xfe\xff" + text.encode("utf-16-be"),
    "nfd": lambda text: unicodedata.normalize("NFD", text).encode(),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text).encode(),
    "upper case": lambda text: text.upper().encode(),
    "csv": lambda text: f'a;"{text}";b\n'.encode(),
    "tabs": lambda text: f"a\t{text}\tb\r\n".encode(),
    "json": lambda text: json.dumps({"a": text}).encode(),
    "json with \\/": lambda text: json.dumps({"a": text}).replace("/", "\\/").encode(),
    "json, all escaped": each("\\u{:04x}"),
    "json in json": lambda text: json.dumps({"a": json.dumps({"b": text})}).encode(),
    "json, in a longer text": lambda text: json.dumps({"a": f"name\n{text}\tb"}).encode(),
    "json in utf-16": lambda text: json.dumps({"a": f"name\n{text}\tb"}).encode("utf-16"),
    "sql": lambda text: f"INSERT INTO `t` VALUES (1,'{text.replace(chr(39), chr(39) * 2)}',NULL);".encode(),
    "mysql": lambda text: "(1,'x\\r\\n{}\\n')".format(text.replace("'", "\\'")).encode(),
    "python bytes": lambda text: repr(text.encode()).encode(),
    "octal": lambda text: "".join(f"\\{code:03o}" for code in text.encode()).encode(),
    "url": lambda text: f"?q={quote(text, safe='')}&r=1".encode(),
    "url, plus": lambda text: f"?q={quote_plus(text)}&r=1".encode(),
    "url twice": lambda text: quote(quote(text, safe=""), safe="").encode(),
    "all percent": lambda text: "".join(f"%{code:02X}" for code in text.encode()).encode(),
    "percent u": each("%u{:04x}"),
    "xml decimal": each("&#{};"),
    "xml hex": each("&#x{:X};"),
    "xml names": lambda text: "".join(NAMES.get(ord(c), c) for c in text).encode("ascii", "xmlcharrefreplace"),
    "html cell": lambda text: f"<td>{html.escape(text)}</td><td>1</td>".encode(),
    "html, in halves": lambda text: f"<p>{text[:5]}<b class='x'>{text[5:]}</b></p>".encode(),
    "html, a word break": lambda text: f"{text[:5]}<wbr>{text[5:]}".encode(),
    "html, a comment": lambda text: f"{text[:5]}<!-- x -->{text[5:]}".encode(),
    "bbcode": lambda text: f"[b]{text[:4]}[/b][color=#ff0000]{text[4:]}[/color]".encode(),
    "quoted-printable": lambda text: quopri.encodestring(("x" * 66 + " " + text).encode()),
    "base64": lambda text: base64.b64encode(f"name;{text};x;y;z;1;2;3".encode()),
    "base64 lines": lambda text: base64.encodebytes(("0;1;2;3;4\n" * 9 + text + ";" + "0;1;2;3;4\n" * 9).encode()),
    "base64 of utf-16": lambda text: base64.b64encode(f"name;{text};x;y;z;1;2;3".encode("utf-16-le")),
    "wrapped at every blank": lambda text: text.replace(" ", "\n").encode(),
    "wrapped at every blank, CRLF": lambda text: text.replace(" ", "\r\n").encode(),
    "nul around": lambda text: b"\0\0" + text.encode() + b"\0\0",
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.slow
def test_values_of_every_kind_are_found_in_this_format(name):
    missed = []
    for kind, value, surface in CASES:
        try:
            data = FORMATS[name](surface)
        except UnicodeEncodeError:
            continue
        if (kind, value) not in pairs(run(data, Watch((kind, value)))):
            missed.append((kind.name, surface))
    assert not missed


def test_numbers_in_a_column_are_collected_each_for_itself_and_not_joined():
    collected: list[int] = []
    scanner = ByteScanner(KEY, Watch(), collect=lambda tags: collected.extend(tags.tolist()))
    scanner.feed(b"0612345678\n185057800608436\n0698\n765 432\n")
    scanner.finish()
    wanted = {Kind.PHONE: b"612345678", Kind.NIR: b"1850578006084"}
    assert set(collected) == {probe_tag(KEY, kind, value) for kind, value in wanted.items()}


@pytest.mark.parametrize(("kind", "value", "surface"), CASES)
def test_a_candidate_is_the_normal_form_of_the_text_at_its_offset(kind, value, surface):
    if kind is not Kind.TOKEN:
        assert normalise.normalise(kind.word, surface.replace("00 33", "0033")) == value
    found = run(f"a;{surface};b".encode(), Watch((kind, value)))
    assert len(found)
    assert set(found.tags.tolist()) == {probe_tag(KEY, kind, value)}
    assert value.decode() not in repr(found)
    for found_kind, found_value, place in triples(found):
        assert (found_kind, found_value) == (kind, value)
        assert 2 <= place < 2 + len(surface.encode())


@settings(deadline=None, max_examples=150)
@given(ENCODED | ALPHABET | ESCAPED)
def test_every_candidate_normalises_to_itself(data):
    for kind, value in pairs(run(data)):
        text = value.decode("ascii")
        again = normalise.normalise(kind.word, text)
        if kind is Kind.PHONE and again != value:
            again = normalise.phone("+" + text)
        assert again == value


def test_many_hits_make_no_object_each():
    # 200,000 objects were made for these 20,000 addresses before candidates were arrays
    data = "".join(f"person.{number}@example.fr\n" for number in range(20_000)).encode()
    run(data)
    tracemalloc.start()
    try:
        found = run(data)
        blocks = sum(each.count for each in tracemalloc.take_snapshot().statistics("filename"))
    finally:
        tracemalloc.stop()
    assert len(found) >= 20_000
    assert blocks < 2_000


# --- chunks and memory -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.lists(ESCAPED | ENCODED | TEXT.map(lambda text: text.encode("utf-16-le")), min_size=1, max_size=12),
    st.lists(st.integers(0, 2**16), max_size=12),
)
def test_the_result_does_not_depend_on_the_cut_of_chunks_and_blocks(parts, cuts):
    data = b"".join(parts) * 3
    whole = triples(run(data))
    cuts = sorted(cut % (len(data) + 1) for cut in cuts)
    assert triples(run(data, cuts=cuts)) == whole
    with setting(BLOCK=512, AROUND=2048):
        small = triples(run(data))
        assert triples(run(data, cuts=cuts)) == small
        # where a block begins inside of base64, every phase is tried, so that small blocks may find more
        assert small >= whole


RANDOM = np.random.default_rng(7).integers(0, 256, 200_000, np.uint8).tobytes()


def is_high_entropy(data):
    held = np.frombuffer(data + bytes(64), np.uint8)
    return scan_kernels.is_high_entropy(held.ctypes.data, len(data))


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("random", RANDOM, True),
        ("deflated", zlib.compress("".join(f"{n};{n * n % 977}\n" for n in range(90_000)).encode()), True),
        ("random but for one text", RANDOM[:100_000] + b"{'a': '\\u00e9'} " * 250 + RANDOM[100_000:], False),
        ("short", RANDOM[:60_000], False),
        ("hex", RANDOM.hex().encode(), False),
        ("base64", base64.b64encode(RANDOM), False),
        ("Russian", "Иванов Пётр, 12.03.1975\n".encode() * 8000, False),
        ("Russian in one byte", "Иванов Пётр, 12.03.1975\n".encode("cp1251") * 8000, False),
        ("Chinese in UTF-16", "张伟的电话号码是多少".encode("utf-16-le") * 8000, False),
    ],
)
def test_high_entropy_data_is_distinguished_from_everything_that_may_have_another_reading(name, data, expected):
    assert is_high_entropy(data) == expected, name


def test_a_plain_value_within_high_entropy_data_is_found():
    mail, phone = (Kind.EMAIL, b"jean.dupont@exemple.fr"), (Kind.PHONE, b"612345678")
    hidden = (
        RANDOM[:90_000] + b" Jean.Dupont@exemple.fr " + RANDOM[90_000:150_000] + b" 06 12 34 56 78 " + RANDOM[150_000:]
    )
    assert is_high_entropy(hidden)
    assert {found[:2] for found in triples(run(hidden, Watch(mail, phone)))} == {mail, phone}
