"""Keys of a case: the match key and the enrolment key, their key files, and the keys derived from them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate, pairwise

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from data.errors import KeyFileError
from data.hashing.chain_keys import ChainKey, ChainKeys
from data.locked_memory import LockedBytes, protect


@lru_cache(maxsize=16)
def post_subkey(post_key: bytes, purpose: bytes) -> bytes:
    """A key of 32 bytes, derived from the post key, for one purpose only."""
    return HKDF(SHA256(), 32, salt=None, info=b"tocsin post " + purpose).derive(post_key)


def keyed_digest(post_key: bytes, purpose: bytes, value: bytes) -> str:
    """The digest of a value under the post key, 32 hex digits; digests for different purposes cannot be compared."""
    return hmac.new(post_subkey(post_key, purpose), value, hashlib.sha256).hexdigest()[:32]


MATCH_KEY_LINE = "tocsin-match-key-1"
ENROL_KEY_LINE = "tocsin-enrol-key-1"
WORK_KEYS_LINE = "tocsin-work-keys-1"
_WORK_SIZES = (16, 32, 32, 32, 8)
_ENROL_SIZES = {"probe": 16, "confirm": 32, "bundle": 32}


@dataclass(frozen=True, slots=True)
class EnrolKeys:
    """The keys that a client needs to make tags of one case; no tag can be read with them and no evidence opened."""

    case: str
    probe: bytes = field(repr=False)
    confirm: bytes = field(repr=False)
    bundle: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of one case.

    Attributes:
        probe: 16 bytes, for probe tags.
        confirm: 32 bytes, for confirm digests.
        bundle: 32 bytes, for bundles of tags.
        post: 32 bytes, for ids and versions of posts.
        case: id of the case, 16 hex digits, safe to print.
    """

    probe: bytes = field(repr=False)
    confirm: bytes = field(repr=False)
    bundle: bytes = field(repr=False)
    post: bytes = field(repr=False)
    case: str

    def protect(self) -> bool:
        """Keep these keys out of swap and core dumps, as far as Python's objects allow; see `data.locked_memory`."""
        return protect((self.probe, self.confirm, self.bundle, self.post))

    @property
    def enrol(self) -> EnrolKeys:
        """The keys that clients may hold."""
        return EnrolKeys(self.case, self.probe, self.confirm, self.bundle)


@dataclass(frozen=True, slots=True)
class MatchKey:
    """The 32 secret bytes from which all keys of one case, and so all its tags, are derived."""

    secret: bytes | LockedBytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != 32:
            raise KeyFileError(
                f"a match key must have 32 bytes, but this one has {len(self.secret)}",
                hint="restore the key file from its backup",
            )

    def derive(self) -> Keys:
        """The keys of the case, each derived by HKDF-SHA-256 under a label of its own."""
        return Keys(
            probe=self._expand(b"probe", 16),
            confirm=self._expand(b"confirm", 32),
            bundle=self._expand(b"bundle", 32),
            post=self._expand(b"post", 32),
            case=self._expand(b"case", 8).hex(),
        )

    def chain_keys(self) -> ChainKeys:
        """The first keys of the evidence chain and the audit chain, derived in the same way."""
        return ChainKeys(ChainKey(self._expand(b"evidence chain", 32)), ChainKey(self._expand(b"audit chain", 32)))

    def _expand(self, label: bytes, length: int) -> bytes:
        return HKDF(hashes.SHA256(), length, salt=b"tocsin match key 1", info=label).derive(
            self.secret if isinstance(self.secret, bytes) else self.secret.view
        )


def format_match_key(key: MatchKey) -> str:
    """The one line of a match key file."""
    secret = key.secret if isinstance(key.secret, bytes) else key.secret.view
    return f"{MATCH_KEY_LINE} {base64.b64encode(secret).decode()}\n"


def parse_match_key(text: str | LockedBytes) -> MatchKey:
    """Read a match key file, the inverse of `format_match_key`; raises KeyFileError, which never shows the key.

    The key stays in locked memory; copies that are needed on the way are overwritten.
    """
    words = [memoryview(word.encode()) for word in text.split()] if isinstance(text, str) else _words(text.view)
    if not words:
        raise KeyFileError("the match key file is empty", hint="restore keys/match.key from its backup")
    if words[0] == ENROL_KEY_LINE.encode():
        raise KeyFileError("this is an enrolment key, not a match key", hint="use keys/match.key of the home folder")
    if len(words) != 2 or words[0] != MATCH_KEY_LINE.encode():
        raise KeyFileError(
            f"this is not a match key file: it must be one line that begins with {MATCH_KEY_LINE}",
            hint="restore keys/match.key from its backup",
        )
    try:
        return MatchKey(LockedBytes.take(binascii.a2b_base64(words[1], strict_mode=True)))
    except (binascii.Error, ValueError):
        # The original error is dropped: its text adds nothing.
        raise KeyFileError("the match key is not base64", hint="restore the file from its backup") from None


