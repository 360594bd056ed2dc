"""Encrypted pastes: real ones are opened, wrong keys and unreasonable demands are told, files and comments are read."""

import base64
import hashlib
import json
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crawler.pages.encrypted_pastes import LockedError, open_privatebin, open_zerobin
from crawler.pages.originals import is_whole, would_burn
from data.model import Post
from data.sources.source_files import parse_source
from scheduler.crawls.definitions import complete_definition

SAMPLES = Path(__file__).parents[2] / "samples" / "platforms"
KEY = "6yHW2gajTkibPgdmmSkiMprG7QXy3ghJQe4uq29rp8zC"
PASTE = (SAMPLES / "privatebin" / "paste.json").read_bytes()
# "1" is the digit 0 of base58: this is the number 33
SHORT_KEY, SHORT_BYTES = "a", (33).to_bytes(32, "big")


def sealed(plain: dict, *, comment: bool = False, iterations: int = 1000, data: bytes | None = None) -> dict:
    """A text as PrivateBin's script writes it; `data` replaces the deflated text."""
    salt, iv = bytes(8), bytes(16)
    spec = [base64.b64encode(iv).decode(), base64.b64encode(salt).decode(), iterations, 256, 128, "aes", "gcm", "zlib"]
    adata = spec if comment else [spec, "plaintext", 1, 0]
    packer = zlib.compressobj(wbits=-15)
    packed = data if data is not None else packer.compress(json.dumps(plain).encode()) + packer.flush()
    key = hashlib.pbkdf2_hmac("sha256", SHORT_BYTES, salt, iterations, 32)
    ct = AESGCM(key).encrypt(iv, packed, json.dumps(adata, separators=(",", ":")).encode())
    return {"v": 2, "adata": adata, "ct": base64.b64encode(ct).decode()}


def test_files_and_comments_of_a_paste_are_samples_of_their_own():
    answer = sealed(
        {"paste": "a;é", "attachment": ["data:text/csv;base64,YjtjCg==", "data:,d%3Be"], "attachment_name": ["p.csv"]}
    )
    broken = sealed({"comment": "x"}, comment=True) | {"ct": base64.b64encode(bytes(40)).decode()}
    dear = sealed({"comment": "y"}, comment=True)
    dear["adata"][2] = 3_000_000
    answer["comments"] = [sealed({"comment": "DUPONT;Zoé"}, comment=True), broken, dear]
    opened = open_privatebin(json.dumps(answer).encode(), SHORT_KEY)
    assert opened.samples == (
        ("paste", "a;é".encode()),
        ("p.csv", b"b;c\n"),
        ("attachment", b"d;e"),
        ("comments", "DUPONT;Zoé".encode()),
    )
    assert opened.comments_left == 2
    assert "DUPONT" not in repr(opened)


def test_no_comment_raises_the_budget_of_work_or_uses_up_that_of_others(monkeypatch):
    derive, asked = hashlib.pbkdf2_hmac, []

    def counted(name: str, secret: bytes, salt: bytes, iterations: int, size: int) -> bytes:
        asked.append(iterations)
        return derive(name, secret, salt, 1, size)

    answer = sealed({"paste": "a"}, iterations=1)
    answer["comments"] = [sealed({"comment": "x"}, comment=True) for _ in range(20)]
    for comment, iterations in zip(answer["comments"], [-(10**15), 0, 3_000_000] + [2_000_000] * 17, strict=True):
        comment["adata"][2] = iterations
    monkeypatch.setattr(hashlib, "pbkdf2_hmac", counted)
    assert open_privatebin(json.dumps(answer).encode(), SHORT_KEY).comments_left == 20
    # the paste itself, and of its comments as many as the budget allows
    assert asked == [1] + [2_000_000] * 5


BOMB = zlib.compressobj(wbits=-15)
BOMB_DATA = BOMB.compress(bytes(65 * 2**20)) + BOMB.flush()


@pytest.mark.parametrize(
    ("body", "key", "code", "says"),
    [
        (PASTE, "", "locked", "has no key"),
        (PASTE, "0OIl", "locked", "base58"),
        (PASTE, KEY[:-1], "locked", "does not open"),
        (PASTE.replace(b"100000,", b"100001,"), KEY, "locked", "does not open"),
        (PASTE.replace(b"100000,", b"9000000,"), KEY, "locked", "more work"),
        (PASTE.replace(b'"v":2', b'"v":1'), KEY, "locked", "version"),
        (PASTE.replace(b'"gcm"', b'"ctr"'), KEY, "locked", "way that is not known"),
        (b'{"v": 2, "adata": [], "ct": ""}', KEY, "locked", "PrivateBin writes it"),
        (b"<html>", KEY, "locked", "JSON"),
        pytest.param(
            json.dumps(sealed({}, data=BOMB_DATA)).encode(), SHORT_KEY, "too_large", "larger", marks=pytest.mark.slow
        ),
        (json.dumps(sealed({}, data=b"\xff\xff")).encode(), SHORT_KEY, "locked", "inflated"),
    ],
)
def test_what_cannot_be_opened_says_why(body, key, code, says):
    with pytest.raises(LockedError, match=says) as caught:
        open_privatebin(body, key)
    assert caught.value.code == code


@pytest.mark.parametrize(("key", "says"), [("", "has no key"), ("kEy-123+abd", "does not open")])
def test_a_paste_of_0bin_needs_its_key(key, says):
    with pytest.raises(LockedError, match=says):
        open_zerobin((SAMPLES / "zerobin" / "paste.html").read_bytes(), key)


def test_a_paste_that_burns_is_left_alone_unless_its_source_allows_it():
    lines = "name: b\nplatform: privatebin\nurl: https://bin.example/\n"
    definition = complete_definition(parse_source(lines, "b.yaml"))
    allowed = complete_definition(parse_source(lines + "raw: {burn: true}\n", "b.yaml"))
    burning, other = (Post("b", "1", f"https://bin.example/?2c3419e2d47aeca0#{key}") for key in (f"-{KEY}", KEY))
    assert (would_burn(definition, burning), would_burn(definition, other), would_burn(allowed, burning)) == (
        True,
        False,
        False,
    )


def test_a_row_is_the_whole_post_where_the_platform_says_so_and_a_link_never_is():
    telegram = complete_definition(
        parse_source("name: t\nplatform: telegram\nurl: https://t.me/s/channel_name\n", "t.yaml")
    )
    page = "https://t.me/s/channel_name"
    assert is_whole(telegram, Post("t", "7", "https://t.me/channel_name/7", time="2026-11-28T10:00:00Z"))
    assert not is_whole(telegram, Post("t", "7", "https://t.me/channel_name/7"))
    cards = complete_definition(parse_source("name: c\nplatform: leak_cards\nurl: https://leaks.example/\n", "c.yaml"))
    assert is_whole(cards, Post("c", "x", page, body="text"), {page})
    assert not is_whole(cards, Post("c", "x", "https://leaks.example/v/1", body="text"), {page})
