"""Ids of posts, due posts sealed for storage, and addresses that may be shown: pure functions with the post key.

A post is *due* from when its listing row is stored until its findings are. Which posts a listing contains is found by
`crawler.pages.extract`, their versions are computed by `crawler.pages.post_fields`, and the store keeps them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from data.errors import WireError
from data.hashing.case_keys import keyed_digest, post_subkey
from data.identifiers.normalise import fold
from data.model import Post
from data.sources.definition import Definition

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
_NUMBER = re.compile(r"\d{1,8}")
# One piece of an id that software composes of words and numbers: `41.msg123`, `thread-12-page-2`, `p7`.
_PIECE = re.compile(r"([a-z]{0,12}?)(\d{0,8})")
_BEFORE_NUMBERS = frozenset(["aid", "fid", "m", "mid", "msg", "pid", "post", "t", "tid", "topic"])
# A number that may be a date of birth: eight digits with the year first or last, or six with the year or the day first.
_DAY, _MONTH = r"(?:0[1-9]|[12]\d|3[01])", r"(?:0[1-9]|1[0-2])"
_BIRTHDAY = re.compile(
    rf"(?:19|20)\d\d{_MONTH}{_DAY}|{_DAY}{_MONTH}(?:19|20)\d\d|\d\d{_MONTH}{_DAY}|{_DAY}{_MONTH}\d\d"
)
# Digits that all readable numbers of an address may have together, and those beside the site's own id of the post:
# a telephone number or a date of birth may be divided over the segments of a path.
MAX_DIGITS, MAX_OTHER_DIGITS = 8, 5
_VERSION_WORD = re.compile(r"v\d{1,2}")
_PARAMETER = re.compile(r"[a-z]")
_PARAMETER_WORDS = frozenset(
    [
        "act",
        "action",
        "aid",
        "cat",
        "cid",
        "cursor",
        "date",
        "do",
        "fid",
        "file",
        "format",
        "gid",
        "hash",
        "lang",
        "limit",
        "mid",
        "mode",
        "month",
        "name",
        "nid",
        "off",
        "offset",
        "order",
        "page",
        "path",
        "pid",
        "post_id",
        "query",
        "sa",
        "since",
        "sort",
        "sortby",
        "st",
        "start",
        "thread_id",
        "tid",
        "time",
        "to",
        "topic_id",
        "type",
        "uid",
        "url",
        "year",
    ]
)
_HOST = re.compile(r"[a-z0-9.:\[\]-]{1,255}")
_KEYED = re.compile(r"\[(?:[0-9a-f]{6}|…)\]")
_MASKED = re.compile(r"https?://(\[[^/?#\]]{1,60}\]|[a-z0-9.-]{1,255})(?::\d{1,5})?((?:[/?][!-~…]*)?)")


def operator_words(definition: Definition) -> frozenset[str]:
    """Path segments and parameter values of the source file: the operator wrote them, so they may be shown."""
    words: set[str] = set()
    for url in (definition.url, definition.list.url, *definition.also):
        split = urlsplit(url)
        words.update(part for part in split.path.split("/") if part)
        words.update(value for _, value in parse_qsl(split.query))
    return frozenset(words)


def post_id(post_key: bytes, source: str, native: str) -> str:
    """The id of a post: 32 hex digits, keyed, of its source and of the id that the site gives it."""
    return keyed_digest(post_key, b"id", orjson.dumps([source, native]))


def part_version(post_key: bytes, text: str) -> str:
    """The version of one part of a post: a keyed digest of its letters and digits, which feed and page have alike."""
    return keyed_digest(post_key, b"part", "".join(filter(str.isalnum, fold(text))).encode("utf-8", "replace"))


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


MAX_RULES = 2**20
"""Bytes of JSON of the robots.txt files of a source that are kept for its next crawl."""


def seal_rules(post_key: bytes, rules: Mapping[str, tuple[int, str]]) -> bytes:
    """Seal the robots.txt files of a source, so that the runner can keep them for the next crawl.

    Files that exceed `MAX_RULES` together are left out, the largest first: the next crawl requests them again.
    """
    kept: dict[str, tuple[int, str]] = {}
    left = MAX_RULES
    for size, origin in sorted((len(orjson.dumps({origin: rules[origin]})), origin) for origin in rules):
        left -= size
        if left < 0:
            break
        kept[origin] = rules[origin]
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + ChaCha20Poly1305(post_subkey(post_key, b"robots")).encrypt(nonce, orjson.dumps(kept), b"robots")


def open_rules(post_key: bytes, sealed: bytes) -> dict[str, tuple[int, str]]:
    """The inverse of `seal_rules`; raises WireError as `open_due`."""
    try:
        plain = ChaCha20Poly1305(post_subkey(post_key, b"robots")).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], b"robots"
        )
        return {str(origin): (int(at), str(text)) for origin, (at, text) in orjson.loads(plain).items()}
    except (InvalidTag, ValueError, TypeError, AttributeError) as error:
        raise WireError("rules of robots.txt cannot be opened", hint="was the match key replaced?") from error


def host_id(post_key: bytes, host: str) -> str:
    """The id of a host to which posts link: 32 hex digits, keyed."""
    return keyed_digest(post_key, b"host", host.encode("utf-8", "replace"))


def seal_host(post_key: bytes, host: str) -> bytes:
    """Seal the name of a host to which posts link, so that the operator can be told it."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + ChaCha20Poly1305(post_subkey(post_key, b"host")).encrypt(nonce, host.encode(), b"host")


