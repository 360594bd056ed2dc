"""Quotes in the parts of a thread, and parts of which guests see nothing. Pure.

A reply repeats what it answers. What it quotes counts once: with the part that it is quoted from. A quote that nobody
wrote before may hold data that stands nowhere else, so only what is found in another part is left out.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lxml import etree
from parsel import Selector

from crawler.pages.html_text import lines_of, parse_html
from data.identifiers.normalise import fold

# Elements of quotes: `blockquote`, and the boxes of vBulletin, FluxBB and Discourse. In vBulletin 4 a blockquote of this
# class is the post itself.
_QUOTES: Any = etree.XPath(
    ".//*[self::blockquote[not(contains(@class, 'postcontent'))]"
    " or self::aside[contains(concat(' ', @class, ' '), ' quote ')]"
    " or self::div[contains(@class, 'bbcode_quote') or contains(concat(' ', @class, ' '), ' quotebox ')]"
    " or self::span[@class='q']]"
)
# Elements inside a quote that say who is quoted.
_ATTRIBUTION: Any = etree.XPath(
    ".//*[self::cite or contains(@class, 'bbCodeBlock-title') or contains(@class, 'expandLink')"
    " or contains(@class, 'citation') or contains(@class, 'postedby') or contains(@class, 'quote-controls')"
    " or (self::div and @class='title')]"
)
_TYPED = re.compile(r"\[quote\b[^\]\n]{0,200}\](.*?)\[/quote\]", re.IGNORECASE | re.DOTALL)
# Letters and digits: a shorter quote is an answer to a word, and may stand in another part by chance.
_SHORT = 12
_HIDDEN = re.compile(
    r"\b(?:you (?:must|need to|have to|should) (?:reply|respond|post|comment|react|like|(?:first )?register|log ?in|sign (?:in|up)"
    r"|be (?:registered|logged[- ]in|a member))\b[^.\n]{0,60}\b(?:to (?:see|view|read|unlock|reveal)|before you can (?:see|view))"
    r"|hidden (?:content|text|data|link)s?\b[^.\n]{0,60}\b(?:reply|register|log ?in|sign in|unlock|credits?|members?)"
    r"|(?:unlock|pay) (?:for )?(?:this|the|hidden) (?:content|post|text)\b[^.\n]{0,40}\bcredits?"
    r"|vous devez (?:repondre|vous (?:connecter|inscrire)|etre (?:inscrit|connecte|membre))\b[^.\n]{0,60}\b(?:voir|lire|afficher)"
    r"|contenu (?:masque|cache|reserve aux membres)"
    r"|sie mussen (?:antworten|sich (?:anmelden|registrieren)|angemeldet sein)\b[^.\n]{0,60}\b(?:sehen|lesen))"
)


# Numbers in the attributes of a quote, one of which is that of the post.
_NUMBER = re.compile(r"\d{1,12}")
_MAX_NUMBERS = 8


@dataclass(frozen=True, slots=True)
class Quote:
    """What a part quotes.

    Attributes:
        text: without the line that names who is quoted.
        numbers: in its markup; one of them may be the id of the part that it is from.
        size: letters and digits that the part has because of it.
    """

    text: str
    numbers: tuple[str, ...] = ()
    size: int = 0

    def __repr__(self) -> str:
        """Only lengths."""
        return f"<Quote, {len(self.text)} characters>"


def split_quotes(row: Any) -> tuple[Any, tuple[Quote, ...]]:
    """A part of a page without its quotes, and each of these; the part itself and () if it has none.

    Args:
        row: a piece of markup, an entry of a feed, or a JSON value with markup or typed codes in its strings.
    """
    found_in: list[Quote] = []
    if isinstance(row, Selector):
        if not isinstance(row.root, etree._Element):
            return row, ()
        if _QUOTES(row.root):
            root = copy.deepcopy(row.root)
            return Selector(root=root, type=row.type), _taken(root)
        if row.type == "xml":
            # an entry of a feed, with markup as its text
            root = copy.deepcopy(row.root)
            for element in root.iter(etree.Element):
                element.text = _without(element.text, found_in) if element.text else element.text
            if found_in:
                return Selector(root=root, type=row.type), tuple(found_in)
        return row, ()
    without = _without(row, found_in)
    return (without, tuple(found_in)) if found_in else (row, ())


def _taken(root: Any) -> tuple[Quote, ...]:
    """Remove the outermost quotes under an element; each without the line that names who is quoted."""
    quotes = []
    for quote in _QUOTES(root):
        if all(above is not root for above in quote.iterancestors()):
            continue  # inside another quote, which has been removed
        values = " ".join(value for element in quote.iter(etree.Element) for value in element.attrib.values())
        size = len(letters_of(lines_of(quote)))
        for who in _ATTRIBUTION(quote):
            _remove(who)
        numbers = tuple(dict.fromkeys(_NUMBER.findall(values)))[:_MAX_NUMBERS]
        quotes.append(Quote(lines_of(quote), numbers, size))
        _remove(quote)
    return tuple(quotes)


def _remove(element: Any) -> None:
    """Remove an element, but not the text behind it."""
    above, tail = element.getparent(), element.tail
    before = element.getprevious()
    if tail and before is not None:
        before.tail = f"{before.tail or ''}\n{tail}"
    elif tail:
        above.text = f"{above.text or ''}\n{tail}"
    element.tail = None
    above.remove(element)


def _without(value: Any, found: list[Quote]) -> Any:
    if isinstance(value, dict):
        return {key: _without(each, found) for key, each in value.items()}
    if isinstance(value, list):
        return [_without(each, found) for each in value]
    if not isinstance(value, str):
        return value
    if "quote" in value and "<" in value:
        root, whole = parse_html(value)
        if root is not None and whole and (quotes := _taken(root)):
            found += quotes
            return str(etree.tostring(root, encoding="unicode", method="html"))
    if "[/quote]" in value.lower():
        found += [Quote(each[1], (), len(letters_of(each[0]))) for each in _TYPED.finditer(value)]
        return _TYPED.sub("\n", value)
    return value


def letters_of(text: str) -> str:
    """The letters and digits of a text, as versions of parts are made of them."""
    return "".join(filter(str.isalnum, fold(text)))


def lacks_only(quotes: Sequence[Quote], text: str, unquoted: str) -> bool:
    """Whether a text without quotes lacks nothing but them: rules may take text from outside of the part as well."""
    return len(letters_of(unquoted)) + sum(quote.size for quote in quotes) >= len(letters_of(text))


def only_quoted(quotes: Sequence[Quote], others: Iterable[str]) -> bool:
    """Whether each of the quotes stands as a whole in one of the other texts.

    Args:
        quotes: of a part.
        others: `letters_of` the texts of other parts.
    """
    wanted = [letters_of(quote.text) for quote in quotes]
    texts = list(others)
    return all(len(each) >= _SHORT and any(each in text for text in texts) for each in wanted if each)


def is_hidden(text: str) -> bool:
    """Whether a part says that guests do not see all of it: it must be answered, or one must log in or pay."""
    return _HIDDEN.search(fold(text[:20_000])) is not None
