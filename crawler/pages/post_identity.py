"""Ids of posts, due posts sealed for storage, and addresses that may be shown: pure functions with the post key.

A post is *due* from when its listing row is stored until its findings are. Which posts a listing contains is found by
`crawler.pages.extract`, their versions are computed by `crawler.pages.post_fields`, and the store keeps them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from data.errors import WireError
from data.hashing.case_keys import keyed_digest, post_subkey
from data.model import Post

NONCE_BYTES = 12
MAX_ADDRESS = 300
MASK = "[…]"

# Words that site software uses in addresses. Anything else in a path may be the name of a person or of a file about a
# person ("DUPONT_Jean_1975.txt", "/threads/jean-dupont.12/"), so it is masked.
_ROUTE_WORDS = """
api archive archives attachment attachments author blog board boards c categories category comments content data
details download downloads en entries entry feed feeds file files forum forumdisplay forums fr get home html id
index item items json latest leak leaks link list listing members message messages news node p page pages paste
pastes php plain post posts pub public r raw read recent release releases rss search show showthread static t tag
tags thread threads topic topics txt u upload uploads user users v victim victims view viewforum viewtopic xml
"""
_EXTENSIONS = """
7z asp aspx bz2 cgi csv db doc docx eml gz htm html json jsonl jsp lst mdb md ndjson parquet pdf php pl rar rss sql
sqlite tar tgz tsv txt xls xlsx xml xz zip zst
"""
ROUTE_WORDS = frozenset(_ROUTE_WORDS.split())
EXTENSIONS = frozenset(_EXTENSIONS.split())
_SMALL_NUMBER = re.compile(r"\d{1,8}")
# eight digits that may be a person's date of birth, with the year first or last
_BIRTHDAY = re.compile(
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])|(?:[0-2]\d|3[01])(?:0[1-9]|1[0-2])(?:19|20)\d\d"
)
# a generated slug mixes letters and digits and has no four letters in a row, so that it cannot contain a name
_SLUG = re.compile(r"(?=.*[A-Za-z])(?=.*\d)(?!.*[A-Za-z]{4})(?!.*\d{7})[A-Za-z0-9_-]{1,16}")
_VERSION_WORD = re.compile(r"v\d{1,2}")
_PARAMETER = re.compile(r"[a-z]{1,3}")
_PARAMETER_WORDS = frozenset(
    [
        "action",
        "cursor",
        "date",
        "file",
        "format",
        "hash",
        "lang",
        "limit",
        "mode",
        "month",
        "name",
        "offset",
        "order",
        "page",
        "path",
        "post_id",
        "query",
        "sort",
        "sortby",
        "start",
        "since",
        "thread_id",
        "time",
        "topic_id",
        "type",
        "year",
    ]
)
_HOST = re.compile(r"[a-z0-9.:\[\]-]{1,255}")


def post_id(post_key: bytes, source: str, native: str) -> str:
    """The id of a post: 32 hex digits, keyed, of its source and of the id that the site gives it."""
    return keyed_digest(post_key, b"id", orjson.dumps([source, native]))


def origin_of(url: str) -> str:
    """Scheme and host of an address as written there; a NUL if it has none."""
    match = re.match(r"https?://[^/?#]*", url, re.IGNORECASE)
    return match[0] if match else "\0"


def seal_due(post_key: bytes, post: Post) -> bytes:
    """Seal a post so that it can be stored and fetched again after a crash: nonce and ChaCha20-Poly1305 of its JSON."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + ChaCha20Poly1305(post_subkey(post_key, b"due")).encrypt(nonce, orjson.dumps(post.to_json()), b"due")


def open_due(post_key: bytes, sealed: bytes) -> Post:
    """The inverse of `seal_due`.

    Raises:
        WireError: it was sealed with another key, or is damaged.
    """
    try:
        plain = ChaCha20Poly1305(post_subkey(post_key, b"due")).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], b"due"
        )
    except (InvalidTag, ValueError) as error:
        raise WireError("a due post cannot be opened", hint="was the match key replaced? run: tocsin doctor") from error
    return Post.from_json(orjson.loads(plain))


def mask_address(url: str, post_key: bytes = b"", known: Collection[str] = ()) -> str:
    """An address that a person can recognise, without any data about other persons.

    Host and port are kept; user, password and fragment are removed. Of path and query are kept: words of site software
    (for names of parameters also any word of up to 3 letters), numbers of up to 8 digits that are not a date, generated
    slugs of up to 16 characters, and the values in `known`. Everything else, after decoding %XX, becomes `[…]`, or with
    the post key a short keyed id that tells two addresses apart; a file keeps its extension.

    Args:
        url: http or https.
        post_key: for the keyed ids.
        known: path segments and parameter values that the operator wrote into the source file.

    Returns:
        At most 300 characters, printable ASCII and `…`.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return MASK
    if parts.scheme.lower() not in {"http", "https"} or not host.isascii() or not _HOST.fullmatch(host):
        return MASK
    host = f"[{host}]" if ":" in host else host
    path = "/".join(_mask(segment, post_key, known) for segment in parts.path.split("/"))
    query = "&".join(
        f"{name if _is_parameter(name) else MASK}={_mask(value, post_key, known)}" if value else MASK
        for name, value in parse_qsl(parts.query, keep_blank_values=True, max_num_fields=None)
    )
    whole = f"{parts.scheme.lower()}://{host}{f':{port}' if port else ''}{path}{'?' + query if query else ''}"
    return whole if len(whole) <= MAX_ADDRESS else whole[: MAX_ADDRESS - 1] + "…"


def _mask(text: str, post_key: bytes, known: Collection[str]) -> str:
    plain = text
    for _ in range(3):
        plain = unquote(plain)
    if not plain:
        return text and MASK
    if plain in known and plain.isascii() and plain.isprintable() and "/" not in plain:
        return plain
    stem, dot, extension = plain.rpartition(".")
    if not dot or extension.lower() not in EXTENSIONS:
        stem, dot, extension = plain, "", ""
    return (stem if _harmless(stem) else _short(plain, post_key)) + dot + extension.lower()


def _is_parameter(name: str) -> bool:
    return bool(_PARAMETER.fullmatch(name)) or name in ROUTE_WORDS or name in _PARAMETER_WORDS


def _harmless(text: str) -> bool:
    if _SMALL_NUMBER.fullmatch(text):
        return not _BIRTHDAY.fullmatch(text)
    return text.lower() in ROUTE_WORDS or bool(_VERSION_WORD.fullmatch(text) or _SLUG.fullmatch(text))


def _short(text: str, post_key: bytes) -> str:
    return f"[{keyed_digest(post_key, b'address', text.encode())[:6]}]" if post_key else MASK
