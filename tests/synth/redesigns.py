"""Redesigns of listings as sites undergo them: each takes a page and gives the page after it, or another page in its place."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from lxml import html as markup

Redesign = Callable[[bytes, random.Random], bytes]


def _tree(page: bytes):
    return markup.document_fromstring(page)


def _bytes(tree) -> bytes:
    return b"<!DOCTYPE html>" + markup.tostring(tree, encoding="utf-8")


def _classes(tree) -> list[str]:
    found = {name for each in tree.iter() if isinstance(each.tag, str) for name in (each.get("class") or "").split()}
    return sorted(found)


def _rename(tree, names: dict[str, str]) -> None:
    for each in tree.iter():
        if isinstance(each.tag, str) and each.get("class"):
            each.set("class", " ".join(names.get(name, name) for name in each.get("class").split()))


def renamed_classes(page: bytes, draw: random.Random) -> bytes:
    """All classes get generated names, and ids a prefix, as a new framework gives them."""
    tree = _tree(page)
    _rename(tree, {name: f"css-{draw.randbytes(3).hex()}" for name in _classes(tree)})
    for each in tree.iter():
        if isinstance(each.tag, str) and each.get("id"):
            each.set("id", f"x{draw.randbytes(2).hex()}")
    return _bytes(tree)


def renamed_parts(page: bytes, draw: random.Random) -> bytes:
    """The containers of rows stay, and what stands in them is renamed."""
    tree = _tree(page)
    rows = [each for each in tree.iter("tr", "li", "article", "div") if (each.get("class") or each.get("id"))]
    counts: dict[str, int] = {}
    for each in rows:
        counts[each.get("class") or ""] = counts.get(each.get("class") or "", 0) + 1
    inside = {
        name
        for row in rows
        if counts[row.get("class") or ""] > 3
        for each in row.iterdescendants()
        if isinstance(each.tag, str)
        for name in (each.get("class") or "").split()
    }
    _rename(tree, {name: f"_{draw.randbytes(3).hex()}" for name in inside})
    for each in tree.iter("span", "a", "h2", "h3"):
        if each.get("id"):
            each.set("id", draw.randbytes(4).hex())
        if each.tag in ("h2", "h3"):
            each.tag = "p"
    return _bytes(tree)


def wrapped(page: bytes, draw: random.Random) -> bytes:
    """Rows become elements of another kind, and links stand in buttons of scripts."""
    tree = _tree(page)
    for each in list(tree.iter("tr", "li", "article")):
        each.tag = "section"
    for each in tree.iter("td", "dd", "dt"):
        each.tag = "div"
    _rename(tree, {name: f"{name}__{draw.choice(['item', 'box', 'wrap'])}" for name in _classes(tree)})
    return _bytes(tree)


def reordered(page: bytes, _: random.Random) -> bytes:
    """The texts of a row change places: the title where the numbers stood, the numbers where the title stood."""
    tree = _tree(page)
    for row in tree.iter("tr", "li", "article", "section", "div", "dl"):
        cells = [each for each in row if isinstance(each.tag, str) and (each.text_content() or "").strip()]
        if not (row.get("class") or row.tag == "dl") or len(cells) < 2 or len(cells) > 12:
            continue
        leaves = [
            each
            for each in row.iterdescendants()
            if isinstance(each.tag, str) and not len(each) and (each.text or "").strip()
        ]
        texts = [each.text for each in leaves]
        for each, text in zip(leaves, texts[1:] + texts[:1], strict=True):
            each.text = text
    return _bytes(tree)


def _page(title: str, body: str) -> bytes:
    return (
        f"<!DOCTYPE html><html><head><meta charset=utf-8><title>{title}</title></head><body>{body}</body></html>"
    ).encode()


def login(_: bytes, draw: random.Random) -> bytes:
    """Guests see a log-in form."""
    words = draw.choice(
        ["You must be logged in to view this board.", "Please sign in to continue.", "Veuillez vous connecter."]
    )
    return _page("Log in", f"<p>{words}</p><form><input name=user><input type=password name=pass></form>")


def empty(_: bytes, draw: random.Random) -> bytes:
    """A page without content, or a shell that scripts fill."""
    return draw.choice([b"", _page("", ""), _page("App", "<div id=root></div><script src=/main.js></script>")])


def captcha(_: bytes, draw: random.Random) -> bytes:
    """An access check."""
    return draw.choice(
        [
            _page("Just a moment...", "<p>Checking your browser before accessing.</p><div id=challenge-running></div>"),
            _page("DDoS-Guard", "<p>Checking your browser</p><script src=/.well-known/ddos-guard/js></script>"),
            _page("Security check", "<form><div class=h-captcha></div></form>"),
            _page("Queue", "<form>Enter the code <img src=/captcha.php?x=1><input name=captcha></form>"),
        ]
    )


def seized(_: bytes, draw: random.Random) -> bytes:
    """Authorities have taken the site."""
    return draw.choice(
        [
            _page("THIS WEBSITE HAS BEEN SEIZED", "<h1>This website has been seized</h1><img src=/fbi.png>"),
            _page("", "<img src=/seizure_banner.jpg alt='This hidden site has been seized'>"),
            _page("Ce site a été saisi", "<p>Ce site a été saisi par la Gendarmerie nationale.</p>"),
        ]
    )


def default_page(_: bytes, draw: random.Random) -> bytes:
    """What a web server shows where no site is."""
    return draw.choice(
        [
            _page("Welcome to nginx!", "<h1>Welcome to nginx!</h1><p>If you see this page, the web server works.</p>"),
            _page("Apache2 Debian Default Page: It works", "<div class=main><ul><li>apache2.conf</li></ul></div>"),
            _page("IIS Windows Server", "<img src=iisstart.png alt=IIS>"),
            b"<html><body><h1>It works!</h1></body></html>",
        ]
    )


def other_charset(page: bytes, _: random.Random) -> bytes:
    """The page is written in another encoding, and says so."""
    text = re.sub("charset=[\"']?utf-8", 'charset="windows-1251', page.decode("utf-8"))
    return text.encode("cp1251", "replace")


def maintenance(_: bytes, draw: random.Random) -> bytes:
    """The site is down, and says so with status 200."""
    return draw.choice(
        [
            _page("Maintenance", "<h1>We'll be back soon</h1><p>The board is closed for maintenance.</p>"),
            _page("Board offline", "<p>Sorry, this board is currently unavailable.</p><a href=/admin>admin</a>"),
            _page("Database error", "<h1>Database error</h1><p>Too many connections (1040)</p>"),
            _page("Error", "<pre>Fatal error: Uncaught PDOException in /var/www/lib/db.php:31</pre>"),
        ]
    )


def moved_away(_: bytes, draw: random.Random) -> bytes:
    """A notice in place of the site: it moved, was suspended by its host, or asks visitors something first."""
    return draw.choice(
        [
            _page("We moved", "<p>Our new address is <a href=http://new.example/>new.example</a>. Bookmark it.</p>"),
            _page("Account Suspended", "<h1>Account Suspended</h1><p>Contact your hosting provider.</p>"),
            _page("Are you 18?", "<p>You must be 18 to enter.</p><a href=/?ok=1>Enter</a> <a href=/leave>Leave</a>"),
            _page("Exit scam", "<h1>Goodbye</h1><p>It was fun. All your funds are gone.</p><a href=/pgp.txt>PGP</a>"),
            b"<html><head><meta http-equiv=refresh content='5;url=/wait'></head><body>Please wait in line</body></html>",
        ]
    )


def scripted_links(page: bytes, draw: random.Random) -> bytes:
    """Links are opened by scripts: addresses and numbers of posts are gone from the page."""
    tree = _tree(page)
    target = draw.choice(["#", "javascript:void(0)", ""])
    for each in tree.iter():
        if not isinstance(each.tag, str):
            continue
        for name in [name for name, value in each.attrib.items() if name != "class" and re.search(r"\d", value)]:
            del each.attrib[name]
        if each.get("href"):
            each.set("href", target)
    return _bytes(tree)


def _rows(tree) -> list:
    """The elements of one kind beside each other that have links, and most of the text of the page together."""
    groups: dict[tuple[object, str], list] = {}
    for each in tree.iter("tr", "li", "article", "section", "div", "dl"):
        if each.find(".//a") is not None:
            groups.setdefault((each.getparent(), str(each.tag)), []).append(each)
    return max(groups.values(), key=lambda rows: sum(len(row.text_content()) for row in rows) * (len(rows) > 5))


def hidden_titles(page: bytes, draw: random.Random) -> bytes:
    """Rows stay as they are, and guests see the same words in place of all texts of them."""
    tree, words = _tree(page), draw.choice(["[hidden]", "Log in to see this", "•••"])
    for row in _rows(tree):
        for each in row.iter():
            if isinstance(each.tag, str) and (each.text or "").strip() and not re.fullmatch(r"[\d\s.,]+", each.text):
                each.text = words
    return _bytes(tree)


def few_rows(page: bytes, _: random.Random) -> bytes:
    """Guests see the first two rows alone."""
    tree = _tree(page)
    for row in _rows(tree)[2:]:
        row.drop_tree()
    return _bytes(tree)


def cut(page: bytes, draw: random.Random) -> bytes:
    """The template breaks in the middle of the first row."""
    body = page.lower().find(b"<body")
    return page[: body + draw.randrange(20, 120)] + b"\n<b>Warning</b>: Undefined variable $row in list.tpl"


REDESIGNS: dict[str, Redesign] = {
    each.__name__: each
    for each in (
        renamed_classes, renamed_parts, wrapped, reordered, login, empty, captcha, seized, default_page, other_charset, maintenance,
        moved_away, scripted_links, hidden_titles, few_rows, cut,
    )
}  # fmt: skip
