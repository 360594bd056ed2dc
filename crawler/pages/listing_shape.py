"""What the rows of a listing look like, in counts, and whether they still look so: pure functions.

A site that is redesigned often leaves some rules working: there are rows, but no titles in them, or the title is now the
number of replies. Counts of filled fields show that, and hold nothing of the posts.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, read_bom

from data.model import Post
from data.sources.definition import Definition
from data.sources.selector_rules import Rules

if TYPE_CHECKING:
    # the runner compares shapes, and parses no page
    from crawler.pages.extract import ItemPart, Listing

# The rows of a page are compared with at least so many earlier ones, and at least so many are compared.
MIN_BEFORE, MIN_ROWS = 8, 3
# A share must differ by so much, and by chance only this often.
MIN_DIFFERENCE, CHANCE = 0.5, 1e-5
# A listing that has fewer than this share of its usual rows has changed, if it usually has so many.
ROWS_SHARE, USUAL_ROWS = 0.25, 8
# So many known posts must be on a page, and the titles of more than this share of them have changed at once, although they
# did so in no more than that share of earlier observations.
RETITLED_POSTS, RETITLED_SHARE, STABLE_SHARE, STABLE_OBSERVATIONS = 4, 0.6, 0.2, 8
# Of pages of posts fewer are read in a crawl. That a field is on none of so many pages must be by chance only this often.
MIN_PAGES, RARE = 2, 1e-9
PAGE_FIELDS = ("id", "body", "attachments")
_FIELDS = ("title", "body", "time", "raw")
_RUN = re.compile(r"\d+|[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class FieldShape:
    """Of a field of all rows: in how many it has a value, how many values are numbers, and how many a single word."""

    filled: int
    numbers: int
    words: int


@dataclass(frozen=True, slots=True)
class ListingShape:
    """The shape of a page of a listing, or of several added up.

    Attributes:
        pages: that were counted. rows: on them. fields: by name; those of `list.fields.extra` as `extra NAME`.
        charset: the encoding that the page declares; '' for none, or for pages that declare different ones.
    """

    pages: int
    rows: int
    fields: Mapping[str, FieldShape]
    charset: str


def shape_of(
    definition: Definition, listing: Listing, url: str, body: bytes = b"", content_type: str = ""
) -> ListingShape:
    """The shape of the page at an address: of the fields for which the definition has rules."""
    rules = definition.list.fields
    names = [name for name in type(rules).model_fields if name not in ("extra", "id") and getattr(rules, name)]
    fields = {name: _field_shape([_value(post, name, url) for post in listing.posts]) for name in names}
    fields |= {
        f"extra {name}": _field_shape([post.fields.get(name, "") for post in listing.posts]) for name in rules.extra
    }
    return ListingShape(1, len(listing.posts), fields, declared_charset(body, content_type))


def _value(post: Post, name: str, page: str) -> str:
    if name == "link":
        # a row without a link has the address of its page
        return "" if post.url == page else post.url
    if name == "attachments":
        return " ".join(post.attachments)
    return str(getattr(post, name)) if name in _FIELDS else post.fields.get(name, "")


def _field_shape(values: list[str]) -> FieldShape:
    filled = [value for value in values if value.strip()]
    return FieldShape(
        len(filled),
        sum(map(_is_number, filled)),
        sum(len(value.split()) == 1 for value in filled),
    )


def _is_number(value: str) -> bool:
    """Whether more than half of a value's runs of letters or digits are digits: `post/9` is none, and `post/10000` as well."""
    runs: list[str] = _RUN.findall(value)
    return sum(run[0].isdigit() for run in runs) * 2 > len(runs)


def declared_charset(body: bytes, content_type: str) -> str:
    """The encoding that a page or its header declares, by Python's name; '' for none or an unknown one."""
    name, _ = read_bom(body)
    name = name or (http_content_type_encoding(content_type) if content_type else None)
    name = name or html_body_declared_encoding(body[:4096])
    try:
        return codecs.lookup(name).name if name else ""
    except LookupError:
        return ""


def changed_fields(definition: Definition, before: ListingShape, now: ListingShape) -> dict[str, str]:
    """What no longer looks as it did: field, `rows` or `charset` -> a sentence with the rule that is about it.

    Args:
        definition: its rules are named.
        before: of earlier crawls that were well; without rows nothing is compared.
        now: of one page.
    """
    found: dict[str, str] = {}
    usual = before.rows / before.pages if before.pages else 0
    if "{since}" in (definition.list.url or definition.url):
        # such a listing has as many rows as there are new posts
        usual = 0
    if usual >= USUAL_ROWS and now.rows < ROWS_SHARE * usual:
        rules = ", ".join(definition.list.each) or "list"
        found["rows"] = f"rows: {rules} found {now.rows}; before about {usual:.0f}"
    if before.charset and now.charset and before.charset != now.charset:
        found["charset"] = f"charset: the page declares {now.charset}; before {before.charset}"
    if before.rows < MIN_BEFORE or now.rows < MIN_ROWS:
        return found
    for name, new in now.fields.items():
        old = before.fields.get(name)
        if old is None:
            continue
        rule = rule_text(definition, name)
        if differs(old.filled, before.rows, new.filled, now.rows):
            share = round(100 * old.filled / before.rows)
            found[name] = f"{name}: {rule} found a value in {new.filled} of {now.rows} rows; before in {share} %"
        elif old.filled >= MIN_BEFORE and new.filled >= MIN_ROWS:
            for what, was, is_ in (("numbers", old.numbers, new.numbers), ("single words", old.words, new.words)):
                if differs(was, old.filled, is_, new.filled):
                    share = round(100 * was / old.filled)
                    found[name] = f"{name}: {is_} of {new.filled} values of {rule} are {what}; before {share} %"
                    break
    return found


