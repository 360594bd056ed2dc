"""An answer that did not arrive whole is never taken for the whole: its post stays due, and a listing fails the crawl."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
import zstandard

from data.model import EventKind
from tests.scheduler.crawls.conftest import kinds

pytestmark = [pytest.mark.slow, pytest.mark.servers]

Answer = tuple[int, dict[str, str], bytes]


def _encoded(name: str, body: bytes) -> Answer:
    return 200, {"Content-Encoding": name}, body


def _part(body: bytes, first: int, last: int, **headers: str) -> Answer:
    return 206, {"Content-Range": f"bytes {first}-{last}/{len(body)}", **headers}, body[first : last + 1]


def _flushed(body: bytes) -> bytes:
    """The first half of a body, cut where the compressor was flushed."""
    compressor = zlib.compressobj(wbits=31)
    return compressor.compress(body[: len(body) // 2]) + compressor.flush(zlib.Z_SYNC_FLUSH)


def damaged(body: bytes) -> dict[str, Answer]:
    """Answers that hold a part of a body, or do not say what they hold."""
    middle = len(body) // 2
    packed = gzip.compress(body, mtime=0)
    return {
        "gzip-cut": _encoded("gzip", packed[: len(packed) // 2]),
        "gzip-flushed": _encoded("gzip", _flushed(body)),
        "gzip-checksum": _encoded("gzip", packed[:-8] + bytes(8)),
        "gzip-followed": _encoded("gzip", gzip.compress(body[:middle], mtime=0) + body[middle:]),
        "deflate-followed": _encoded("deflate", zlib.compress(body[:middle]) + body[middle:]),
        "brotli-cut": _encoded("br", brotli.compress(body)[:-5]),
        "zstd-cut": _encoded("zstd", zstandard.compress(body)[:-5]),
        "unknown": _encoded("x-foo", bytes(byte ^ 17 for byte in body)),
        "not-compressed": _encoded("gzip", body),
        "beginning": _part(body, 0, middle),
        "end": _part(body, middle, len(body) - 1),
        "no-range": (206, {}, body[:middle]),
    }


def whole(body: bytes) -> dict[str, Answer]:
    """Unusual answers that hold all of a body."""
    return {
        "gzip": _encoded("gzip", gzip.compress(body, mtime=0)),
        "gzip-members": _encoded("gzip", gzip.compress(body[:9], mtime=0) + gzip.compress(body[9:], mtime=0)),
        "gzip-padded": _encoded("gzip", gzip.compress(body, mtime=0) + bytes(512)),
        "brotli-deflate": _encoded("deflate, br", brotli.compress(zlib.compress(body))),
        "zstd": _encoded("zstd", zstandard.compress(body)),
        "all-in-a-range": _part(body, 0, len(body) - 1),
        "empty": _encoded("gzip", b""),
    }


def test_a_post_whose_answer_is_damaged_is_not_examined_and_stays_due(crawl, site):
    body = b"".join(b"line %d of a harmless text\n" % number for number in range(400))
    wrong, right = damaged(body), whole(body)
    site.pages = {1: [*wrong, *right]}
    site.answers = {f"/post/{name}": answer for name, answer in (wrong | right).items()}
    result = crawl()
    assert result.examined == len(right)
    assert len(crawl.store.posts.due("site")) == len(wrong)
    assert EventKind.UNEXAMINED in kinds(crawl.store)


@pytest.mark.parametrize("name", ["gzip-cut", "gzip-followed", "brotli-cut", "unknown", "beginning", "no-range"])
def test_a_listing_that_is_damaged_fails_the_crawl(crawl, site, name):
    rows = "".join(f'<li><a href="/post/{each}">post</a></li>' for each in range(60))
    site.answers = {"/?page=1": damaged(f"<html><body><ul>{rows}</ul></body></html>".encode())[name]}
    site.answers["/?page=1"][1]["Content-Type"] = "text/html"
    result = crawl()
    assert result.state == "failed"
    assert crawl.store.crawls.latest()[0]["counts"]["code"] in {"cut", "encoding"}


def test_answers_without_a_length_that_end_with_the_connection_are_whole(crawl, site):
    rows = "<html><body><ul><li><a href='/post/one'>post</a></li></ul></body></html>"
    site.answers = {
        "/?page=1": (200, {"Content-Type": "text/html", "Content-Length": ""}, rows.encode()),
        "/post/one": (200, {"Content-Type": "text/plain", "Content-Length": ""}, b"nothing of note"),
    }
    result = crawl()
    assert (result.state, result.examined, crawl.store.posts.due("site")) == ("done", 1, [])
