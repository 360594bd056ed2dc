"""Takes the pictures of a page out of a PDF, as files of a format that Leptonica decodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pypdf
from pypdf.generic import ArrayObject, DictionaryObject, StreamObject

# Pictures of one page that are looked at.
_MAX_IMAGES = 20
# JPEG and TIFF (fax) data is a file, or nearly one, as it stands in the document
_JPEG = "/DCTDecode"
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
    """A picture as JPEG or PNM; b'' if it has another form (palettes, fax, JPEG 2000)."""
    if not isinstance(image, StreamObject):
        return b""
    filters = _resolve(image.get("/Filter"))
    names = [str(_resolve(each)) for each in filters] if isinstance(filters, ArrayObject) else [str(filters)]
    if names == [_JPEG]:
        # pypdf decodes pictures only with a further library
        return bytes(image._data)
    if not set(names) <= {"/FlateDecode", "/ASCII85Decode", "/LZWDecode", "/RunLengthDecode", "None"}:
        return b""
    width, height = _resolve(image.get("/Width")), _resolve(image.get("/Height"))
    bits, space = _resolve(image.get("/BitsPerComponent")), _resolve(image.get("/ColorSpace"))
    colours = 3 if _is_colour(space) else 1
    if bits not in _BITS or (bits == 1 and colours > 1) or (isinstance(space, ArrayObject) and space[0] == "/Indexed"):
        return b""
    data = bytes(image.get_data())
    row = (width * colours * bits + 7) // 8
    if len(data) < row * height:
        return b""
    if bits == 1:
        # in a PBM a set bit is black, in a document it is white
        return b"P4 %d %d\n" % (width, height) + bytes(255 - byte for byte in data[: row * height])
    return b"P%d %d %d 255\n" % (6 if colours == 3 else 5, width, height) + data[: row * height]


def _is_colour(space: Any) -> bool:
    if isinstance(space, ArrayObject) and len(space) > 1 and space[0] == "/ICCBased":
        profile = _resolve(space[1])
        return isinstance(profile, DictionaryObject) and profile.get("/N") == 3
    return bool(space == "/DeviceRGB" or (isinstance(space, ArrayObject) and space and space[0] == "/CalRGB"))


def _resolve(value: Any) -> Any:
    return value.get_object() if value is not None else None
