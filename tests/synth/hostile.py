"""Samples made to break a reader, each with a canary that must be seen all the same, and what must be said."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from crawler.readers.core.limits import Limits

CANARY = "canary.zwiebelturm@example.org"
_PERSON = "Dupont;Jeanne;1980-02-03;Paris\n"
_TABLE = "nom;prenom;naissance;ville\n" + "".join(f"Martin{i};Paul;1970-01-0{i % 9 + 1};Lyon\n" for i in range(20))
_CANARY_TABLE = _TABLE + f"Dupont;Jeanne;1980-02-03;{CANARY}\n"


@dataclass(frozen=True)
class Hostile:
    """One hostile sample.

    Attributes:
        problems: codes of which at least one must be said; empty where the sample is odd but can be read whole.
        complete: what the reader must claim. visible: the canary stands in rows, text or unpacked bytes.
        bytes: it does not, but the byte pass over the sample itself sees it.
    """

    name: str
    data: bytes
    problems: frozenset[str] = frozenset()
    complete: bool = False
    visible: bool = True
    bytes: bool = False
    limits: Limits = field(default_factory=Limits)

    def __repr__(self) -> str:
        return self.name


MAKERS: dict[str, Callable[[random.Random], Hostile]] = {}


def _made(maker: Callable[[random.Random], Hostile]) -> Callable[[random.Random], Hostile]:
    MAKERS[maker.__name__] = maker
    return maker


def hostile(name: str, seed: int = 0) -> Hostile:
    """One of them; the seed moves the noise inside."""
    return MAKERS[name](random.Random(f"{seed}-{name}"))


def noise(random_: random.Random, size: int) -> bytes:
    return random_.randbytes(size)


def make_zip(members: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


class Unseekable(io.RawIOBase):
    """Makes zipfile write sizes behind the members, as tools do that write to a pipe."""

    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # typeshed's ReadableBuffer is what bytes() takes
        self.data += piece
        return len(piece)


def streamed_zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = Unseekable()
    with zipfile.ZipFile(target, "w", method) as archive:  # type: ignore[call-overload]  # a raw stream is enough
        for name, data in members.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            with archive.open(entry, "w") as member:
                member.write(data)
    return bytes(target.data)


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def local(
    name: bytes, data: bytes, *, method: int = 8, flags: int = 0, body: bytes | None = None, **lies: int
) -> bytes:
    """A local header and its member, with whatever lies in the header."""
    body = (_raw_deflate(data) if method == 8 else data) if body is None else body
    crc, packed = lies.get("crc", zlib.crc32(data)), lies.get("packed", len(body))
    unpacked = lies.get("unpacked", len(data))
    return (
        struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, flags, method, 0, 0, crc, packed, unpacked, len(name), 0)
        + name
        + body
    )


def index(entries: list[tuple[bytes, int, int, int, int]], offset: int, *, count: int | None = None) -> bytes:
    """Central directory and end record; entries are (name, crc, packed, unpacked, offset)."""
    body = b"".join(
        struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, crc, packed, size, len(name), 0, 0, 0, 0, 0, at
        )
        + name
        for name, crc, packed, size, at in entries
    )
    number = len(entries) if count is None else count
    return body + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, number, number, len(body), offset, 0)


def _entry(name: bytes, data: bytes, at: int) -> tuple[bytes, int, int, int, int]:
    return name, zlib.crc32(data), len(_raw_deflate(data)), len(data), at


# --- zip ---------------------------------------------------------------------------------------------------------


@_made
def zip_bomb_before_the_canary(random_: random.Random) -> Hostile:
    data = make_zip({"zeros.bin": bytes(40_000_000), "people.csv": _CANARY_TABLE.encode()})
    return Hostile("zip bomb before the canary", data, frozenset({"ratio"}), limits=Limits(max_ratio=50))


@_made
def streamed_zip_bomb(random_: random.Random) -> Hostile:
    data = streamed_zip({"zeros.bin": bytes(40_000_000), "people.csv": _CANARY_TABLE.encode()})
    return Hostile("streamed zip bomb before the canary", data, frozenset({"ratio"}), limits=Limits(max_ratio=50))


@_made
def bomb_in_layers(random_: random.Random) -> Hostile:
    inner = make_zip({"zeros.bin": bytes(20_000_000)})
    data = make_zip({"people.csv": _CANARY_TABLE.encode(), "a.zip": make_zip([(f"{i}.zip", inner) for i in range(50)])})
    return Hostile("bomb in layers", data, frozenset({"ratio"}), limits=Limits(max_ratio=50))


@_made
def output_limit(random_: random.Random) -> Hostile:
    data = make_zip({"people.csv": _CANARY_TABLE.encode(), "big.txt": b"lorem ipsum dolor\n" * 200_000})
    return Hostile("more output than allowed", data, frozenset({"limit"}), limits=Limits(max_output=1_000_000))


@_made
def many_members(random_: random.Random) -> Hostile:
    data = make_zip([("people.csv", _CANARY_TABLE.encode()), *((f"{i}", b"x") for i in range(500))])
    return Hostile("more members than allowed", data, frozenset({"limit"}), limits=Limits(max_entries=100))


@_made
def deep_nesting(random_: random.Random) -> Hostile:
    data = make_zip({"people.csv": _CANARY_TABLE.encode()})
    for _ in range(30):
        data = make_zip({"next.zip": data, "people.csv": _CANARY_TABLE.encode()})
    return Hostile("thirty archives inside each other", data, frozenset({"depth"}))


@_made
def encrypted(random_: random.Random) -> Hostile:
    secret = noise(random_, 5000)
    first = local(b"secret.csv", secret, method=0, flags=1)
    second = local(b"open.csv", _CANARY_TABLE.encode())
    data = first + second
    entries = [
        (b"secret.csv", zlib.crc32(secret), 5000, 5000, 0),
        _entry(b"open.csv", _CANARY_TABLE.encode(), len(first)),
    ]
    return Hostile("an encrypted member", data + index(entries, len(data)), frozenset({"locked"}))


@_made
def truncated_zip(random_: random.Random) -> Hostile:
    data = make_zip({"people.csv": _CANARY_TABLE.encode(), "more.bin": noise(random_, 50_000)})
    return Hostile("zip cut inside its second member", data[:20_000], frozenset({"cut"}))


@_made
def truncated_index(random_: random.Random) -> Hostile:
    data = make_zip({"people.csv": _CANARY_TABLE.encode(), "more.txt": b"more"})
    return Hostile("zip cut inside its index", data[:-40], frozenset({"cut", "suspicious"}))


@_made
def damaged_member(random_: random.Random) -> Hostile:
    first = local(b"broken.bin", noise(random_, 100), body=b"\xff" * 4000)
    second = local(b"people.csv", _CANARY_TABLE.encode())
    data = first + second
    entries = [(b"broken.bin", 0, 4000, 100, 0), _entry(b"people.csv", _CANARY_TABLE.encode(), len(first))]
    return Hostile("a member that is no deflate stream", data + index(entries, len(data)), frozenset({"damaged"}))


@_made
def damage_in_the_middle(random_: random.Random) -> Hostile:
    table = "".join(f"{random_.randrange(10**9)};Jeanne;Paris\n" for _ in range(20_000))
    data = bytearray(make_zip({"a.csv": f"{_CANARY_TABLE}{table}".encode(), "b.csv": _CANARY_TABLE.encode()}))
    middle = len(data) // 2
    data[middle : middle + 64] = b"\xff" * 64
    return Hostile("a member damaged in its middle", bytes(data), frozenset({"damaged"}))


@_made
def wrong_checksum(random_: random.Random) -> Hostile:
    data = local(b"people.csv", _CANARY_TABLE.encode(), crc=7)
    entries = [_entry(b"people.csv", _CANARY_TABLE.encode(), 0)]
    return Hostile("a member with a wrong checksum", data + index(entries, len(data)), frozenset({"damaged"}))


@_made
def sizes_too_small(random_: random.Random) -> Hostile:
    data = local(b"people.csv", _CANARY_TABLE.encode(), packed=3, unpacked=3) + local(b"b.txt", b"b")
    entries = [(b"people.csv", 0, 3, 3, 0)]
    return Hostile("sizes of a header that are too small", data + index(entries, len(data)), frozenset({"suspicious"}))


@_made
def sizes_that_swallow(random_: random.Random) -> Hostile:
    first = local(b"decoy.txt", b"nothing here", packed=1_000_000)
    second = local(b"people.csv", _CANARY_TABLE.encode())
    entries = [(b"decoy.txt", 0, 1_000_000, 12, 0)]
    data = first + second
    return Hostile("a size that swallows the next member", data + index(entries, len(data)), frozenset({"suspicious"}))


@_made
def zero_sizes(random_: random.Random) -> Hostile:
    data = local(b"people.csv", _CANARY_TABLE.encode(), packed=0, unpacked=0)
    entries = [_entry(b"people.csv", _CANARY_TABLE.encode(), 0)]
    return Hostile("sizes of zero before a full member", data + index(entries, len(data)), frozenset({"suspicious"}))


@_made
def same_name_twice(random_: random.Random) -> Hostile:
    data = local(b"a.csv", b"harmless") + local(b"a.csv", _CANARY_TABLE.encode())
    first = len(local(b"a.csv", b"harmless"))
    entries = [_entry(b"a.csv", b"harmless", 0), _entry(b"a.csv", _CANARY_TABLE.encode(), first)]
    return Hostile(
        "two members of one name", data + index(entries, len(data)), frozenset({"suspicious"}), complete=True
    )


@_made
def index_hides_a_member(random_: random.Random) -> Hostile:
    first = local(b"a.txt", b"harmless")
    data = first + local(b"people.csv", _CANARY_TABLE.encode())
    entries = [_entry(b"a.txt", b"harmless", 0)]
    return Hostile(
        "a member that the index hides", data + index(entries, len(data)), frozenset({"suspicious"}), complete=True
    )


@_made
def index_names_what_did_not_come(random_: random.Random) -> Hostile:
    data = local(b"people.csv", _CANARY_TABLE.encode())
    entries = [_entry(b"people.csv", _CANARY_TABLE.encode(), 0), _entry(b"b.csv", b"other", 77)]
    return Hostile(
        "an index that names what did not come by", data + index(entries, len(data)), frozenset({"suspicious"})
    )


@_made
def overlapping_entries(random_: random.Random) -> Hostile:
    data = local(b"people.csv", _CANARY_TABLE.encode())
    entries = [_entry(b"people.csv", _CANARY_TABLE.encode(), 0)] * 3
    return Hostile("one member listed three times", data + index(entries, len(data)), frozenset({"suspicious"}))


@_made
def end_record_lies(random_: random.Random) -> Hostile:
    data = local(b"people.csv", _CANARY_TABLE.encode())
    entries = [_entry(b"people.csv", _CANARY_TABLE.encode(), 0)]
    return Hostile(
        "an end record that counts wrong", data + index(entries, len(data), count=9), frozenset({"suspicious"})
    )


@_made
def junk_between(random_: random.Random) -> Hostile:
    first = local(b"a.txt", b"harmless") + b"\x01junk" * 40_000
    data = first + local(b"people.csv", _CANARY_TABLE.encode())
    entries = [_entry(b"a.txt", b"harmless", 0), _entry(b"people.csv", _CANARY_TABLE.encode(), len(first))]
    return Hostile("junk between two members", data + index(entries, len(data)), frozenset({"suspicious"}))


@_made
def data_behind_the_end(random_: random.Random) -> Hostile:
    data = make_zip({"a.txt": b"harmless"}) + make_zip({"people.csv": _CANARY_TABLE.encode()})
    return Hostile("a second archive behind the first", data, frozenset({"trailing"}), complete=True)


@_made
def unknown_method(random_: random.Random) -> Hostile:
    first = local(b"a.bin", noise(random_, 3000), method=97)
    data = first + local(b"people.csv", _CANARY_TABLE.encode())
    entries = [(b"a.bin", 0, 3000, 3000, 0), _entry(b"people.csv", _CANARY_TABLE.encode(), len(first))]
    return Hostile("a compression nobody knows", data + index(entries, len(data)), frozenset({"unread"}))


@_made
def strange_names(random_: random.Random) -> Hostile:
    names = [b"../../etc/passwd", b"\xff\xfe\x00", b"A" * 65_535, b"\xed\xa0\x80", b"C:\\x", b"a\nb\r\x1b[31m", b""]
    data, entries = b"", []
    for number, name in enumerate(names):
        entries.append(_entry(name, _CANARY_TABLE.encode(), len(data)))
        data += local(name, _CANARY_TABLE.encode(), flags=0x800 if number % 2 else 0)
    return Hostile("names that nobody should print", data + index(entries, len(data)), complete=True)


@_made
def stored_and_streamed(random_: random.Random) -> Hostile:
    inner = make_zip({"people.csv": _CANARY_TABLE.encode()}) + b"PK\x07\x08" * 50 + noise(random_, 3000)
    data = streamed_zip({"inner.zip": inner, "b.csv": _CANARY_TABLE.encode()}, zipfile.ZIP_STORED)
    return Hostile("stored members whose size comes behind", data, frozenset({"trailing"}))


# --- gzip --------------------------------------------------------------------------------------------------------


@_made
def gzip_bomb(random_: random.Random) -> Hostile:
    data = gzip.compress(_CANARY_TABLE.encode() + bytes(60_000_000), mtime=0)
    return Hostile("gzip bomb behind the canary", data, frozenset({"ratio"}), limits=Limits(max_ratio=50))


@_made
def truncated_gzip(random_: random.Random) -> Hostile:
    table = "".join(f"{random_.randrange(10**9)};Jeanne;Paris\n" for _ in range(5000))
    return Hostile(
        "gzip cut in its middle", gzip.compress(f"{_CANARY_TABLE}{table}".encode(), mtime=0)[:-9000], frozenset({"cut"})
    )


@_made
def garbage_behind_gzip(random_: random.Random) -> Hostile:
    data = gzip.compress(b"harmless", mtime=0) + f"{CANARY} is told here\n".encode()
    return Hostile("text behind a gzip file", data, frozenset({"trailing"}), complete=True)


@_made
def archive_behind_gzip(random_: random.Random) -> Hostile:
    data = gzip.compress(b"harmless", mtime=0) + make_zip({"people.csv": _CANARY_TABLE.encode()})
    return Hostile("an archive behind a gzip file", data, frozenset({"trailing"}), complete=True)


@_made
def wrong_gzip_checksum(random_: random.Random) -> Hostile:
    data = bytearray(gzip.compress(b"harmless", mtime=0))
    data[-6] ^= 1
    return Hostile(
        "a wrong gzip checksum", bytes(data) + gzip.compress(_CANARY_TABLE.encode(), mtime=0), frozenset({"damaged"})
    )


@_made
def second_gzip_member_broken(random_: random.Random) -> Hostile:
    data = gzip.compress(_CANARY_TABLE.encode(), mtime=0) + gzip.compress(b"x", mtime=0)[:10] + b"\xff" * 200
    return Hostile("a second gzip member that is broken", data, frozenset({"damaged"}))


@_made
def endless_gzip_name(random_: random.Random) -> Hostile:
    data = b"\x1f\x8b\x08\x08" + bytes(6) + b"A" * 200_000
    return Hostile("a gzip name without end", data, frozenset({"damaged"}), visible=False)


@_made
def gzip_in_gzip(random_: random.Random) -> Hostile:
    data = _CANARY_TABLE.encode()
    for _ in range(20):
        data = gzip.compress(data, mtime=0)
    return Hostile("twenty times gzip", data, frozenset({"depth"}), visible=False)


# --- tables ------------------------------------------------------------------------------------------------------


@_made
def one_endless_line(random_: random.Random) -> Hostile:
    data = b"a;b;c;" * 1_000_000 + CANARY.encode() + b";x" * 1000
    return Hostile("one line without end", data, frozenset({"columns", "line"}), complete=True)


@_made
def quote_never_closed(random_: random.Random) -> Hostile:
    data = f'{_TABLE}"Durand;Zoé;1981-01-01;Nice\n{_CANARY_TABLE * 40}'.encode()
    return Hostile("a quote that is never closed", data, frozenset({"quotes"}), complete=True)


@_made
def stray_quotes(random_: random.Random) -> Hostile:
    lines = (f"{_TABLE}{_PERSON * 200}").splitlines()
    for number in range(5, len(lines), 7):
        lines[number] = lines[number].replace(";", ';"', 1)
    lines.insert(100, f"Dupont;Jeanne;1980-02-03;{CANARY}")
    return Hostile("stray quotes", "\n".join(lines).encode(), frozenset({"quotes"}), complete=True)


@_made
def very_wide_row(random_: random.Random) -> Hostile:
    data = f"{_TABLE}{';'.join('x' * 200_000)}\n{_CANARY_TABLE}".encode()
    return Hostile("a row of 200,000 columns", data, frozenset({"columns"}), complete=True)


@_made
def ragged_rows(random_: random.Random) -> Hostile:
    rows = [
        ";".join("v" for _ in range(random_.choice((4, 4, 4, 4, 4, 4, 4, 4, 4, 1, 2, 90, 900)))) for _ in range(3000)
    ]
    return Hostile("rows of any width", "\n".join([*rows, _CANARY_TABLE]).encode(), complete=True)


@_made
def mixed_encodings(random_: random.Random) -> Hostile:
    lines = [f"Léa;Müller;1980-01-0{i % 9 + 1};Orléans".encode("cp1252" if i % 2 else "utf-8") for i in range(200)]
    return Hostile("an encoding per line", b"\n".join([*lines, _CANARY_TABLE.encode()]), complete=True)


@_made
def nul_bytes(random_: random.Random) -> Hostile:
    data = _CANARY_TABLE.encode() + b"a;b\0b;c;d\n" * 3 + _CANARY_TABLE.encode() * 5
    return Hostile("NUL bytes in a table", data, complete=True)


@_made
def broken_utf16(random_: random.Random) -> Hostile:
    data = _CANARY_TABLE.encode("utf-16") + b"\x00\xd8\x41"
    return Hostile("UTF-16 with half a character and half a byte pair", data, complete=True)


@_made
def old_mac_lines(random_: random.Random) -> Hostile:
    return Hostile("line ends of the old Mac", _CANARY_TABLE.replace("\n", "\r").encode(), complete=True)


# --- JSON --------------------------------------------------------------------------------------------------------


def _json_lines(*extra: bytes) -> bytes:
    people = [json.dumps({"nom": f"Martin{i}", "ville": "Lyon"}).encode() for i in range(30)]
    return b"\n".join([*people, *extra, json.dumps({"nom": "Dupont", "mail": CANARY}).encode()]) + b"\n"


@_made
def deep_json(random_: random.Random) -> Hostile:
    data = _json_lines(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b"[" * 900 + b"]" * 900)
    return Hostile("JSON nested deeper than anyone reads", data, frozenset({"json"}), complete=True)


@_made
def lone_surrogates(random_: random.Random) -> Hostile:
    data = _json_lines(b'{"nom":"\\ud800x","\\udfff":"y"}', b'{"n":NaN,"i":-Infinity}')
    return Hostile("lone surrogates and numbers that are none", data, complete=True)


@_made
def json_of_many_keys(random_: random.Random) -> Hostile:
    data = _json_lines(json.dumps({f"k{i}": i for i in range(50_000)}).encode())
    return Hostile("an object of 50,000 keys", data, frozenset({"columns"}), complete=True)


@_made
def keys_never_the_same(random_: random.Random) -> Hostile:
    data = _json_lines(*(json.dumps({f"{random_.random()}": i}).encode() for i in range(5000)))
    return Hostile("keys that never come twice", data, complete=True)


@_made
def broken_json_lines(random_: random.Random) -> Hostile:
    data = _json_lines(b'{"nom": "cut', b"\xff\xfe not json", f"-- {CANARY} --".encode(), b'{"a":' + b"9" * 5000 + b"}")
    return Hostile("lines that are no JSON", data, frozenset({"json"}), complete=True)


# --- bytes -------------------------------------------------------------------------------------------------------


@_made
def plain_noise(random_: random.Random) -> Hostile:
    return Hostile("noise", noise(random_, 300_000), frozenset({"unread"}), visible=False)


@_made
def terminal_escapes(random_: random.Random) -> Hostile:
    data = f"Bonjour,\n\x1b[2J\x1b]0;x\x07 voici {CANARY} et la suite.\n".encode() * 20
    return Hostile("text with terminal escapes", data, complete=True)
