"""Containers made to break a reader, each with a canary outside of the damage; `archives` makes the sound ones."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import brotli
import zstandard

from crawler.readers.core.limits import Limits
from tests.synth import archives
from tests.synth.archives import TAR_END, tar_entry
from tests.synth.hostile import CANARY, Hostile, index, local, make_zip, noise

Maker = Callable[[random.Random], Hostile]

MAKERS: dict[str, Maker] = {}

_TABLE = "nom;prenom;naissance;ville\n" + "".join(f"Martin{i};Paul;1970-01-0{i % 9 + 1};Lyon\n" for i in range(20))
TABLE = f"{_TABLE}Dupont;Jeanne;1980-02-03;{CANARY}\n".encode()
ZEROS = bytes(12_000_000)
NARROW = Limits(max_ratio=50)


def _made(maker: Maker) -> Maker:
    MAKERS[maker.__name__] = maker
    return maker


def hostile_container(name: str, seed: int = 0) -> Hostile:
    """One of them; the seed moves the noise inside."""
    return MAKERS[name](random.Random(f"{seed}-{name}"))


def _said(*codes: str) -> frozenset[str]:
    return frozenset(codes)


def _lines(random_: random.Random, count: int = 30_000) -> bytes:
    return TABLE + b"".join(b"%d;Jeanne;Paris;x\n" % random_.randrange(10**12) for _ in range(count))


def _struck(data: bytes, at: float, size: int = 64) -> bytes:
    """With bytes changed at a part of its length."""
    changed = bytearray(data)
    start = int(len(data) * at)
    changed[start : start + size] = bytes(byte ^ 0x5A for byte in changed[start : start + size])
    return bytes(changed)


# --- ratio bombs -------------------------------------------------------------------------------------------------


@_made
def gzip_of_many_streams(random_: random.Random) -> Hostile:
    data = gzip.compress(TABLE, mtime=0) + gzip.compress(ZEROS, mtime=0) * 4
    return Hostile("gzip bomb of several streams", data, _said("ratio"), limits=NARROW)


@_made
def bzip2_bomb(random_: random.Random) -> Hostile:
    return Hostile("bzip2 bomb", bz2.compress(TABLE + ZEROS), _said("ratio"), limits=NARROW)


@_made
def xz_bomb(random_: random.Random) -> Hostile:
    return Hostile("xz bomb", lzma.compress(TABLE + ZEROS, preset=0), _said("ratio"), limits=NARROW)


@_made
def lzma_bomb(random_: random.Random) -> Hostile:
    data = lzma.compress(TABLE + ZEROS, lzma.FORMAT_ALONE, preset=0)
    return Hostile("lzma bomb", data, _said("ratio"), limits=NARROW)


@_made
def zstd_bomb(random_: random.Random) -> Hostile:
    return Hostile("zstd bomb", zstandard.compress(TABLE + ZEROS), _said("ratio"), limits=NARROW)


@_made
def zstd_bomb_of_runs(random_: random.Random) -> Hostile:
    # each block of four bytes is a run of 128 KiB
    runs = struct.pack("<I", (2**17 << 3 | 1 << 1) << 8 >> 8)[:3] + b"\0"
    data = zstandard.compress(TABLE) + b"\x28\xb5\x2f\xfd\x00\x58" + runs * 20_000 + b"\x01\0\0"
    return Hostile("zstd bomb made of runs", data, _said("ratio"))


@_made
def brotli_bomb(random_: random.Random) -> Hostile:
    data = make_zip({"a.bin.br": brotli.compress(ZEROS, quality=5), "people.csv": TABLE}, zipfile.ZIP_STORED)
    return Hostile("brotli bomb in a zip", data, _said("ratio"), limits=NARROW)


@_made
def lz4_bomb(random_: random.Random) -> Hostile:
    data = archives.written("gnutar", [("people.csv", TABLE), ("zeros.bin", ZEROS)], "lz4")
    return Hostile("lz4 bomb", data, _said("ratio"), limits=NARROW)


@_made
def seven_zip_bomb(random_: random.Random) -> Hostile:
    data = archives.written("7zip", [("zeros.bin", ZEROS), ("people.csv", TABLE)])
    return Hostile("7z bomb before the canary", data, _said("ratio"), limits=NARROW)


@_made
def zip_bombs_of_every_method(random_: random.Random) -> Hostile:
    parts = [
        (f"{method}.zip", make_zip({"zeros.bin": ZEROS}, method))
        for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    ]
    data = make_zip([*parts, ("people.csv", TABLE)], zipfile.ZIP_STORED)
    return Hostile("zip bombs of three methods", data, _said("ratio"), limits=NARROW)


@_made
def bomb_through_all_layers(random_: random.Random) -> Hostile:
    data = bz2.compress(gzip.compress(lzma.compress(zstandard.compress(ZEROS * 4), preset=0), mtime=0))
    data = archives.tar([("people.csv", TABLE), ("a.bz2", data)])
    return Hostile("a bomb that every layer makes larger", data, _said("ratio"))


@_made
def sixteen_to_the_third(random_: random.Random) -> Hostile:
    inner = make_zip({"zeros.bin": bytes(5_000_000)})
    for _ in range(3):
        inner = make_zip([(f"{i}.zip", inner) for i in range(16)])
    data = make_zip([("0.zip", inner), ("1.zip", inner), ("people.csv", TABLE)])
    return Hostile("two trees of zips before the canary", data, _said("ratio"))


@_made
def sixteen_to_the_sixth(random_: random.Random) -> Hostile:
    inner = make_zip({"a.txt": b"x"})
    for _ in range(6):
        inner = make_zip([(f"{i}.zip", inner) for i in range(16)])
    return Hostile("a tree of empty files", make_zip([("0.zip", inner), ("people.csv", TABLE)]), _said("ratio"))


@_made
def beginnings_of_archives(random_: random.Random) -> Hostile:
    beginning = b"Rar!\x1a\x07\0" + bytes.fromhex("cf907300000d00000000000000")
    data = make_zip({"noise.bin": b"\1" + beginning * 40_000, "people.csv": TABLE})
    return Hostile("40,000 archives that begin and do not go on", data, _said("inside"))


@_made
def gigabytes_of_xar_list(random_: random.Random) -> Hostile:
    toc = b'<?xml version="1.0"?><xar><toc>' + b" " * 8_000_000 + b"</toc></xar>"
    data = make_zip({"a.xar": archives.xar(toc), "people.csv": TABLE})
    return Hostile("a list of an xar archive that is a bomb", data, complete=True)


@_made
def laughing_xar(random_: random.Random) -> Hostile:
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    toc = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{entities}]><xar><toc>&l11;</toc></xar>'
    data = make_zip({"a.xar": archives.xar(toc.encode()), "people.csv": TABLE})
    return Hostile("an xar archive of a billion laughs", data, _said("damaged", "cut"))


# --- memory ------------------------------------------------------------------------------------------------------


@_made
def zstd_window(random_: random.Random) -> Hostile:
    data = zstandard.compress(TABLE) + b"\x28\xb5\x2f\xfd\x00\xf8" + b"\x01\0\0"
    return Hostile("a zstd window of terabytes", data, _said("memory"))


@_made
def zstd_of_eight_exbibytes(random_: random.Random) -> Hostile:
    data = zstandard.compress(TABLE) + b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 7 + b"\x7f" + b"\x01\0\0"
    return Hostile("a zstd frame that claims 8 EiB", data, _said("memory"))


@_made
def lzma_window(random_: random.Random) -> Hostile:
    packed = bytearray(lzma.compress(noise(random_, 5000), lzma.FORMAT_ALONE, preset=0))
    packed[1:5] = struct.pack("<I", 2**31)
    data = make_zip({"a.lzma": bytes(packed), "b.csv": TABLE})
    return Hostile("an lzma window of 2 GiB", data, _said("memory"))


@_made
def seven_zip_of_sizes(random_: random.Random) -> Hostile:
    packed = bytearray(archives.seven_zip2("a.csv", TABLE))
    packed[12:20] = b"\xff" * 7 + b"\x7f"
    data = make_zip({"a.7z": bytes(packed), "b.csv": TABLE})
    return Hostile("a 7z list that stands at 8 EiB", data, _said("cut"))


# --- numbers of members ------------------------------------------------------------------------------------------


@_made
def three_hundred_thousand(random_: random.Random) -> Hostile:
    entry = local(b"000000", b"x", method=0)
    data = local(b"people.csv", TABLE) + b"".join(entry.replace(b"000000", b"%06d" % i) for i in range(300_000))
    return Hostile("300,000 members", data, _said("limit"), limits=Limits(max_entries=5000))


@_made
def twenty_thousand_over_one(random_: random.Random) -> Hostile:
    data = local(b"people.csv", TABLE)
    packed = len(data) - 30 - 10
    entries = [(b"%05d.csv" % i, zlib.crc32(TABLE), packed, len(TABLE), 0) for i in range(20_000)]
    return Hostile("20,000 entries over one body", data + index(entries, len(data)), _said("suspicious"))


@_made
def quoted_overlap(random_: random.Random) -> Hostile:
    # each local header quotes all that follow in a stored deflate block, the last one is the body
    body = local(b"9.csv", TABLE)
    entries = [(b"9.csv", zlib.crc32(TABLE), len(body) - 35, len(TABLE), 0)]
    for number in range(8, 0, -1):
        quote = struct.pack("<BHH", 0, len(body), len(body) ^ 0xFFFF)
        name = b"%d.csv" % number
        head = local(name, b"", body=quote, packed=len(quote) + len(body), unpacked=len(body) + len(TABLE))
        entries = [(title, crc, packed, size, at + len(head)) for title, crc, packed, size, at in entries]
        entries.insert(0, (name, 0, len(quote) + len(body), len(body) + len(TABLE), 0))
        body = head + body
    return Hostile("members that quote each other", body + index(entries, len(body)), _said("suspicious", "damaged"))


@_made
def many_in_a_tar(random_: random.Random) -> Hostile:
    entry = tar_entry(b"000000", b"x")
    data = tar_entry(b"people.csv", TABLE) + entry * 3000 + TAR_END
    return Hostile("more members of a tar than allowed", data, _said("limit"), limits=Limits(max_entries=500))


@_made
def forty_layers(random_: random.Random) -> Hostile:
    data = TABLE
    for _ in range(10):
        data = archives.tar(
            [("people.csv", TABLE), ("a", zstandard.compress(bz2.compress(gzip.compress(data, mtime=0))))]
        )
    return Hostile("forty layers of four kinds", data, _said("depth"))


# --- names and links ---------------------------------------------------------------------------------------------

_NAMES = [
    "../../../../etc/cron.d/x",
    "/etc/passwd",
    "C:\\Windows\\x",
    "a\u202efdp.csv",
    "\u2066x",
    "a\nb\x1b[31m",
    "é" * 200,
    ".",
    "-rf",
]


@_made
def tar_names(random_: random.Random) -> Hostile:
    data = archives.tar([(name, TABLE) for name in _NAMES])
    return Hostile("tar names that nobody should use", data, complete=True)


@_made
def zip_names(random_: random.Random) -> Hostile:
    return Hostile("zip names that nobody should use", make_zip([(n, TABLE) for n in _NAMES]), complete=True)


@_made
def tar_links_and_devices(random_: random.Random) -> Hostile:
    data = b"".join(
        [
            tar_entry(b"a", kind=b"2", target=b"/etc/shadow"),
            tar_entry(b"b", kind=b"1", target=b"../../x"),
            tar_entry(b"c", kind=b"3"),
            tar_entry(b"d", kind=b"6"),
            tar_entry(b"a/people.csv", TABLE),
        ]
    )
    return Hostile("links and devices in a tar", data + TAR_END, _said("suspicious"), complete=True)


@_made
def zip_device(random_: random.Random) -> Hostile:
    data = bytearray(make_zip({"people.csv": TABLE, "null": b""}))
    at = data.rindex(b"PK\x01\x02")
    data[at + 5] = 3
    data[at + 38 : at + 42] = struct.pack("<I", 0o020666 << 16)
    return Hostile("a device in a zip", bytes(data), _said("suspicious"), complete=True)


@_made
def same_name_in_a_tar(random_: random.Random) -> Hostile:
    data = archives.tar([("people.csv", b"harmless"), ("people.csv", TABLE)])
    return Hostile("two members of one name in a tar", data, _said("suspicious"), complete=True)


# --- sizes that lie ----------------------------------------------------------------------------------------------


@_made
def zip64_of_eight_exbibytes(random_: random.Random) -> Hostile:
    # deflated: the stream itself tells its end
    extra = struct.pack("<HHQQ", 1, 16, 2**63 - 1, 2**63 - 1)
    plain = local(b"people.csv", TABLE, packed=0xFFFFFFFF, unpacked=0xFFFFFFFF)
    first = plain[:28] + struct.pack("<H", len(extra)) + plain[30:40] + extra + plain[40:]
    second = local(b"b.csv", TABLE)
    data = first + second
    return Hostile("zip64 sizes of 8 EiB", data + index([], len(data)), _said("suspicious"))


@_made
def stored_zip64(random_: random.Random) -> Hostile:
    extra = struct.pack("<HHQQ", 1, 16, 2**63 - 1, 2**63 - 1)
    plain = local(b"a.bin", b"", method=0, body=b"", packed=0xFFFFFFFF, unpacked=0xFFFFFFFF)
    data = plain[:28] + struct.pack("<H", len(extra)) + plain[30:] + extra + TABLE + local(b"b.csv", TABLE)
    return Hostile("a stored zip64 member of 8 EiB", data, _said("cut"))


@_made
def tar_of_eight_exbibytes(random_: random.Random) -> Hostile:
    size = b"\x80" + (2**63 - 1).to_bytes(11, "big")
    data = tar_entry(b"a.bin", b"harmless", size=size) + tar_entry(b"people.csv", TABLE) + TAR_END
    return Hostile("a tar member of 8 EiB", data, _said("suspicious"), complete=False)


@_made
def tar_of_less_than_nothing(random_: random.Random) -> Hostile:
    data = tar_entry(b"a.bin", b"harmless", size=b"\xff" * 12) + tar_entry(b"people.csv", TABLE) + TAR_END
    return Hostile("a tar member of less than nothing", data, _said("suspicious"))


@_made
def endless_pax_records(random_: random.Random) -> Hostile:
    data = tar_entry(b"x", b"", kind=b"x", size=b"77777777777\0") + tar_entry(b"people.csv", TABLE) + TAR_END
    return Hostile("pax records of 8 GiB", data, _said("suspicious"))


@_made
def broken_pax_records(random_: random.Random) -> Hostile:
    records = b"9999999999 path=x\n" + b"-5 size=7\n" + b"18 size=" + b"9" * 40 + b"\n"
    data = tar_entry(b"x", records, kind=b"x") + tar_entry(b"people.csv", TABLE) + TAR_END
    return Hostile("pax records that are none", data, _said("damaged"), complete=True)


@_made
def sparse_tar(random_: random.Random) -> Hostile:
    data = tar_entry(b"a.bin", TABLE, kind=b"S") + tar_entry(b"b.txt", b"text") + TAR_END
    return Hostile("a sparse file in a tar", data, _said("sparse"))


@_made
def body_behind_a_hard_link(random_: random.Random) -> Hostile:
    data = tar_entry(b"b.txt", b"text") + tar_entry(b"a.csv", TABLE, kind=b"1", target=b"b.txt") + TAR_END
    return Hostile("a hard link that has a body", data, complete=True)


@_made
def body_behind_a_folder(random_: random.Random) -> Hostile:
    data = tar_entry(b"a/", TABLE, kind=b"5") + tar_entry(b"people.csv", TABLE) + TAR_END
    return Hostile("a folder that has a body", data, _said("damaged"))


# --- cut, struck and followed ------------------------------------------------------------------------------------


@_made
def cut_tar(random_: random.Random) -> Hostile:
    data = archives.tar([("people.csv", TABLE), ("b.bin", noise(random_, 50_000))])[:30_000]
    return Hostile("tar cut inside a member", data, _said("cut"))


@_made
def tar_without_end(random_: random.Random) -> Hostile:
    return Hostile("tar without its end mark", tar_entry(b"people.csv", TABLE), _said("cut"))


def _cut_stream(name: str, pack: Callable[[bytes], bytes]) -> None:
    def maker(random_: random.Random) -> Hostile:
        data = pack(_lines(random_))
        return Hostile(f"{name} cut in its middle", data[: len(data) * 6 // 7], _said("cut"))

    maker.__name__ = f"cut_{name}"
    _made(maker)


def _struck_stream(name: str, pack: Callable[[bytes], bytes]) -> None:
    def maker(random_: random.Random) -> Hostile:
        data = _struck(pack(_lines(random_)), 0.5) + pack(TABLE)
        return Hostile(f"{name} struck in its first stream", data, _said("damaged"))

    maker.__name__ = f"struck_{name}"
    _made(maker)


for _name, _pack in {
    "bzip2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}.items():
    _cut_stream(_name, _pack)
    _struck_stream(_name, _pack)


@_made
def cut_7z(random_: random.Random) -> Hostile:
    data = archives.seven_zip2("people.csv", _lines(random_, 3000))
    return Hostile("7z cut in its middle", data[: len(data) // 2], _said("cut"))


def _cut_archive(name: str, pack: Callable[[archives.Members], bytes]) -> None:
    def maker(random_: random.Random) -> Hostile:
        data = pack([("people.csv", TABLE), ("b.bin", noise(random_, 200_000))])
        # behind the members of an ISO image stand 300 KiB of zeros
        left = len(data) - (450_000 if name == "iso" else 150_000)
        return Hostile(f"{name} cut in its second member", data[:left], _said("cut", "damaged"))

    maker.__name__ = f"cut_{name}"
    _made(maker)


for _name, _packer in {
    "rar4": archives.rar4,
    "rar5": archives.rar5,
    "cab": archives.cab,
    "lha": archives.lha,
    "cpio": lambda members: archives.written("cpio_newc", members),
    "ar": lambda members: archives.written("ar_svr4", members),
    "iso": lambda members: archives.written("iso9660", members),
}.items():
    _cut_archive(_name, _packer)


@_made
def struck_tar_header(random_: random.Random) -> Hostile:
    data = tar_entry(b"a.txt", b"harmless", at=1) + b"junk" * 301 + tar_entry(b"people.csv", TABLE) + TAR_END
    return Hostile("a tar header with a wrong checksum, and junk", b"".join([tar_entry(b"0"), data]), _said("damaged"))


@_made
def wrong_rar5_checksum(random_: random.Random) -> Hostile:
    return Hostile("a wrong checksum in RAR 5", archives.rar5([("people.csv", TABLE)], crc=7), _said("damaged"))


@_made
def wrong_7z_checksum(random_: random.Random) -> Hostile:
    return Hostile("a wrong checksum in 7z", archives.seven_zip2("people.csv", TABLE, crc=7), _said("damaged"))


@_made
def wrong_xz_checksum(random_: random.Random) -> Hostile:
    data = bytearray(lzma.compress(TABLE))
    data[-40] ^= 1
    return Hostile("a wrong checksum in xz", bytes(data) + lzma.compress(TABLE), _said("damaged"))


def _followed(name: str, data: bytes) -> None:
    def maker(random_: random.Random) -> Hostile:
        return Hostile(f"a zip behind a {name}", data + make_zip({"p.csv": TABLE}), _said("trailing"), complete=True)

    maker.__name__ = f"zip_behind_{name}"
    _made(maker)


for _name, _bytes in {
    "bzip2": bz2.compress(b"harmless"),
    "xz": lzma.compress(b"harmless"),
    "zstd": zstandard.compress(b"harmless"),
    "tar": archives.tar([("a.txt", b"harmless")]),
    "7z": archives.seven_zip2("a.txt", b"harmless"),
}.items():
    _followed(_name, _bytes)


@_made
def two_tars(random_: random.Random) -> Hostile:
    data = archives.tar([("a.txt", b"harmless")], tarfile.GNU_FORMAT) + archives.tar([("people.csv", TABLE)])
    return Hostile("a tar behind a tar", data, complete=True)


# --- encrypted ---------------------------------------------------------------------------------------------------


def _locked(name: str, data: bytes) -> None:
    def maker(random_: random.Random) -> Hostile:
        whole = make_zip({"secret": data, "people.csv": TABLE})
        return Hostile(f"encrypted {name}", whole, _said("locked"))

    maker.__name__ = f"locked_{name}"
    _made(maker)


_SECRET = [("secret.csv", bytes(range(256)) * 8)]
_AES = local(b"secret.csv", b"", method=99, flags=1, body=bytes(range(256)), packed=256, unpacked=228)
for _name, _bytes in {
    "zip_aes": _AES + index([(b"secret.csv", 0, 256, 228, 0)], len(_AES)),
    "rar4": archives.rar4(_SECRET, locked=True),
    "rar4_headers": archives.rar4(_SECRET, sealed=True),
    "rar5": archives.rar5(_SECRET, locked=True),
    "rar5_headers": archives.rar5(_SECRET, sealed=True),
    "7z": archives.seven_zip("secret.csv", bytes(range(256)), 250, b"\x06\xf1\x07\x01", b"\x13"),
}.items():
    _locked(_name, _bytes)
