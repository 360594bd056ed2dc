"""Recognises text in pictures with libtesseract, if Debian's `tesseract-ocr` is installed. Pictures are in memory only.

The libraries and the data of the languages are loaded when the module is imported: a confined reader can open no file.
Leptonica decodes PNG, JPEG, WebP, TIFF, GIF, BMP and PNM inside the same walls.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from crawler.readers.core.limits import Damaged
from crawler.readers.pictures.language_data import language_data

LIBRARIES = ("libtesseract.so.5", "libtesseract.so.4")
_LEPTONICA = ("libleptonica.so.6", "liblept.so.5")
# data of a language that is larger than this is not of the fast kind that Debian has
_MAX_DATA = 64 * 2**20
_LSTM_ONLY = 1
# one column of text of several sizes: rows of a table stay lines, with and without a grid
_SINGLE_COLUMN = 4
# Letters of screenshots are about 11 pixels high, which is too small for tesseract: it was made for 300 dots per inch.
_WIDE_ENOUGH, _MAX_SCALE = 2400, 3.0
_WANTED_DPI = 300


@dataclass(frozen=True, slots=True)
class _Engine:
    """The loaded libraries, and the data of one language."""

    tesseract: Any
    leptonica: Any
    data: bytes


def _first_library(names: tuple[str, ...]) -> Any:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _load() -> _Engine | None:
    # a confined reader cannot start threads
    os.environ.setdefault("OMP_THREAD_LIMIT", "1")
    file = language_data()
    if file is None or file.stat().st_size > _MAX_DATA:
        return None
    leptonica, tesseract = _first_library(_LEPTONICA), _first_library(LIBRARIES)
    if leptonica is None or tesseract is None or not hasattr(tesseract, "TessBaseAPIInit5"):
        return None
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    for library, name, takes, gives in (
        (leptonica, "pixReadHeaderMem", [text, size, *[ctypes.POINTER(ctypes.c_int)] * 6], ctypes.c_int),
        (leptonica, "pixReadMem", [text, size], pointer),
        (leptonica, "pixScale", [pointer, ctypes.c_float, ctypes.c_float], pointer),
        (leptonica, "pixConvertTo8", [pointer, ctypes.c_int], pointer),
        (leptonica, "pixGetWidth", [pointer], ctypes.c_int),
        (leptonica, "pixDestroy", [ctypes.POINTER(pointer)], None),
        (leptonica, "setMsgSeverity", [ctypes.c_int], ctypes.c_int),
        (tesseract, "TessBaseAPICreate", [], pointer),
        (tesseract, "TessBaseAPIDelete", [pointer], None),
        (tesseract, "TessBaseAPIInit5", [pointer, text, ctypes.c_int, text, ctypes.c_int, pointer, ctypes.c_int,
                                         pointer, pointer, size, ctypes.c_int], ctypes.c_int),
        (tesseract, "TessBaseAPISetVariable", [pointer, text, text], ctypes.c_int),
        (tesseract, "TessBaseAPISetPageSegMode", [pointer, ctypes.c_int], None),
        (tesseract, "TessBaseAPISetImage2", [pointer, pointer], None),
        (tesseract, "TessBaseAPISetSourceResolution", [pointer, ctypes.c_int], None),
        (tesseract, "TessBaseAPIRecognize", [pointer, pointer], ctypes.c_int),
        (tesseract, "TessBaseAPIGetUTF8Text", [pointer], pointer),
        (tesseract, "TessBaseAPIClear", [pointer], None),
        (tesseract, "TessDeleteText", [pointer], None),
        (tesseract, "TessMonitorCreate", [], pointer),
        (tesseract, "TessMonitorDelete", [pointer], None),
        (tesseract, "TessMonitorSetDeadlineMSecs", [pointer, ctypes.c_int], None),
    ):  # fmt: skip
        function = getattr(library, name)
        function.argtypes, function.restype = takes, gives
    # no messages on standard error
    leptonica.setMsgSeverity(6)
    return _Engine(tesseract, leptonica, file.read_bytes())


_engine = _load()


def available() -> bool:
    """Whether text in pictures can be recognised on this machine."""
    return _engine is not None


@cache
def _recogniser(engine: _Engine) -> int:
    """The handle of tesseract with its language, made once in a process, when the first picture is read."""
    api = engine.tesseract
    handle: int = api.TessBaseAPICreate()
    code = api.TessBaseAPIInit5(handle, engine.data, len(engine.data), b"x", _LSTM_ONLY, None, 0, None, None, 0, 0)
    if code:
        raise Damaged("unread", "the program that recognises text in pictures did not start")
    api.TessBaseAPISetVariable(handle, b"preserve_interword_spaces", b"1")
    api.TessBaseAPISetVariable(handle, b"debug_file", b"/dev/null")
    api.TessBaseAPISetPageSegMode(handle, _SINGLE_COLUMN)
    return handle


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of a picture in pixels as its header names them; (0, 0) if it cannot be decoded."""
    if _engine is None:
        return 0, 0
    numbers = [ctypes.c_int() for _ in range(6)]
    if _engine.leptonica.pixReadHeaderMem(data, len(data), *map(ctypes.byref, numbers)):
        return 0, 0
    # format, width, height, …
    return numbers[1].value, numbers[2].value


def recognise(data: bytes, seconds: float) -> str | None:
    """The text in a picture, line by line across its whole width, so that the cells of a table row stay together.

    Args:
        data: the picture; its size in pixels is within the limit.
        seconds: after which recognition ends.

    Returns:
        None if time ran out.

    Raises:
        Damaged: the picture cannot be decoded.
    """
    if _engine is None:
        raise Damaged("unread", "text in pictures is not recognised on this machine")
    api, leptonica = _engine.tesseract, _engine.leptonica
    handle = _recogniser(_engine)
    pictures = [ctypes.c_void_p(leptonica.pixReadMem(data, len(data)))]
    monitor = ctypes.c_void_p(api.TessMonitorCreate())
    try:
        if not pictures[0]:
            raise Damaged("damaged", "it is a picture that cannot be decoded")
        pictures.append(ctypes.c_void_p(leptonica.pixConvertTo8(pictures[-1], 0)))
        width = leptonica.pixGetWidth(pictures[-1]) if pictures[-1] else 0
        scale = min(_MAX_SCALE, _WIDE_ENOUGH / max(1, width))
        if scale > 1:
            pictures.append(ctypes.c_void_p(leptonica.pixScale(pictures[-1], scale, scale)))
        if not pictures[-1]:
            raise Damaged("damaged", "it is a picture that cannot be decoded")
        api.TessBaseAPISetImage2(handle, pictures[-1])
        api.TessBaseAPISetSourceResolution(handle, _WANTED_DPI)
        api.TessMonitorSetDeadlineMSecs(monitor, max(1, int(1000 * seconds)))
        if api.TessBaseAPIRecognize(handle, monitor):
            return None
        text = ctypes.c_void_p(api.TessBaseAPIGetUTF8Text(handle))
        if not text:
            return ""
        try:
            return ctypes.string_at(text).decode("utf-8", "replace")
        finally:
            api.TessDeleteText(text)
    finally:
        api.TessBaseAPIClear(handle)
        api.TessMonitorDelete(monitor)
        for picture in pictures:
            leptonica.pixDestroy(ctypes.byref(picture))