def shape_of_pages(definition: Definition, pages: Iterable[Collection[ItemPart]]) -> ListingShape:
    """The shape of the pages of posts, given as their parts: of the fields for which `item` has rules.

    A page has a field if one of its parts does; its value is that of the first such part. The field `next` is none of
    them: which pages have a further one depends on what is read again.
    """
    rules = definition.item.fields if definition.item is not None else None
    names = [name for name in PAGE_FIELDS if name == "body" or (rules is not None and getattr(rules, name))]
    values: dict[str, list[str]] = {name: [] for name in names}
    for parts in pages:
        for name in names:
            found = (_value_of_part(part, name) for part in parts)
            values[name].append(next((each for each in found if each.strip()), ""))
    return ListingShape(
        len(values["body"]), len(values["body"]), {name: _field_shape(each) for name, each in values.items()}, ""
    )


def _value_of_part(part: ItemPart, name: str) -> str:
    return {"id": part.native, "body": part.text, "attachments": " ".join(part.attachments)}[name]


def changed_pages(
    definition: Definition,
    before: Mapping[str, tuple[int, FieldShape]],
    now: ListingShape,
    missed: Mapping[str, int],
) -> dict[str, str]:
    """What no longer looks as it did on the pages of posts: field -> a sentence with the rule that is about it.

    Args:
        definition: its rules are named.
        before: field -> how many pages of earlier crawls were counted for it, and its shape on them.
        now: of the pages of this crawl.
        missed: field -> pages of earlier crawls since the last one that had it. A field that few pages have, such as
            files, is missed when it is on none of so many.
    """
    found: dict[str, str] = {}
    for name, new in now.fields.items():
        pages, old = before.get(name, (0, FieldShape(0, 0, 0)))
        if pages < MIN_BEFORE or now.rows < MIN_PAGES:
            continue
        rule = f"item {name}: {' | '.join(_page_rules(definition, name)) or 'the whole page'}"
        without = missed.get(name, 0) + now.rows
        share = round(100 * old.filled / pages)
        if differs(old.filled, pages, new.filled, now.rows):
            found[name] = f"{rule} found a value on {new.filled} of {now.rows} pages; before on {share} %"
        elif not new.filled and old.filled and without * math.log1p(-old.filled / (pages + 1)) < math.log(RARE):
            found[name] = f"{rule} found a value on none of {without} pages; before on {share} %"
        elif (
            name == "body"
            and min(old.filled, new.filled * 4) >= MIN_BEFORE
            and differs(old.words, old.filled, new.words, new.filled)
        ):
            found[name] = f"{rule} found a single word on {new.words} of {new.filled} pages"
    return found


def _page_rules(definition: Definition, name: str) -> list[str]:
    rules: Rules = () if definition.item is None else getattr(definition.item.fields, name)
    return [each.x or "a fixed value" for each in rules]


def retitled(definition: Definition, changed: int, posts: int, observed: int, changed_before: int) -> str:
    """A sentence if the titles of most known posts have changed at once, which no posts do by themselves; else ''.

    Args:
        definition: its rule is named.
        changed: known posts of the page whose title has changed.
        posts: known posts of the page.
        observed: earlier observations of titles of this source.
        changed_before: how many of them had changed.
    """
    if posts < RETITLED_POSTS or changed <= RETITLED_SHARE * posts or observed < STABLE_OBSERVATIONS:
        return ""
    if changed_before > STABLE_SHARE * observed:
        return ""
    return f"title: {changed} of {posts} known posts have another title at once; the rule is {rule_text(definition, 'title')}"


def differs(before: int, of_before: int, now: int, of_now: int) -> bool:
    """Whether a share has changed by so much that chance does not explain it."""
    share = before / of_before
    if abs(now / of_now - share) < MIN_DIFFERENCE:
        return False
    # the share is not known better than its number of observations allows
    expected = (before + 0.5) / (of_before + 1)
    tail = range(now + 1) if now / of_now < share else range(now, of_now + 1)
    log = [
        math.lgamma(of_now + 1) - math.lgamma(k + 1) - math.lgamma(of_now - k + 1)
        + k * math.log(expected) + (of_now - k) * math.log1p(-expected)
        for k in tail
    ]  # fmt: skip
    # of few rows none can be improbable: that all or none of them differ is enough
    return sum(map(math.exp, log)) < CHANCE or (of_now <= USUAL_ROWS and now in (0, of_now) and share in (0, 1))


def rule_text(definition: Definition, name: str) -> str:
    """The selectors of a field as the definition has them."""
    fields = definition.list.fields
    rules: Rules = (
        fields.extra.get(name.removeprefix("extra "), ()) if name.startswith("extra ") else getattr(fields, name)
    )
    return " | ".join(each.x or "a fixed value" for each in rules)


def known_names(definition: Definition) -> Collection[str]:
    """The names of fields that a shape of this source may have."""
    return {*type(definition.list.fields).model_fields, *(f"extra {name}" for name in definition.list.fields.extra)}


CHARSET = re.compile(r"[a-z0-9_-]{0,32}")
