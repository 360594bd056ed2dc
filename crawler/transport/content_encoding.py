"""Decodes Content-Encoding incrementally; a decoded piece is a few MiB at most, however strongly it was compressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Protocol

import brotli
import zstandard

from data.errors import ReaderFailed

MAX_PIECE = 2**18
# A zstd block can take 4 bytes and decompress to 128 KiB, so 256 input bytes at a time give at most 8 MiB.
_ZSTD_SLICE = 256
_BROTLI_SLICE = 1024
# RFC 8878, section 3.1.1.1.2: the window that every decoder should support, and the largest that HTTP allows.
_ZSTD_WINDOW = 2**23
_NO_ENCODING = frozenset({"identity", "aws-chunked"})


class DamagedEncoding(ReaderFailed):
    """The body cannot be decoded as its Content-Encoding header announces."""


class _Decoder(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def problem(self) -> str: ...


class ContentDecoder:
    """Decodes all encodings of one body in reverse order.

    An unknown encoding and those below it are left in place, and bytes that follow compressed data are passed on as they
    are: `finish` reports both, so that such a body is examined and yet never counts as complete.
    """

    def __init__(self, encodings: Sequence[str]) -> None:
        self._decoders: list[_Decoder] = []
        self._is_unknown = False
        for name in reversed(encodings):
            if name in _NO_ENCODING:
                continue
            if name not in _DECODERS:
                # the encodings below an unknown one cannot be reached
                self._is_unknown = True
                break
            self._decoders.append(_DECODERS[name]())

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded form of the next bytes, in pieces of a few MiB at most.

        Raises:
            DamagedEncoding: the bytes cannot be decoded.
        """
        return self._decode(self._decoders, data)

    def _decode(self, decoders: Sequence[_Decoder], data: bytes) -> Iterator[bytes]:
        if not decoders:
            yield data
            return
        try:
            for piece in decoders[0].feed(data):
                if piece:
                    yield from self._decode(decoders[1:], piece)
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise DamagedEncoding("the body does not match its Content-Encoding") from error

    def finish(self) -> None:
        """Raise DamagedEncoding if the decoded body may not be the whole one."""
        problems = [decoder.problem() for decoder in self._decoders]
        if self._is_unknown:
            problems.append("the body has an unknown Content-Encoding")
        if any(problems):
            raise DamagedEncoding(next(filter(None, problems)))


_TRUNCATED = "the compressed body is truncated"
_FOLLOWED = "other bytes follow the compressed body"
# Some servers fill up the last block.
_PADDING = b"\0\r\n"


class _Zlib:
    """gzip and deflate."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._decoder = zlib.decompressobj(bits)
        self._is_fed = self._is_followed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._decoder.eof:
                if self._is_followed or self._bits != 31 or not data.startswith(b"\x1f"):
                    if self._is_followed or data.strip(_PADDING):
                        self._is_followed = True
                        yield data
                    return
                self._decoder = zlib.decompressobj(self._bits)
            self._is_fed = True
            yield self._decoder.decompress(data, MAX_PIECE)
            data = self._decoder.unused_data if self._decoder.eof else self._decoder.unconsumed_tail

    def problem(self) -> str:
        if self._is_followed:
            return _FOLLOWED
        return "" if self._decoder.eof or not self._is_fed else _TRUNCATED


class _Gzip(_Zlib):
    def __init__(self) -> None:
        super().__init__(31)


class _Deflate:
    """zlib's format, as the standard demands, or raw deflate, as some servers send; the first two bytes decide."""

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

    def problem(self) -> str:
        if self._inner is None:
            return _TRUNCATED if self._first else ""
        return self._inner.problem()


class _Brotli:
    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()
        self._is_fed = self._is_followed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        # in slices, because an error in a slice loses its output
        for start in range(0, len(data), _BROTLI_SLICE):
            yield from self._feed(data[start : start + _BROTLI_SLICE])

    def _feed(self, data: bytes) -> Iterator[bytes]:
        if self._decoder.is_finished():
            if self._is_followed or data.strip(_PADDING):
                self._is_followed = True
                yield data
            return
        self._is_fed = True
        part = self._decoder.process(data, output_buffer_limit=MAX_PIECE)
        yield part
        # After a full piece the decoder may still hold output, although it has taken all input.
        while not self._decoder.is_finished() and (len(part) >= MAX_PIECE or not self._decoder.can_accept_more_data()):
            part = self._decoder.process(b"", output_buffer_limit=MAX_PIECE)
            yield part

    def problem(self) -> str:
        if self._is_followed:
            return _FOLLOWED
        return "" if self._decoder.is_finished() or not self._is_fed else _TRUNCATED


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

    def problem(self) -> str:
        return "" if self._decoder.eof or not self._fed else _TRUNCATED


_DECODERS: dict[str, type[_Gzip | _Deflate | _Brotli | _Zstd]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
