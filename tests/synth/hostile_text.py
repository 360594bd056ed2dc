"""Hostile pages, mail and mailboxes; each has the canary outside of the damaged part. They are made as in `hostile`."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable

from crawler.readers.core.limits import Limits
from tests.synth.hostile import CANARY, Hostile, make_zip

_HIDDEN = CANARY.replace("@", "&#64;").replace("z", "&#x7a;")
_ROW = f"<table><tr><td>Dupont</td><td>{_HIDDEN}</td></tr><tr><td>Martin</td><td>x</td></tr></table>"
_HEAD = b"From: a@b.example\nTo: c@d.example\nMIME-Version: 1.0\n"
_CANARY_PART = b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(
    f"Dupont {CANARY}\n".encode()
)

MAKERS: dict[str, Callable[[random.Random], Hostile]] = {}


def hostile_text(name: str, seed: int = 0) -> Hostile:
    """The sample of this name; the seed determines the random bytes inside."""
    return MAKERS[name](random.Random(f"{seed}-{name}"))


def _register(maker: Callable[[random.Random], Hostile]) -> Callable[[random.Random], Hostile]:
    MAKERS[maker.__name__] = maker
    return maker


def _page(name: str, body: str) -> Hostile:
    return Hostile(
        name, f"<!doctype html><html><body>{body}</body></html>".encode("utf-8", "surrogatepass"), complete=True
    )


def _simple(name: str, body: str) -> None:
    def maker(random_: random.Random) -> Hostile:
        return _page(name.replace("_", " "), body)

    MAKERS[name] = maker


for _name, _body in {
    "a_deep_page": "<div>" * 100_000 + _ROW,
    "deep_tables": "<table><tr><td>" * 20_000 + _ROW,
    "closing_tags_only": "</div></td></table></tr>" * 20_000 + _ROW,
    "an_open_comment": "<!-- " * 1000 + _ROW,
    "an_open_script": "<script>" + _ROW,
    "an_open_quote_in_a_tag": '<p title="' + "a " * 50_000 + ">" + _ROW,
    "an_endless_tag": "<p " + "a=b " * 200_000 + _ROW,
    "brackets": "<" * 300_000 + _ROW,
    "ampersands": "&" * 300_000 + "&#" * 100_000 + _ROW,
    "wide_row": "<table><tr>" + "<td>x" * 100_000 + f"<tr><td>{_HIDDEN}</table>",
    "wide_spans": "<table>" + "<tr><td colspan=99>x" * 2000 + f"<tr><td>y<td>{_HIDDEN}</table>",
    "references_beyond_unicode": "&#x110000;&#xD800;&#9999999;" * 1000 + _ROW,
    "a_tag_name_without_end": "<" + "a" * 300_000 + ">" + _ROW,
    "dashes": "-" * 300_000 + _ROW,
    "line_breaks": "<br>" * 300_000 + _ROW,
    "spaces": "<pre>" + " " * 300_000 + "</pre>" + " \n" * 150_000 + _ROW,
    "breaks_without_end": "<p>" * 300_000 + "<pre>" + "\n" * 300_000 + "</pre>" + _ROW,
}.items():
    _simple(_name, _body)


@_register
def nul_in_a_page(random_: random.Random) -> Hostile:
    return Hostile("NUL in a page", b"<html><p>a\0b</p>\0" + _ROW.encode() + b"\0</html>" + b" " * 600, complete=True)


@_register
def random_markup_in_a_page(random_: random.Random) -> Hostile:
    letters = bytes(random_.choice(b"<>\"'=/-!&;# abct") for _ in range(100_000))
    return Hostile("random markup in a page", b"<html><body>" + letters + b"'\">-->" + _ROW.encode(), complete=True)


# --- mail --------------------------------------------------------------------------------------------------------


@_register
def deep_multiparts(random_: random.Random) -> Hostile:
    parts = [b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (at, at) for at in range(3000)]
    whole = _HEAD + b"Content-Type: multipart/mixed; boundary=out\n\n--out\n" + b"".join(parts)
    return Hostile("deep multiparts", whole + b"\n--out\n" + _CANARY_PART + b"\n--out--\n", complete=True)


@_register
def messages_in_messages(random_: random.Random) -> Hostile:
    inner = _HEAD + b"Content-Type: message/rfc822\n\n"
    whole = _HEAD + b"Content-Type: multipart/mixed; boundary=out\n\n--out\n" + _CANARY_PART + b"\n--out\n"
    return Hostile("messages in messages", whole + b"Content-Type: message/rfc822\n\n" + inner * 200 + b"x\n--out--\n",
                   frozenset({"depth"}))  # fmt: skip


@_register
def one_boundary_for_all(random_: random.Random) -> Hostile:
    part = b"Content-Type: multipart/mixed; boundary=x\n\n--x\n"
    return Hostile("one boundary for all", _HEAD + part * 500 + _CANARY_PART + b"\n--x--\n", complete=True)


@_register
def an_empty_boundary(random_: random.Random) -> Hostile:
    part = b'Content-Type: multipart/mixed; boundary=""\n\n--\n'
    return Hostile("an empty boundary", _HEAD + part + f"Dupont {CANARY}\n".encode(), complete=True)


@_register
def endless_headers(random_: random.Random) -> Hostile:
    return Hostile("endless headers", _HEAD + b"X-A: b\n" * 200_000 + f"\nDupont {CANARY}\n".encode(), complete=True)


@_register
def a_header_that_is_a_bomb(random_: random.Random) -> Hostile:
    subject = b"Subject: " + b"=?utf-8?b?" * 5000 + b"=?" * 20_000 + b"\n"
    disposition = b"Content-Disposition: attachment" + b"; filename*0*=utf-8''%ff" * 3000 + b"\n"
    kind = b'Content-Type: text/plain; charset="\xff\xfe"; ' + b'x="\\' * 2000 + b"\n"
    return Hostile(
        "a header that is a bomb", _HEAD + subject + disposition + kind + f"\nDupont {CANARY}\n".encode(), complete=True
    )


@_register
def a_hundred_thousand_parts(random_: random.Random) -> Hostile:
    whole = _HEAD + b"Content-Type: multipart/mixed; boundary=x\n\n--x\n" + _CANARY_PART + b"\n--x\n\na\n" * 20_000
    return Hostile("many parts", whole, frozenset({"limit"}), limits=Limits(max_entries=5000))


@_register
def base64_without_lines(random_: random.Random) -> Hostile:
    body = base64.b64encode(b"x " * 300_000 + CANARY.encode())
    head = b"Content-Transfer-Encoding: base64\nContent-Type: text/plain\n\n"
    return Hostile("base64 without lines", _HEAD + head + body, complete=True)


@_register
def base64_with_holes(random_: random.Random) -> Hostile:
    body = base64.encodebytes(b"x" * 5700 + f" Dupont {CANARY} ".encode() + b"y" * 5700)
    broken = b"!!!!\n" + body[:3000] + b"\xff\xfe====" + body[3000:]
    head = b"Content-Transfer-Encoding: BASE64\nContent-Type: text/plain\n\n"
    return Hostile("base64 with holes", _HEAD + head + broken, frozenset({"base64"}), complete=True)


@_register
def a_cut_attachment(random_: random.Random) -> Hostile:
    data = make_zip({"people.csv": f"nom;mail\nDupont;{CANARY}\n".encode() * 50, "z.bin": random_.randbytes(9000)})
    whole = _HEAD + b"Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: application/zip\n"
    return Hostile(
        "a cut attachment",
        whole + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(data)[:-4000],
        frozenset({"cut"}),
    )


@_register
def a_mailbox_of_separators(random_: random.Random) -> Hostile:
    line = b"From a@b.example Wed Mar 12 10:00:00 1975\n"
    return Hostile(
        "a mailbox of separators",
        line + _HEAD + b"\n" + (b"\n" + line) * 3000 + f"\nDupont {CANARY}\n".encode(),
        complete=True,
    )


@_register
def a_mailbox_with_an_endless_line(random_: random.Random) -> Hostile:
    line = b"From a@b.example Wed Mar 12 10:00:00 1975\n"
    body = b"From " + b"x" * 3_000_000 + b"\n\n" + line + _HEAD + f"\nDupont {CANARY}\n".encode()
    return Hostile("a mailbox with an endless line", line + _HEAD + b"\n" + body, complete=True)


@_register
def base64_in_base64(random_: random.Random) -> Hostile:
    data = f"Dupont {CANARY} de la rue\n".encode() * 20
    for _ in range(12):
        data = base64.encodebytes(data)
    return Hostile("base64 in base64", data, frozenset({"depth"}), visible=False)
