"""XML of any size: elements that come again and again are rows, whatever else there is goes out as text.

Tags come from `xml_tokens`, which expands and refuses nothing; elements become values like those of JSON, and `json_records` says
which of them are rows. HTML is left to its own reader.
"""

from __future__ import annotations

import re
from typing import Any

from crawler.readers.core.charsets import recode_to_utf8
from crawler.readers.core.encoding import as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import Records
from crawler.readers.structured.xml_tokens import Token, attributes, root_name, token_blocks, unescape

FORMAT = "xml"
EMBEDDED_SEARCH = "all"

MAX_OPEN = 10_000
"""Elements inside each other."""
# brackets of a closing tag are looked back over for the one that it belongs to
_LOOK_BACK = 16
# a text of several elements is put together up to this size
_MAX_FLOW = 4096

# elements of HTML that a fragment begins with
_HTML = re.compile(
    r"html|head|body|div|p|span|br|[abiu]|em|strong|table|t[rdh]|[uo]l|li|h[1-6]|img|script|style|center|font|hr|pre|form"
    r"|blockquote|input|section|article|main|nav|header|footer|meta|link|title|iframe|button|label",
    re.IGNORECASE,
)
_PROLOG = re.compile(rb"<\?xml[\s?]")
_DOCTYPE = re.compile(rb"<!DOCTYPE\s++([\w.-]++)")
DECLARED = re.compile(rb"<\?xml[^>]{0,200}?\sencoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
# an attribute that alone says a value, or names the one in the element
_VALUE = ("value", "v", "val", "valeur")
_NAMES = ("name", "key", "field", "column", "nom_colonne", "label")
_SAYS_NOTHING = ("nil", "type", "Type", "null", "xmlns")
_ROWS = re.compile(r"row|tr|line|ligne|record|enregistrement|r", re.IGNORECASE)


def sniff(head: bytes, name: str) -> float:
    """Sure where there is a prolog or an element that is not HTML's."""
    text = as_utf8(head).lstrip(b"\xef\xbb\xbf \t\n")
    if not text.startswith(b"<") or not is_text(text):
        return 0.0
    # a definition of entities may be longer than the head
    doctype = _DOCTYPE.search(text[:8192])
    root = root_name(text) or (doctype[1].decode() if doctype else "")
    if not root or root.lower() == "html":
        return 0.0
    prolog = _PROLOG.match(text) is not None
    if _HTML.fullmatch(root) and not (prolog and root.lower() in ("table", "section", "article")):
        return 0.0
    if prolog:
        return 0.9
    closed = b"</" in text or b"/>" in text or doctype is not None
    return (
        0.85
        if closed and (name.lower().endswith(".xml") or doctype or text.count(b"</") > 1)
        else 0.4
        if closed
        else 0.0
    )


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out one row per record, nested elements flattened to columns `a.b` and `a.0`."""
    elements = Elements(out, limits)
    elements.read(source)


class _Element:
    """An element that has begun and not ended."""

    __slots__ = ("begin", "children", "entered", "flow", "has_text", "is_long", "name", "own")

    def __init__(self, name: str, own: dict[str, Any], begin: int) -> None:
        self.name = name
        self.own = own
        self.begin = begin
        # values of children by name, and texts in their order
        self.children: dict[str, list[Any]] = {}
        self.flow: list[str] = []
        self.has_text = self.is_long = False
        # it is too large to be one value: its children go out by themselves
        self.entered = False


class Elements:
    """Elements on their way to records.

    Attributes:
        faults: tags that fit nowhere. entities: definitions of entities, which are not expanded.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.records = Records(out, limits)
        self.faults = self.entities = 0
        self._open: list[_Element] = []
        self._skipped = 0
        self._taken = 0
        self._names: dict[bytes, str] = {}

    def give(self, values: list[Any], name: str, size: int) -> None:
        """Values that are whole: those of one name."""
        self.records.add(values, name, size)

    def read(self, source: Source) -> None:
        """Take a whole source, and say what was wrong with it."""
        for tokens in token_blocks(recode_to_utf8(source, DECLARED, self.out)):
            self._take(tokens)
            self._enter()
        cut = bool(self._open)
        while self._open:
            self._close()
        self.records.finish()
        if self.faults:
            self.out.problem("xml", f"{self.faults} tags fit nowhere; what is around them was read all the same")
        if self.entities:
            self.out.problem("entities", f"{self.entities} entities are defined in it; they were not expanded")
        if cut:
            self.out.problem("cut", "it ends inside an element")

    def _take(self, tokens: list[Token]) -> None:
        at, last = 0, len(tokens) - 2
        while at < len(tokens):
            slash, name, attrs, text = tokens[at]
            self._taken += len(name) + len(attrs) + len(text) + 3
            if text:
                if text.strip():
                    self._text(unescape(text).decode("utf-8", "replace"))
            elif name.startswith(b"!"):
                self._definition(name, attrs)
            elif slash:
                self._end(self._name(name))
            elif not attrs and at < last and tokens[at + 2][:2] == (b"/", name) and tokens[at + 1][3] and self._open:
                # most elements hold nothing but a short text
                self._leaf(self._name(name), unescape(tokens[at + 1][3]).decode("utf-8", "replace"))
                self._taken += len(tokens[at + 1][3]) + len(name) + 3
                at += 2
            else:
                self._begin(self._name(name), attrs)
            at += 1

    def _name(self, name: bytes) -> str:
        found = self._names.get(name)
        if found is None:
            if len(self._names) >= 4096:
                self._names.clear()
            found = self._names[name] = name.decode("utf-8", "replace")
        return found

    def _leaf(self, name: str, text: str) -> None:
        if self._skipped:
            self._text(text)
            return
        bare = text.strip()
        parent = self._open[-1]
        parent.children.setdefault(name, []).append(bare)
        if bare and not parent.entered:
            self._flow(parent, bare)

    @staticmethod
    def _flow(parent: _Element, text: str) -> None:
        if len(text) <= _MAX_FLOW:
            parent.flow.append(text)
        else:
            # too long to be part of a text around it
            parent.is_long = True

    # --- tags ----------------------------------------------------------------------------------------------------

    def _begin(self, name: str, attrs: bytes) -> None:
        if len(self._open) >= MAX_OPEN:
            # nobody writes so; the text inside belongs to the last one
            self.faults += 1
            self._skipped += not attrs.endswith(b"/")
            return
        own = {
            key.decode("utf-8", "replace"): value.decode("utf-8", "replace")
            for key, value in attributes(attrs).items()
        } if attrs else {}  # fmt: skip
        self._open.append(_Element(name, own, self._taken))
        if attrs.endswith(b"/"):
            self._close()

    def _end(self, name: str) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        if self._open and self._open[-1].name == name:
            self._close()
            return
        self.faults += 1
        if any(each.name == name for each in self._open[-_LOOK_BACK:]):
            while self._open[-1].name != name:
                self._close()
            self._close()

    def _text(self, text: str) -> None:
        if not self._open or self._open[-1].entered:
            self.out.text(text.encode("utf-8", "replace") + b"\n")
            return
        self._open[-1].flow.append(text)
        self._open[-1].has_text = True

    def _definition(self, name: bytes, attrs: bytes) -> None:
        self.entities += name == b"!ENTITY"
        self.out.text(unescape(attrs).strip() + b"\n")

    # --- elements ------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        element = self._open.pop()
        size = self._taken - element.begin
        if element.entered:
            self._flush(element)
            return
        key, value = _value(element)
        if not self._open:
            if value != "":
                self.give([value], key, size)
            return
        parent = self._open[-1]
        parent.children.setdefault(key, []).append(value)
        if type(value) is str and not parent.entered:
            self._flow(parent, value)

    def _enter(self) -> None:
        """Give out the children of elements that have become too large to be one value."""
        if not self._open or self._taken - self._open[0].begin <= self.limits.max_line:
            return
        for element in self._open:
            if not element.entered and self._taken - element.begin <= self.limits.max_line // 2:
                break
            element.entered = True
            self._flush(element)

    def _flush(self, element: _Element) -> None:
        children, element.children = element.children, {}
        own, element.own = element.own, {}
        if element.has_text:
            self.out.text(" ".join(element.flow).encode("utf-8", "replace") + b"\n")
        element.flow, element.has_text = [], False
        single: dict[str, Any] = {key: value for key, value in own.items() if key not in _SAYS_NOTHING}
        for key, values in children.items():
            if len(values) == 1 and type(values[0]) is str:
                single.setdefault(key, values[0])
                if single[key] != values[0]:
                    self.give(values, key, 0)
            else:
                self.give(values, key, 0)
        if single:
            self.records.add([single], element.name)
        self.records.add([], size=self.limits.max_line)


def _value(element: _Element) -> tuple[str, Any]:
    """The key and the value of an element."""
    name, own, children = element.name, element.own, element.children
    for word in _SAYS_NOTHING:
        if word in own and (word in ("nil", "xmlns", "null") or not children):
            if word in ("type", "Type") and len(own) == 1 and name != "Data":
                continue
            own.pop(word)
    text = " ".join(" ".join(element.flow).split()) if len(element.flow) != 1 else element.flow[0].strip()
    if not children:
        if not own:
            return name, text if element.has_text else ""
        if len(own) == 1:
            [(key, value)] = own.items()
            if key in _VALUE and not element.has_text:
                return name, value
            if key in _NAMES and (element.has_text or name.lower() in ("field", "column", "str", "property")):
                return value, text if element.has_text else ""
        return name, {**own, "#text": text} if element.has_text else dict(own)
    plain = all(type(value) is str for values in children.values() for value in values)
    if element.has_text and plain and not element.is_long:
        # running text with marks in it
        return name, {**own, "#text": text} if own else text
    if len(children) == 1 and not own and not element.has_text:
        [(key, values)] = children.items()
        if name == "Cell" and key == "Data" and len(values) == 1:
            return name, values[0]
        if plain and len(values) > 1 and _ROWS.fullmatch(name):
            return name, values
    found: dict[str, Any] = dict(own)
    for key, values in children.items():
        place = key if key not in found else f"{key}_2"
        found[place] = values[0] if len(values) == 1 else values
    if element.has_text:
        found["#text"] = " ".join(part for part in element.flow if part.strip())
    return name, found
