"""Opens encrypted 7z archives with the passwords that come with the sample, such as those that a post gives.

libarchive does not decrypt 7z. So the encrypted streams are decrypted here, and the list of the archive is written
anew without their encryption; libarchive then reads the archive as any other. Nothing is guessed.

Source: DOC/7zFormat.txt of 7-Zip 24; key and cipher (AES-256, CBC) by CPP/7zip/Crypto/7zAes.cpp.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from crawler.readers.core.limits import Damaged
from crawler.readers.core.signatures import is_archive_start
from crawler.readers.unread.unsupported_formats import describe

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import CipherContext

_START = 32
_AES, _COPY, _LZMA, _LZMA2 = b"\x06\xf1\x07\x01", b"\0", b"\x03\x01\x01", b"\x21"
_HEADER, _PROPERTIES, _ADDITIONAL, _STREAMS, _PACK, _FOLDERS, _SUBSTREAMS, _SIZES, _CRC = 1, 2, 3, 4, 6, 7, 8, 9, 10
_FOLDER, _UNPACK_SIZES, _ENCODED = 11, 12, 23
# Bytes of a list, coders of one folder, and folders: no sound archive has more.
_MAX_LIST, _MAX_CODERS, _MAX_FOLDERS = 2**27, 32, 650_000
# A list inside a list, one of them compressed and one encrypted; a hostile one may hold itself.
_MAX_LISTS = 4
# 2 to this power rounds make the key; 7-Zip writes 19.
_MAX_ROUNDS, _BATCH = 22, 2**16
_BLOCK = 16
# Encrypted bytes by which a password is tried, and are decrypted at once.
_TRIED, _PIECE = 2**16, 2**22


@dataclass(slots=True)
class _Coder:
    method: bytes
    inputs: int
    outputs: int
    properties: bytes


@dataclass(slots=True)
class _Folder:
    """Files that are compressed and encrypted together.

    Attributes:
        pairs: which input of a coder takes which output. packed: inputs that are streams of the archive.
        sizes: of all outputs. crc: of the content.
    """

    coders: list[_Coder]
    pairs: list[tuple[int, int]]
    packed: list[int]
    sizes: list[int]
    crc: bytes = b""


@dataclass(slots=True)
class _StreamsInfo:
    start: int
    sizes: list[int]
    folders: list[_Folder]
    rest: bytes = b""


class _Reader:
    """Reads a list of an archive."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.data):
            raise _damaged()
        self.at += size
        return self.data[self.at - size : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """A number: the first bits of its first byte say how many bytes follow."""
        first, mask, value = self.byte(), 0x80, 0
        for position in range(8):
            if not first & mask:
                return value | (first & (mask - 1)) << 8 * position
            value |= self.byte() << 8 * position
            mask >>= 1
        return value

    def count(self, most: int) -> int:
        found = self.number()
        if found > most:
            raise _damaged()
        return found

    def expect(self, kind: int) -> None:
        if self.number() != kind:
            raise _damaged()

    def bits(self, count: int) -> list[bool]:
        """Which of so many have a value: all, or by a bit each."""
        if self.byte():
            return [True] * count
        data = self.take((count + 7) // 8)
        return [bool(data[at // 8] & 0x80 >> at % 8) for at in range(count)]

    def checksums(self, count: int) -> list[bytes]:
        return [self.take(4) if given else b"" for given in self.bits(count)]


def _damaged() -> Damaged:
    return Damaged("damaged", "the list of the archive is damaged")


def _number(value: int) -> bytes:
    for extra in range(8):
        if value < 1 << 7 * (extra + 1):
            first = 0xFF00 >> extra & 0xFF | value >> 8 * extra
            return bytes([first]) + (value & (1 << 8 * extra) - 1).to_bytes(extra, "little")
    return b"\xff" + value.to_bytes(8, "little")


def _read_streams(reader: _Reader) -> _StreamsInfo:
    reader.expect(_PACK)
    start, count = reader.number(), reader.count(_MAX_FOLDERS)
    sizes: list[int] = []
    while kind := reader.number():
        if kind == _SIZES:
            sizes = [reader.number() for _ in range(count)]
        elif kind == _CRC:
            reader.checksums(count)
        else:
            raise _damaged()
    reader.expect(_FOLDERS)
    reader.expect(_FOLDER)
    number = reader.count(_MAX_FOLDERS)
    if reader.byte() or len(sizes) != count:
        raise _damaged()
    folders = [_read_folder(reader) for _ in range(number)]
    reader.expect(_UNPACK_SIZES)
    for folder in folders:
        folder.sizes = [reader.number() for coder in folder.coders for _ in range(coder.outputs)]
    while kind := reader.number():
        if kind != _CRC:
            raise _damaged()
        for folder, crc in zip(folders, reader.checksums(number), strict=True):
            folder.crc = crc
    if sum(len(folder.packed) for folder in folders) != count:
        raise _damaged()
    return _StreamsInfo(start, sizes, folders)


def _read_folder(reader: _Reader) -> _Folder:
    coders = []
    for _ in range(reader.count(_MAX_CODERS)):
        flags = reader.byte()
        method = reader.take(flags & 15)
        inputs, outputs = (reader.count(_MAX_CODERS), reader.count(_MAX_CODERS)) if flags & 0x10 else (1, 1)
        # a decoder makes one stream, of one or more
        if outputs != 1 or not inputs:
            raise _damaged()
        coders.append(_Coder(method, inputs, outputs, reader.take(reader.number()) if flags & 0x20 else b""))
    inputs, outputs = sum(each.inputs for each in coders), sum(each.outputs for each in coders)
    pairs = [(reader.number(), reader.number()) for _ in range(outputs - 1)]
    free = [at for at in range(inputs) if at not in {pair[0] for pair in pairs}]
    packed = free if len(free) == 1 else [reader.number() for _ in free]
    if not coders or not free or any(at >= inputs for at in packed):
        raise _damaged()
    return _Folder(coders, pairs, packed, [])


def _write_streams(info: _StreamsInfo) -> bytes:
    parts = [bytes([_PACK]), _number(info.start), _number(len(info.sizes)), bytes([_SIZES])]
    parts += [*map(_number, info.sizes), bytes([0, _FOLDERS, _FOLDER]), _number(len(info.folders)), b"\0"]
    for folder in info.folders:
        parts.append(_number(len(folder.coders)))
        for coder in folder.coders:
            is_plain = coder.inputs == coder.outputs == 1
            flags = len(coder.method) | (0 if is_plain else 0x10) | (0x20 if coder.properties else 0)
            parts += [bytes([flags]), coder.method]
            if not is_plain:
                parts += [_number(coder.inputs), _number(coder.outputs)]
            if coder.properties:
                parts += [_number(len(coder.properties)), coder.properties]
        parts += [_number(at) for pair in folder.pairs for at in pair]
        if len(folder.packed) > 1:
            parts += map(_number, folder.packed)
    parts.append(bytes([_UNPACK_SIZES]))
    parts += [_number(size) for folder in info.folders for size in folder.sizes]
    if any(folder.crc for folder in info.folders):
        given = [bool(folder.crc) for folder in info.folders]
        bits = bytearray((len(given) + 7) // 8)
        for at, each in enumerate(given):
            bits[at // 8] |= each * (0x80 >> at % 8)
        parts += [bytes([_CRC, 0]), bytes(bits), *(folder.crc for folder in info.folders)]
    return b"".join([*parts, b"\0", info.rest])


class SevenZipPasswords:
    """Finds the password of each encrypted part of an archive.

    Attributes:
        opened, refused: how many parts a password opened, and how many none of them did.
    """

    def __init__(self, passwords: Iterable[str]) -> None:
        self._passwords = list(passwords)
        self._keys: dict[tuple[str, bytes, int], bytes] = {}
        self.opened = self.refused = 0

    def decrypt(self, held: bytearray) -> bytearray | None:
        """The archive without encryption.

        Args:
            held: the archive; its bytes are overwritten if a password opens it.

        Returns:
            None if no part of it is encrypted, or no password opens any part.

        Raises:
            Damaged: its list is damaged.
        """
        offset, size = int.from_bytes(held[12:20], "little"), int.from_bytes(held[20:28], "little")
        if size > _MAX_LIST:
            raise Damaged("size", f"the list of the archive exceeds {_MAX_LIST} bytes")
        listing = bytes(held[_START + offset : _START + offset + size])
        for _ in range(_MAX_LISTS):
            if listing[:1] != bytes([_ENCODED]):
                break
            outer = _Reader(listing)
            outer.byte()
            found = self._read_list(held, _read_streams(outer))
            if found is None:
                return None
            listing = found
        reader = _Reader(listing)
        reader.expect(_HEADER)
        # what stands before the streams is not used by any program
        if reader.number() != _STREAMS:
            return None
        info = _read_streams(reader)
        info.rest = reader.data[reader.at :]
        if _START + info.start + sum(info.sizes) > len(held):
            raise _damaged()
        if any(coder.method == _AES for folder in info.folders for coder in folder.coders):
            if not self._decrypt_streams(held, info):
                return None
        elif not self.opened:
            return None
        written = bytes([_HEADER, _STREAMS]) + _write_streams(info)
        end = _START + info.start + sum(info.sizes)
        del held[end:]
        held += written
        start = (end - _START).to_bytes(8, "little") + len(written).to_bytes(8, "little")
        start += crc32(written).to_bytes(4, "little")
        held[8:_START] = crc32(start).to_bytes(4, "little") + start
        return held

    def _read_list(self, held: bytearray, info: _StreamsInfo) -> bytes | None:
        """The list inside a compressed or encrypted list; None if no password opens it."""
        if len(info.folders) != 1 or len(info.sizes) != 1 or max(info.folders[0].sizes, default=0) > _MAX_LIST:
            raise _damaged()
        folder = info.folders[0]
        at = _START + info.start
        data = bytes(held[at : at + info.sizes[0]])
        encrypted = [number for number, coder in enumerate(folder.coders) if coder.method == _AES]
        if encrypted:
            password = self._find(data, folder, encrypted[0])
            if password is None:
                return None
            data = self._decrypted(data, folder.coders[encrypted[0]], password)[: folder.sizes[encrypted[0]]]
            _remove(folder, encrypted[0])
        decoded = _decoded(data, folder.coders[0], folder.sizes[0])
        if len(decoded) != folder.sizes[0] or (folder.crc and crc32(decoded) != int.from_bytes(folder.crc, "little")):
            raise _damaged()
        return decoded

    def _decrypt_streams(self, held: bytearray, info: _StreamsInfo) -> bool:
        """Decrypt all streams that a password opens, in their place; True if there is one at least."""
        is_opened = False
        number, at = 0, _START + info.start
        to = at
        for folder in info.folders:
            coder_at = next((number for number, coder in enumerate(folder.coders) if coder.method == _AES), None)
            password: str | None = None
            own = -1
            if coder_at is not None:
                own = _first_input(folder, coder_at)
                if own in folder.packed:
                    place = at + sum(info.sizes[number : number + folder.packed.index(own)])
                    size = info.sizes[number + folder.packed.index(own)]
                    tail = bytes(held[max(place, place + size - 2 * _BLOCK) : place + size])
                    password = self._find(bytes(held[place : place + min(size, _TRIED)]), folder, coder_at, tail, size)
            for each in folder.packed:
                size = info.sizes[number]
                left, kept = size, size
                if password is not None and coder_at is not None and each == own:
                    kept = min(size, folder.sizes[coder_at])
                    key, vector = self._cipher(folder.coders[coder_at], password)
                    decryptor = _decryptor(key, vector)
                    written = 0
                    for begin in range(at, at + size // _BLOCK * _BLOCK, _PIECE):
                        piece = decryptor.update(bytes(held[begin : min(begin + _PIECE, at + size // _BLOCK * _BLOCK)]))
                        piece = piece[: kept - written]
                        held[to + written : to + written + len(piece)] = piece
                        written += len(piece)
                elif to != at:
                    for begin in range(0, left, _PIECE):
                        held[to + begin : to + min(left, begin + _PIECE)] = held[
                            at + begin : at + min(left, begin + _PIECE)
                        ]
                info.sizes[number] = kept
                at, to, number = at + size, to + kept, number + 1
            if password is not None and coder_at is not None:
                _remove(folder, coder_at)
                is_opened = True
        return is_opened

    def _find(
        self, data: bytes, folder: _Folder, coder_at: int, tail: bytes = b"", size: int | None = None
    ) -> str | None:
        """The password that opens a folder; None if there is none.

        Args:
            data: its first encrypted bytes.
            folder: with its coders.
            coder_at: which of them encrypts.
            tail: its last two blocks.
            size: of all encrypted bytes, if `data` are not all of them.
        """
        coder = folder.coders[coder_at]
        own_output = _first_output(folder, coder_at)
        reader_of = next((pair[0] for pair in folder.pairs if pair[1] == own_output), None)
        following = next(
            (each for number, each in enumerate(folder.coders) if reader_of is not None and _first_input(folder, number) == reader_of),
            None,
        )  # fmt: skip
        whole = size is None or size <= len(data)
        for password in self._passwords:
            decrypted = self._decrypted(data, coder, password)
            unpacked = folder.sizes[own_output]
            # the last block is filled up with zeros
            filled = (
                decrypted[unpacked:] if whole else self._end_of(tail, coder, password)[unpacked % _BLOCK or _BLOCK :]
            )
            if any(filled):
                continue
            if following is None or following.method == _COPY:
                if _is_plain(decrypted[:unpacked]):
                    break
            elif following.method not in (_LZMA, _LZMA2) or _decoded(decrypted[:unpacked], following, 2**16):
                break
        else:
            self.refused += 1
            return None
        self.opened += 1
        # the parts of an archive mostly have one password
        self._passwords = [password, *(each for each in self._passwords if each != password)]
        return password

    def _cipher(self, coder: _Coder, password: str) -> tuple[bytes, bytes]:
        """The key and the initial vector."""
        given = coder.properties
        if len(given) < 1:
            raise _damaged()
        first, second = given[0], given[1] if len(given) > 1 and given[0] & 0xC0 else 0
        salt_size = (first >> 7) + (second >> 4)
        vector_size = (first >> 6 & 1) + (second & 15)
        salt, vector = given[2 : 2 + salt_size], given[2 + salt_size : 2 + salt_size + vector_size]
        rounds = first & 63
        if rounds > _MAX_ROUNDS and rounds != 63:
            raise Damaged("locked", "making its key would take too long")
        known = password, salt, rounds
        if known not in self._keys:
            self._keys[known] = _key(password.encode("utf-16-le", "replace"), salt, rounds)
        return self._keys[known], vector.ljust(_BLOCK, b"\0")

    def _end_of(self, tail: bytes, coder: _Coder, password: str) -> bytes:
        """The last block, whose initial vector is the block before it."""
        key, _ = self._cipher(coder, password)
        return bytes(_decryptor(key, tail[:_BLOCK]).update(tail[_BLOCK:])) if len(tail) == 2 * _BLOCK else b""

    def _decrypted(self, data: bytes, coder: _Coder, password: str) -> bytes:
        key, vector = self._cipher(coder, password)
        return bytes(_decryptor(key, vector).update(data[: len(data) // _BLOCK * _BLOCK]))


def _key(password: bytes, salt: bytes, rounds: int) -> bytes:
    """The key that 7-Zip makes of a password: the digest of password and counter, 2^rounds times."""
    if rounds == 63:
        return (salt + password).ljust(32, b"\0")[:32]
    digest = sha256()
    fixed = np.frombuffer(salt + password, np.uint8)
    turns = np.empty((min(_BATCH, 1 << rounds), len(fixed) + 8), np.uint8)
    turns[:, : len(fixed)] = fixed
    for begin in range(0, 1 << rounds, len(turns)):
        counters = np.arange(begin, begin + len(turns), dtype="<u8")
        turns[:, len(fixed) :] = counters.view(np.uint8).reshape(-1, 8)
        digest.update(turns.tobytes())
    return digest.digest()


def _decryptor(key: bytes, vector: bytes) -> CipherContext:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    return Cipher(algorithms.AES256(key), modes.CBC(vector)).decryptor()


def _is_plain(data: bytes) -> bool:
    """Whether bytes are not encrypted: a known format begins here, or they are not as even as random bytes."""
    if describe(data[:_TRIED]) or is_archive_start(data[:_TRIED]):
        return True
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    # of random bytes each value is a 256th part, within a few times its deviation
    expected = len(data) / 256
    return bool(((counts - expected) ** 2).sum() > (255 + 6 * 22.6) * max(expected, 1e-9))


def _decoded(data: bytes, coder: _Coder, size: int) -> bytes:
    """What the first bytes decompress to; b'' if they are not compressed by this coder."""
    if coder.method == _COPY:
        return data[:size]
    given = coder.properties
    if coder.method == _LZMA and len(given) == 5 and given[0] < 225:
        rest, lc = divmod(given[0], 9)
        pb, lp = divmod(rest, 5)
        chain = {"id": lzma.FILTER_LZMA1, "dict_size": max(4096, min(size, 2**24)), "lc": lc, "lp": lp, "pb": pb}
    elif coder.method == _LZMA2:
        chain = {"id": lzma.FILTER_LZMA2, "dict_size": max(4096, min(size, 2**24))}
    else:
        return b""
    try:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[chain]).decompress(data, size)
    except (lzma.LZMAError, EOFError, ValueError):
        return b""


def _first_input(folder: _Folder, number: int) -> int:
    return sum(coder.inputs for coder in folder.coders[:number])


def _first_output(folder: _Folder, number: int) -> int:
    return sum(coder.outputs for coder in folder.coders[:number])


def _remove(folder: _Folder, number: int) -> None:
    """Remove a coder of one input and one output from a folder; a folder without any other copies its bytes."""
    own, output = _first_input(folder, number), _first_output(folder, number)
    if len(folder.coders) == 1:
        folder.coders[0] = _Coder(_COPY, 1, 1, b"")
        return
    taking = next((pair[0] for pair in folder.pairs if pair[1] == output), own)

    def moved(at: int, limit: int) -> int:
        return at - (at > limit)

    pairs: Sequence[tuple[int, int]] = [pair for pair in folder.pairs if pair[1] != output]
    folder.pairs = [(moved(first, own), moved(second, output)) for first, second in pairs]
    folder.packed = [moved(taking if at == own else at, own) for at in folder.packed]
    del folder.coders[number]
    del folder.sizes[output]
