"""Content-Encoding undone piece by piece: whatever is packed into a body, no piece is large."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import brotli
import zstandard

from data.errors import ReaderFailed

PIECE = 2**18
# A block of zstd takes 4 bytes and gives 128 KiB: so many bytes at a time give 8 MiB at most.
_ZSTD_SLICE = 256
# RFC 8878, section 3.1.1.1.2: what every decoder is asked to support, and what HTTP allows
_ZSTD_WINDOW = 2**23
_NOTHING = frozenset({"identity", "aws-chunked"})


class Damaged(ReaderFailed):
    """The body is not what its Content-Encoding says."""


class _Decoder(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def whole(self) -> bool: ...


class Coding:
    """All encodings of one body, undone in their order; one that is not known leaves the bytes as they are."""

    def __init__(self, encodings: Sequence[str]) -> None:
        self._decoders: list[_Decoder] = []
        for name in reversed(encodings):
            if name in _NOTHING:
                continue
            if name not in _DECODERS:
                # what lies below cannot be got at; the bytes are examined as they came
                break
            self._decoders.append(_DECODERS[name]())

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes unpack to, in pieces of a few MiB at most.

        Raises:
            Damaged: they cannot be unpacked.
        """
        return self._through(self._decoders, data)

    def _through(self, decoders: Sequence[_Decoder], data: bytes) -> Iterator[bytes]:
        if not decoders:
            yield data
            return
        try:
            for piece in decoders[0].feed(data):
                if piece:
                    yield from self._through(decoders[1:], piece)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise Damaged("the body is not packed as its Content-Encoding says") from error

    def finish(self) -> None:
        """Raise Damaged where the bytes ended before what they were packed with did."""
        if not all(decoder.whole() for decoder in self._decoders):
            raise Damaged("the packed body ends before its end")


class _Zlib:
    """gzip and deflate."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._decoder = zlib.decompressobj(bits)
        self._fed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            self._fed = True
            yield self._decoder.decompress(data, PIECE)
            data = self._decoder.unconsumed_tail
            if self._decoder.eof:
                data = self._decoder.unused_data
                if self._bits != 31 or not data.startswith(b"\x1f"):
                    # what servers append to the end is not part of the body
                    return
                self._decoder = zlib.decompressobj(self._bits)

    def whole(self) -> bool:
        return self._decoder.eof or not self._fed


class _Gzip(_Zlib):
    def __init__(self) -> None:
        super().__init__(31)


class _Deflate:
    """zlib's format, as the standard says, or bare deflate, as some servers do; the first two bytes tell."""

    def __init__(self) -> None:
        self._first = b""
        self._inner: _Zlib | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            self._first += data
            if len(self._first) < 2:
                return
            data = self._first
            wrapped = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inner = _Zlib(15 if wrapped else -15)
        yield from self._inner.feed(data)

    def whole(self) -> bool:
        return self._inner.whole() if self._inner is not None else not self._first


class _Brotli:
    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()
        self._fed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._decoder.is_finished():
            return
        self._fed = True
        part = self._decoder.process(data, output_buffer_limit=PIECE)
        yield part
        # a full piece may leave output inside although all input was taken
        while not self._decoder.is_finished() and (len(part) >= PIECE or not self._decoder.can_accept_more_data()):
            part = self._decoder.process(b"", output_buffer_limit=PIECE)
            yield part

    def whole(self) -> bool:
        return bool(self._decoder.is_finished()) or not self._fed


class _Zstd:
    def __init__(self) -> None:
        self._decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        self._fed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_SLICE):
            piece = data[start : start + _ZSTD_SLICE]
            while piece:
                if self._decoder.eof:
                    self._decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
                self._fed = True
                yield self._decoder.decompress(piece)
                piece = self._decoder.unused_data if self._decoder.eof else b""

    def whole(self) -> bool:
        return self._decoder.eof or not self._fed


_DECODERS: dict[str, type[_Gzip | _Deflate | _Brotli | _Zstd]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
