"""Encrypted members of a zip or 7z are read with a password that came with the sample, and with no other."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path
from zlib import crc32

import orjson
import pytest

from crawler.readers.archives.seven_zip_passwords import SevenZipPasswords
from crawler.readers.archives.zip_passwords import OPENED, REFUSED
from crawler.readers.core.limits import Damaged, Limits
from crawler.readers.core.members import read_sample
from tests.synth.archives import rar4, rar5
from tests.synth.people import people, to_csv

pytestmark = pytest.mark.slow
TABLE = to_csv(people(3, 300))
SECRET = "Tr0ub4dor 3"
PROGRAMS = {
    "zip -e": ["zip", "-q", "-P", SECRET, "p.zip", "p.csv", "q.csv"],
    "zip -e -0": ["zip", "-q", "-0", "-P", SECRET, "p.zip", "p.csv", "q.csv"],
    "7z ZipCrypto": ["7z", "a", "-tzip", f"-p{SECRET}", "p.zip", "p.csv", "q.csv"],
    "7z AES-256": ["7z", "a", "-tzip", "-mem=AES256", f"-p{SECRET}", "p.zip", "p.csv", "q.csv"],
    "7z AES-256 stored": ["7z", "a", "-tzip", "-mem=AES256", "-mx=0", f"-p{SECRET}", "p.zip", "p.csv", "q.csv"],
    "7z": ["7z", "a", "-t7z", f"-p{SECRET}", "p.zip", "p.csv", "q.csv"],
    "7z with a locked list": ["7z", "a", "-t7z", "-mhe=on", f"-p{SECRET}", "p.zip", "p.csv", "q.csv"],
    "7z LZMA, each file by itself": [
        "7z",
        "a",
        "-t7z",
        "-m0=lzma",
        "-ms=off",
        f"-p{SECRET}",
        "p.zip",
        "p.csv",
        "q.csv",
    ],
    "7z stored": ["7z", "a", "-t7z", "-mx=0", f"-p{SECRET}", "p.zip", "p.csv", "q.csv"],
    "7z PPMd": ["7z", "a", "-t7z", "-m0=PPMd", f"-p{SECRET}", "p.zip", "p.csv", "q.csv"],
}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    for name, words in PROGRAMS.items():
        folder = tmp_path_factory.mktemp("zip")
        for file in ("p.csv", "q.csv"):
            (folder / file).write_bytes(TABLE)
        subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=120)
        made[name] = Path(folder / "p.zip").read_bytes()
    return made


def frames(data: bytes, *passwords: str, limits: Limits | None = None) -> list[tuple[bytes, bytes]]:
    sent: list[tuple[bytes, bytes]] = []
    pieces = (data[start : start + 5000] for start in range(0, len(data), 5000))
    read_sample(
        pieces,
        lambda kind, payload: sent.append((kind, payload)),
        limits or Limits(),
        begun=lambda out: setattr(out, "passwords", passwords),
    )
    return sent


def problems(sent: list[tuple[bytes, bytes]]) -> list[str]:
    return [orjson.loads(payload)["detail"] for kind, payload in sent if kind == b"P"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_members_are_opened_with_the_password_that_is_given(program: str, locked: dict[str, bytes]) -> None:
    sent = frames(locked[program], "wrong", "infected", SECRET)
    assert problems(sent) == [OPENED]
    assert b"".join(payload for kind, payload in sent if kind == b"B") == 2 * TABLE
    assert all(orjson.loads(payload)["complete"] for kind, payload in sent if kind == b"E")
    assert not any(SECRET.encode() in payload for _, payload in sent)


@pytest.mark.parametrize("program", PROGRAMS)
def test_without_the_right_password_members_stay_locked(program: str, locked: dict[str, bytes]) -> None:
    for passwords in ((), ("wrong", *map(str, range(19)))):
        sent = frames(locked[program], *passwords)
        found = problems(sent)
        if program == "7z with a locked list":
            assert "members behind an encrypted part cannot be reached" in found
        else:
            assert found.count("it is encrypted and was not read") == 2
        assert (REFUSED in found) == bool(passwords)
        assert not any(kind == b"B" for kind, _ in sent)
        assert not orjson.loads(next(payload for kind, payload in reversed(sent) if kind == b"E"))["complete"]


def test_a_wrong_password_that_the_cipher_accepts_is_told_by_the_checksum(locked: dict[str, bytes]) -> None:
    """One wrong password in 256 has the byte that the cipher of PKWARE checks."""
    sent = frames(locked["zip -e -0"], *map(str, range(1000)), SECRET)
    assert problems(sent) == [OPENED]
    assert b"".join(payload for kind, payload in sent if kind == b"B") == 2 * TABLE


def test_a_damaged_locked_archive_is_never_complete(locked: dict[str, bytes]) -> None:
    source = random.Random(11)
    for data in locked.values():
        for _ in range(12):
            cut = source.randrange(60, len(data) - 100)
            broken = bytearray(data[: cut if source.random() < 0.5 else len(data)])
            broken[min(cut, len(broken) - 1)] ^= 0xFF
            sent = frames(bytes(broken), SECRET)
            assert sent[-1][0] == b"Z"
            ends = [orjson.loads(payload) for kind, payload in sent if kind == b"E"]
            raw = b"".join(payload for kind, payload in sent if kind == b"B")
            assert not ends[-1]["complete"] or raw == 2 * TABLE or len(problems(sent)) > 1


def test_a_bomb_behind_a_password_is_ended(tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(40_000_000))
    words = ["zip", "-q", "-9", "-P", "x", "p.zip", "zeros"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    sent = frames((tmp_path / "p.zip").read_bytes(), "x", limits=Limits(max_ratio=100.0))
    assert any(orjson.loads(payload)["code"] == "ratio" for kind, payload in sent if kind == b"P")


def test_a_7z_whose_list_holds_itself_is_damaged() -> None:
    size = 17
    listing = bytes([0x17, 6, 0, 1, 9, size, 0, 7, 11, 1, 0, 1, 1, 0, 12, size, 0])
    start = struct.pack("<QQI", 0, size, crc32(listing))
    sent = frames(b"7z\xbc\xaf\x27\x1c\0\x04" + struct.pack("<I", crc32(start)) + start + listing, "x")
    assert problems(sent)
    assert not orjson.loads(next(payload for kind, payload in reversed(sent) if kind == b"E"))["complete"]


@pytest.mark.parametrize(
    "listing",
    [
        # a stream of 2^56 bytes, and a decoder without any output
        bytes([1, 4, 6, 0, 1, 9, 0xFF, *bytes(7), 1, 0, 7, 11, 1, 0, 1, 4, *b"\x06\xf1\x07\x01", 12, 9, 0, 0]),
        bytes([1, 4, 6, 0, 1, 9, 9, 0, 7, 11, 1, 0, 1, 0x14, *b"\x06\xf1\x07\x01", 1, 0, 12, 0, 0]),
    ],
)
def test_a_list_of_a_7z_that_cannot_be_is_damaged(listing: bytes) -> None:
    held = bytearray(32) + listing
    held[20:28] = len(listing).to_bytes(8, "little")
    with pytest.raises(Damaged):
        SevenZipPasswords(["x"]).decrypt(held)


def test_parts_of_a_7z_with_passwords_of_their_own_are_all_opened(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(TABLE)
    (tmp_path / "q.bin").write_bytes(random.Random(5).randbytes(200_000))
    for words in (("-mx=0", f"-p{SECRET}", "p.7z", "p.csv"), ("-mx=0", "-panother", "p.7z", "q.bin")):
        subprocess.run(["7z", "a", "-t7z", *words], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    sent = frames((tmp_path / "p.7z").read_bytes(), "wrong", SECRET)
    unpacked = b"".join(payload for kind, payload in sent if kind == b"B")
    assert unpacked == TABLE
    assert {OPENED, REFUSED} & set(problems(sent))
    assert not orjson.loads(next(payload for kind, payload in reversed(sent) if kind == b"E"))["complete"]


@pytest.mark.parametrize(
    "made", [rar5([("p.csv", TABLE)], locked=True), rar5([], sealed=True), rar4([("p.csv", TABLE)], locked=True)]
)
def test_a_locked_rar_says_that_its_password_was_not_tried(made: bytes) -> None:
    said = "passwords that the post gives were not tried: libarchive cannot decrypt RAR"
    assert said in problems(frames(made, SECRET))
    assert said not in problems(frames(made))