def format_work_keys(keys: Keys) -> str:
    """The keys of a case without the match key that they were derived from: what a worker of a cluster needs."""
    parts = (keys.probe, keys.confirm, keys.bundle, keys.post, bytes.fromhex(keys.case))
    return f"{WORK_KEYS_LINE} {base64.b64encode(b''.join(parts)).decode()}\n"


def parse_keys(text: str | LockedBytes) -> tuple[Keys, ChainKeys | None]:
    """All keys from the text of a match key file, or from `format_work_keys`, which gives no keys of chains.

    Raises:
        KeyFileError: as `parse_match_key`.
    """
    words = [memoryview(word.encode()) for word in text.split()] if isinstance(text, str) else _words(text.view)
    if not words or words[0] != WORK_KEYS_LINE.encode():
        match_key = parse_match_key(text)
        return match_key.derive(), match_key.chain_keys()
    try:
        secret = (
            LockedBytes.take(binascii.a2b_base64(words[1], strict_mode=True)) if len(words) == 2 else LockedBytes(1)
        )
    except (binascii.Error, ValueError):
        secret = LockedBytes(1)
    if len(secret.view) != sum(_WORK_SIZES):
        raise KeyFileError("the keys for this worker are damaged", hint="start the scan again")
    ends = list(accumulate(_WORK_SIZES, initial=0))
    probe, confirm, bundle, post, case = (bytes(secret.view[start:end]) for start, end in pairwise(ends))
    return Keys(probe, confirm, bundle, post, case.hex()), None


def _words(view: memoryview) -> list[memoryview]:
    """The parts of a text between white space, as views of the same memory."""
    words, start = [], -1
    for place, byte in enumerate([*view, 0x20]):
        if byte in b" \t\r\n\v\f":
            if start >= 0:
                words.append(view[start:place])
            start = -1
        elif start < 0:
            start = place
    return words


def format_enrol_key(keys: Keys | EnrolKeys) -> str:
    """The text of an enrolment key file; its last line is a checksum that detects damage."""
    lines = [ENROL_KEY_LINE, f"case={keys.case}"]
    lines += [f"{name}={base64.b64encode(getattr(keys, name)).decode()}" for name in _ENROL_SIZES]
    return "\n".join([*lines, f"check={_check(lines, keys.bundle)}"]) + "\n"


def parse_enrol_key(text: str) -> EnrolKeys:
    """Read an enrolment key file, the inverse of `format_enrol_key`; raises KeyFileError, which never shows a key."""
    hint = "ask the team that runs the monitor for a fresh copy of enrol.key"
    lines = text.split()
    if not lines or lines[0] != ENROL_KEY_LINE:
        if text.startswith(MATCH_KEY_LINE):
            raise KeyFileError(
                "this is the match key itself, which must never leave the monitor", hint="use keys/enrol.key instead"
            )
        raise KeyFileError(f"this is not an enrolment key: its first line must be {ENROL_KEY_LINE}", hint=hint)
    values = dict(line.partition("=")[::2] for line in lines[1:])
    if list(values) != ["case", *_ENROL_SIZES, "check"] or len(values) != len(lines) - 1:
        raise KeyFileError("the enrolment key has missing or extra lines", hint=hint)
    keys = {name: _decode(values[name], f"the line {name} of the enrolment key") for name in _ENROL_SIZES}
    if not hmac.compare_digest(_check(lines[:-1], keys["bundle"]).encode(), values["check"].encode()):
        raise KeyFileError("the enrolment key is damaged: its check line does not match", hint=hint)
    if any(len(keys[name]) != size for name, size in _ENROL_SIZES.items()):
        raise KeyFileError("the enrolment key contains a key of the wrong length", hint=hint)
    return EnrolKeys(values["case"], **keys)


def _check(lines: Sequence[str], bundle: bytes) -> str:
    return hmac.digest(bundle, "\n".join(lines).encode(), "sha256")[:16].hex()


def _decode(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        # The original error is dropped: its text adds nothing.
        raise KeyFileError(f"{what} is not base64", hint="restore the file from its backup") from None
