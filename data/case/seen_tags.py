"""The tags of a sample that nothing tied to a client, sealed: what later canaries are compared with.

The examiner collects them (`crawler.matching.seen_values`), the runner seals and stores them (`data.store.sightings`), and
`scheduler.canaries.retro_match` compares them with newly enrolled canaries. Of a sample with many values a part is kept.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import struct
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from data.errors import WireError
from data.hashing.case_keys import post_subkey

if TYPE_CHECKING:
    from data.arrays.array_types import U64

MAX_TAGS = 16_384
"""So many tags of one sample are kept, 128 KiB."""
NUMBER = struct.Struct("<Q")
"""The number of all tags of a sample, and each tag that is kept after it."""
_LABEL = b"seen"
_NONCE_BYTES = 12


def seal_seen(post_key: bytes, encoded: str) -> bytes:
    """What `crawler.matching.seen_values` encoded, sealed so that only the holder of the match key can read it.

    The examiner has met hostile bytes. Whatever it put into this, nothing of it rests in clear.

    Raises:
        WireError: it has another form.
    """
    try:
        plain = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise WireError("the values of a sample are not base64") from error
    if len(plain) % NUMBER.size or not 2 * NUMBER.size <= len(plain) <= (MAX_TAGS + 1) * NUMBER.size:
        raise WireError("the values of a sample have the wrong size")
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + ChaCha20Poly1305(post_subkey(post_key, _LABEL)).encrypt(nonce, plain, _LABEL)


def cut_seen(encoded: str, most: int) -> str:
    """What `crawler.matching.seen_values` encoded, with as many of its smallest tags as fit into so many characters."""
    if len(encoded) <= most:
        return encoded
    kept = max(2, most // 4 * 3 // NUMBER.size)
    # whole groups of three bytes, so that the beginning of the text is that of the bytes
    plain = base64.b64decode(encoded[: -(-kept * NUMBER.size // 3) * 4])
    return base64.b64encode(plain[: kept * NUMBER.size]).decode()


def open_seen(post_key: bytes, sealed: bytes) -> tuple[int, U64]:
    """How many tags a sample had, and those that are kept, sorted; the inverse of `seal_seen`.

    Raises:
        WireError: it was sealed with another key, or is damaged.
    """
    import numpy as np

    try:
        plain = ChaCha20Poly1305(post_subkey(post_key, _LABEL)).decrypt(
            sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _LABEL
        )
    except (InvalidTag, ValueError) as error:
        raise WireError(
            "the values of an earlier sample cannot be opened", hint="was the match key replaced? run: tocsin doctor"
        ) from error
    (total,) = NUMBER.unpack_from(plain)
    return total, np.frombuffer(plain, "<u8", offset=NUMBER.size)
