"""Takes the pictures of a page out of a PDF, as files of a format that Leptonica decodes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pypdf
from pypdf.generic import ArrayObject, DictionaryObject, StreamObject

# Pictures of one page that are looked at.
_MAX_IMAGES = 20
# JPEG and JPEG 2000 data is a file as it stands in the document
_FILES = (["/DCTDecode"], ["/JPXDecode"])
_FAX = ["/CCITTFaxDecode"]
_BITS = {1: b"P4", 8: b"P5"}


def images_of(page: pypdf.PageObject) -> Iterator[DictionaryObject]:
    """The pictures that a page can show."""
    resources = _resolve(page.get("/Resources"))
    objects = _resolve(resources.get("/XObject")) if isinstance(resources, DictionaryObject) else None
    if isinstance(objects, DictionaryObject):
        for entry in list(objects.values())[:_MAX_IMAGES]:
            image = _resolve(entry)
            if isinstance(image, DictionaryObject) and image.get("/Subtype") == "/Image":
                yield image


def pixels(image: DictionaryObject) -> int:
    """Width times height as the document names them."""
    width, height = _resolve(image.get("/Width")), _resolve(image.get("/Height"))
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


def picture_file(image: DictionaryObject) -> bytes:
    """A picture as JPEG, JPEG 2000, TIFF (fax) or PNM; b'' if it has another form."""
    if not isinstance(image, StreamObject):
        return b""
    filters = _resolve(image.get("/Filter"))
    names = [str(_resolve(each)) for each in filters] if isinstance(filters, ArrayObject) else [str(filters)]
    if names in _FILES:
        # pypdf decodes pictures only with a further library
        return bytes(image._data)
    if names == _FAX:
        return _fax_file(image)
    if not set(names) <= {"/FlateDecode", "/ASCII85Decode", "/LZWDecode", "/RunLengthDecode", "None"}:
        return b""
    width, height = _resolve(image.get("/Width")), _resolve(image.get("/Height"))
    bits, space = _resolve(image.get("/BitsPerComponent")), _resolve(image.get("/ColorSpace"))
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        return b""
    if isinstance(space, ArrayObject) and space and space[0] == "/Indexed":
        return _palette_file(bytes(image.get_data()), width, height, bits, space)
    colours = 3 if _is_colour(space) else 1
    if bits not in _BITS or (bits == 1 and colours > 1):
        return b""
    data = bytes(image.get_data())
    row = (width * colours * bits + 7) // 8
    if len(data) < row * height:
        return b""
    if bits == 1:
        # in a PBM a set bit is black, in a document it is white
        return b"P4 %d %d\n" % (width, height) + bytes(255 - byte for byte in data[: row * height])
    return b"P%d %d %d 255\n" % (6 if colours == 3 else 5, width, height) + data[: row * height]


def _palette_file(data: bytes, width: int, height: int, bits: Any, space: ArrayObject) -> bytes:
    """A picture whose pixels are numbers of colours, in grey."""
    if bits not in (1, 2, 4, 8) or len(space) < 4:
        return b""
    base, lookup = _resolve(space[1]), _resolve(space[3])
    colours = bytes(lookup.get_data()) if isinstance(lookup, StreamObject) else _string(lookup)
    size = 3 if _is_colour(base) else 1
    row = (width * bits + 7) // 8
    if (size == 1 and base != "/DeviceGray") or not colours or len(data) < row * height:
        return b""
    colours = colours[: 256 * size]
    brightness = [sum(colours[at : at + size]) // size for at in range(0, len(colours) - size + 1, size)]
    if bits < 8:
        steps, mask = range(8 - bits, -1, -bits), (1 << bits) - 1
        unpacked = [bytes(byte >> step & mask for step in steps) for byte in range(256)]
        rows = [b"".join([unpacked[byte] for byte in data[row * y : row * (y + 1)]])[:width] for y in range(height)]
        data = b"".join(rows)
    return b"P5 %d %d 255\n" % (width, height) + data[: width * height].translate(bytes(brightness).ljust(256, b"\0"))


def _string(value: Any) -> bytes:
    original = getattr(value, "original_bytes", value)
    return original if isinstance(original, bytes) else b""


def _fax_file(image: StreamObject) -> bytes:
    """A picture in the coding of fax machines (T.4, T.6), as a TIFF of one strip; b'' for codings that TIFF lacks."""
    options = _resolve(image.get("/DecodeParms"))
    if isinstance(options, ArrayObject):
        options = _resolve(options[0]) if options else None
    options = options if isinstance(options, DictionaryObject) else DictionaryObject()
    kind, width = _resolve(options.get("/K", 0)), _resolve(options.get("/Columns", 1728))
    height = _resolve(image.get("/Height"))
    if not all(isinstance(each, int) for each in (kind, width, height)) or _true(options, "/EncodedByteAlign"):
        return b""
    if not (0 < width < 2**16 and 0 < height < 2**16):
        return b""
    # white is zero, unless the document says otherwise
    white_is_zero = not _true(options, "/BlackIs1")
    data = bytes(image._data)
    tags = {
        256: width,
        257: height,
        258: 1,
        259: 4 if kind < 0 else 3,
        262: 0 if white_is_zero else 1,
        277: 1,
        278: height,
    }
    tags |= {273: 0, 279: len(data)} | ({} if kind < 0 else {292: int(kind > 0)})
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def _true(options: DictionaryObject, key: str) -> bool:
    # pypdf's booleans are objects, which are true whatever they hold
    value = _resolve(options.get(key))
    return value is True or bool(getattr(value, "value", False))


def _is_colour(space: Any) -> bool:
    if isinstance(space, ArrayObject) and len(space) > 1 and space[0] == "/ICCBased":
        profile = _resolve(space[1])
        return isinstance(profile, DictionaryObject) and profile.get("/N") == 3
    return bool(space == "/DeviceRGB" or (isinstance(space, ArrayObject) and space and space[0] == "/CalRGB"))


def _resolve(value: Any) -> Any:
    return value.get_object() if value is not None else None