def open_host(post_key: bytes, sealed: bytes) -> str:
    """The inverse of `seal_host`; raises WireError as `open_due`."""
    try:
        plain = ChaCha20Poly1305(post_subkey(post_key, b"host")).decrypt(
            sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], b"host"
        )
        return plain.decode()
    except (InvalidTag, ValueError) as error:
        raise WireError("the name of a host cannot be opened", hint="was the match key replaced?") from error


@dataclass(frozen=True, slots=True)
class AddressMask:
    """Masks the addresses of the posts of one source, so that they can be stored and shown.

    Attributes:
        post_key: for the keyed ids; b"" for `[…]` instead of them.
        hosts: host names that the source declares; None if all hosts may be shown.
        known: path segments and parameter values that the operator wrote into the source file.
    """

    post_key: bytes = field(default=b"", repr=False)
    hosts: Collection[str] | None = None
    known: Collection[str] = ()

    def mask(self, url: str, native: str = "") -> str:
        """An address that a person can recognise, without any data about other persons.

        User, password and fragment are removed. Kept are a declared host and the port, words of site software, values
        in `known`, and small numbers: the id that the site itself gives the post, of up to 8 digits, and other numbers
        of up to 5 digits together, unless they look like a date of birth. Everything else, after decoding %XX, becomes
        a short keyed id that tells two addresses apart; a file keeps its extension.

        Args:
            url: http or https.
            native: the id that the site gives the post, '' if it gives none.

        Returns:
            At most 300 characters, printable ASCII and `…`.
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower(), parts.port
            pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=None)
        except ValueError:
            return MASK
        if parts.scheme.lower() not in {"http", "https"} or not host.isascii() or not _HOST.fullmatch(host):
            return MASK
        segments = parts.path.split("/")
        numbers = self._readable_numbers([*segments, *(value for _, value in pairs)], native)
        path = "/".join(self._segment(segment, numbers) for segment in segments)
        query = "&".join(
            f"{name if _is_parameter(name) else MASK}={self._segment(value, numbers)}" if value else MASK
            for name, value in pairs
        )
        place = f"{self.host(host)}{f':{port}' if port else ''}{path}{'?' + query if query else ''}"
        whole = f"{parts.scheme.lower()}://{place}"
        if len(whole) <= MAX_ADDRESS:
            return whole
        # no value is cut in the middle, so that every value is still seen to be masked
        end = max(whole.rfind(separator, 0, MAX_ADDRESS - 1) for separator in "/?&=")
        return whole[: end + 1] + "…"

    def host(self, host: str) -> str:
        """A declared host as it is, any other as a keyed id: names of hosts can be names of people."""
        if self.hosts is not None and host not in self.hosts:
            return self._short(host)
        return f"[{host}]" if ":" in host else host

    def is_masked(self, address: str) -> bool:
        """Whether an address, as another process sent it, holds nothing that this mask would hide."""
        match = _MASKED.fullmatch(address)
        if address in {"", MASK} or match is None:
            return address in {"", MASK}
        host, tail = match[1], match[2]
        if not (_KEYED.fullmatch(host) or self.hosts is None or host.strip("[]") in self.hosts):
            return False
        path, _, query = tail.partition("?")
        pairs = [pair.partition("=")[::2] for pair in query.split("&")] if query else []
        values = [*path.split("/"), *(value for _, value in pairs)]
        stems = [_split(value)[0] for value in values if value not in self.known]
        digits = sum(len(number) for stem in stems for number in _numbers_in(stem))
        names = all(name == MASK or _is_parameter(name) for name, _ in pairs)
        return digits <= MAX_DIGITS and names and all(self._is_masked_value(value) for value in values)

    def _is_masked_value(self, value: str) -> bool:
        stem, dot, extension = value.rpartition(".")
        if not dot or extension not in EXTENSIONS:
            stem = value
        return (
            stem in {"", "…"}
            or value in self.known
            or bool(_KEYED.fullmatch(stem))
            or _is_route_word(stem)
            or bool(_numbers_in(stem))
        )

    def _readable_numbers(self, texts: Collection[str], native: str) -> frozenset[str]:
        """The numbers of an address that may be shown: together they are too short to identify a person."""
        stems = [stem for text in texts if (stem := _split(_decoded(text))[0]) not in self.known]
        found = [number for stem in stems for number in _numbers_in(stem)]
        ids = _numbers_in(native)[:1]
        own = [number for number in found if number in ids and (len(number) < 8 or not _BIRTHDAY.fullmatch(number))]
        others = [number for number in found if number not in ids]
        length = sum(map(len, others))
        together = "".join(others)
        is_short = length <= MAX_OTHER_DIGITS and length + sum(map(len, own)) <= MAX_DIGITS
        is_single = len(others) == 1 and not own and length <= MAX_DIGITS
        if (is_short or is_single) and not _BIRTHDAY.fullmatch(together):
            own += others
        return frozenset(own if sum(map(len, own)) <= MAX_DIGITS else own[:1])

    def _segment(self, text: str, numbers: frozenset[str]) -> str:
        plain = _decoded(text)
        if not plain:
            return text and MASK
        if plain in self.known and plain.isascii() and plain.isprintable() and not set("/?&=# ") & set(plain):
            return plain
        stem, dot, extension = _split(plain)
        if _is_route_word(stem) or ((inside := _numbers_in(stem)) and numbers >= set(inside)):
            return stem + dot + extension.lower()
        return self._short(plain) + dot + extension.lower()

    def _short(self, text: str) -> str:
        digest = keyed_digest(self.post_key, b"address", text.encode("utf-8", "replace")) if self.post_key else ""
        return f"[{digest[:6]}]" if digest else MASK


def _decoded(text: str) -> str:
    for _ in range(3):
        text = unquote(text)
    return text


def _split(plain: str) -> tuple[str, str, str]:
    """Stem, dot and extension of a file name; all of it is the stem if the extension is not a usual one."""
    stem, dot, extension = plain.rpartition(".")
    return (stem, dot, extension) if dot and extension.lower() in EXTENSIONS else (plain, "", "")


def _numbers_in(text: str) -> list[str]:
    """The numbers of an id that is composed of them and of words of site software; [] if anything else is in it."""
    numbers = []
    for piece in re.split(r"[._-]", text):
        match = _PIECE.fullmatch(piece)
        if match is None or not piece:
            return []
        word, number = match.groups()
        if word and word not in ROUTE_WORDS and not (number and word in _BEFORE_NUMBERS):
            return []
        numbers += [number] if number else []
    return numbers


def _is_parameter(name: str) -> bool:
    return bool(_PARAMETER.fullmatch(name)) or name in ROUTE_WORDS or name in _PARAMETER_WORDS


def _is_route_word(text: str) -> bool:
    return text.lower() in ROUTE_WORDS or bool(_VERSION_WORD.fullmatch(text))
