"""Decrypts pastes that their site holds encrypted, with the key that the link to them carries in its fragment. Pure.

PrivateBin (version 2 of its format) and 0bin. What a site states about its own encryption is bounded: iterations of the
key derivation, and bytes of the text that is inflated.

Sources: PrivateBin `js/privatebin.js` (format), 0bin `static/js/behavior.js` and SJCL (format of 0bin).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from crawler.pages.html_text import parse_html

# Iterations of PBKDF2 for one text (PrivateBin makes 1,000,000 since 2024, a quarter of a second), and for all of a paste.
MAX_ITERATIONS, ALL_ITERATIONS = 2_000_000, 12_000_000
# Bytes of an inflated text; PrivateBin accepts 10 MB by default.
MAX_INFLATED = 64 * 2**20
MAX_KEY = 1024
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class LockedError(Exception):
    """Raised for a paste that cannot be decrypted; the catcher reports it, and does not request it again.

    Attributes:
        code: `locked`, or `too_large`.
    """

    def __init__(self, message: str, code: str = "locked") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class OpenedPaste:
    """A decrypted paste: its text and files, each with a name, and how many comments were not decrypted."""

    samples: tuple[tuple[str, bytes], ...]
    comments_left: int = 0

    def __repr__(self) -> str:
        """Only counts."""
        return f"<OpenedPaste, {len(self.samples)} samples>"


def burns(fragment: str) -> bool:
    """Whether a link to a PrivateBin paste says that the paste is deleted when it is read."""
    return fragment.startswith("-")


def open_privatebin(body: bytes, fragment: str) -> OpenedPaste:
    """Decrypt the JSON answer of a PrivateBin.

    Args:
        body: of the answer.
        fragment: of the link: the key, which stands in no request.

    Raises:
        LockedError: there is no key, the key is another one, a password is needed, or a bound is exceeded.
    """
    answer = _json_object(body)
    key = _base58(fragment.lstrip("-").partition("&")[0])
    budget = ALL_ITERATIONS - _iterations(answer)
    paste = _json_object(_privatebin_text(answer, key))
    samples = [("paste", _utf8(paste.get("paste")))]
    files, names = _as_list(paste.get("attachment")), _as_list(paste.get("attachment_name"))
    for number, file in enumerate(files):
        name = names[number] if number < len(names) and isinstance(names[number], str) else "attachment"
        samples.append((name[:255] or "attachment", _data_address(file)))
    texts: list[bytes] = []
    left = 0
    for comment in _as_list(answer.get("comments")):
        try:
            # a comment beyond the budget is left, and counted
            budget -= _iterations(comment)
            if budget < 0:
                raise LockedError("the comments of the paste need too much work")
            texts.append(_utf8(_json_object(_privatebin_text(comment, key)).get("comment")))
        except LockedError:
            left += 1
    if texts:
        samples.append(("comments", b"\n\n".join(texts)))
    return OpenedPaste(tuple(samples), left)


def open_zerobin(body: bytes, fragment: str) -> OpenedPaste:
    """Decrypt the page of a 0bin, which holds the paste as an object of the Stanford JavaScript Crypto Library.

    Raises:
        LockedError: as `open_privatebin`.
    """
    # a person who shares a link may add parameters to its fragment
    key = unquote(fragment.partition("&")[0].partition("?")[0])
    if not key or len(key) > MAX_KEY:
        raise LockedError("the link to the paste has no key")
    root, _ = parse_html(body.decode("utf-8", "replace"))
    found = [] if root is None else root.xpath("//*[@id='paste-content']")
    text = "".join(found[0].itertext()).strip() if found else ""
    box = _json_object(unescape(text).encode())
    try:
        # what its version of the library writes only if it is not the default
        iterations, bits, tag = int(box.get("iter", 1000)), int(box.get("ks", 128)), int(box.get("ts", 64)) // 8
        iv, salt, sealed = (_base64(box[name]) for name in ("iv", "salt", "ct"))
    except (KeyError, TypeError, ValueError) as error:
        raise LockedError("the page does not hold a paste as 0bin writes it") from error
    if box.get("mode", "ccm") != "ccm" or bits not in (128, 192, 256) or len(sealed) < tag:
        raise LockedError("the paste is encrypted in a way that is not known")
    derived = _derive(key.encode(), salt, iterations, bits // 8)
    # SJCL shortens the nonce so that the length of the text fits beside it
    size = len(sealed) - tag
    width = max(2, 15 - len(iv), (size.bit_length() + 7) // 8)
    try:
        plain = AESCCM(derived, tag_length=tag).decrypt(
            iv[: 15 - width], sealed, unquote_to_bytes(str(box.get("adata") or "")) or None
        )
    except (InvalidTag, ValueError, OverflowError) as error:
        raise LockedError("the key in the link does not open the paste") from error
    return OpenedPaste((("paste", _base64(plain.decode("latin-1"))),))


def _privatebin_text(answer: Any, key: bytes) -> bytes:
    """The text of a paste or a comment, inflated."""
    if not isinstance(answer, dict) or answer.get("v") != 2:
        raise LockedError("the paste is written in a version of the format that is not known")
    try:
        adata = answer["adata"]
        spec = adata[0] if isinstance(adata[0], list) else adata
        iv, salt, _, bits, _, cipher, mode, packing = spec
        iv, salt, sealed = (_base64(each) for each in (iv, salt, answer["ct"]))
        bits = int(bits)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise LockedError("the answer does not hold a paste as PrivateBin writes it") from error
    if (cipher, mode) != ("aes", "gcm") or bits not in (128, 192, 256) or packing not in ("zlib", "none"):
        raise LockedError("the paste is encrypted in a way that is not known")
    derived = _derive(key, salt, _iterations(answer), bits // 8)
    try:
        # the tag is over the bytes that JavaScript's JSON.stringify made: compact, and characters as they are
        plain = AESGCM(derived).decrypt(iv, sealed, orjson.dumps(adata))
    except (InvalidTag, ValueError, OverflowError) as error:
        raise LockedError("the key in the link does not open the paste; it may need a password too") from error
    return _inflate(plain) if packing == "zlib" else plain


def _iterations(answer: Any) -> int:
    try:
        adata = answer["adata"]
        return _bounded(int((adata[0] if isinstance(adata[0], list) else adata)[2]))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise LockedError("the answer does not hold a paste as PrivateBin writes it") from error


def _bounded(iterations: int) -> int:
    if not 0 < iterations <= MAX_ITERATIONS:
        raise LockedError("the paste asks for more work than a paste may take")
    return iterations


def _derive(secret: bytes, salt: bytes, iterations: int, size: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", secret, salt, _bounded(iterations), size)


def _inflate(data: bytes) -> bytes:
    """Inflate a raw deflate stream of bounded size."""
    stream = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        plain = stream.decompress(data, MAX_INFLATED + 1)
    except zlib.error as error:
        raise LockedError("the text of the paste cannot be inflated") from error
    if len(plain) > MAX_INFLATED:
        raise LockedError("the inflated paste is larger than a paste may be", "too_large")
    return plain


def _base58(text: str) -> bytes:
    """The 32 bytes of a key in base58, as PrivateBin writes it into links."""
    if not text or len(text) > MAX_KEY:
        raise LockedError("the link to the paste has no key")
    number = 0
    for letter in text:
        place = _BASE58.find(letter)
        if place < 0:
            raise LockedError("the key in the link is not written in base58")
        number = number * 58 + place
    zeros = len(text) - len(text.lstrip("1"))
    key = b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
    return key.rjust(32, b"\0")


def _base64(text: Any) -> bytes:
    """The bytes of base64, which SJCL writes without its padding."""
    if not isinstance(text, str):
        raise ValueError("not a text")  # noqa: TRY004 - the caller reports a paste that is malformed
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise LockedError("the paste is not written in base64") from error


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise LockedError("the answer is not a JSON object") from error
    if not isinstance(found, dict):
        raise LockedError("the answer is not a JSON object")
    return found


def _as_list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _utf8(value: Any) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else b""


def _data_address(value: Any) -> bytes:
    """The bytes of a `data:` address; of anything else, the text itself."""
    text = value if isinstance(value, str) else ""
    head, comma, data = text.partition(",")
    if not comma or not head.startswith("data:"):
        return _utf8(text)
    return _base64("".join(data.split())) if head.endswith(";base64") else unquote_to_bytes(data)
