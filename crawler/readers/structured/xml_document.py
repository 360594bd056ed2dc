"""Reads XML of any size: repeated elements become rows, everything else is output as text.

`xml_tokens` splits the XML into tags, without expanding entities or rejecting anything. This module turns elements into
values like those of JSON, and `json_records` decides which of them are rows. HTML has a reader of its own.
"""

from __future__ import annotations

import re
from typing import Any

from crawler.readers.core.charsets import recode_to_utf8
from crawler.readers.core.encoding import as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.structured.json_records import RecordWriter
from crawler.readers.structured.xml_tokens import (
    RecordShape,
    TokenColumns,
    WholeToken,
    parse_attributes,
    root_name,
    unescape_xml,
    whole_token_blocks,
)
from data.identifiers.header_words import role_of

FORMAT = "xml"
EMBEDDED_SEARCH = "all"
ENCODED_VALUES = "all"

MAX_OPEN = 10_000
"""The reader follows at most this many elements inside each other."""
# open elements among which the partner of a mismatched closing tag is searched
_LOOK_BACK = 16
# the text of a child becomes part of the running text around it only up to this many characters
_MAX_INLINE_TEXT = 4096

# HTML elements with which a fragment of HTML may begin
_HTML = re.compile(
    r"html|head|body|div|p|span|br|[abiu]|em|strong|table|t[rdh]|[uo]l|li|h[1-6]|img|script|style|center|font|hr|pre"
    r"|form|blockquote|input|section|article|main|nav|header|footer|meta|link|title|iframe|button|label",
    re.IGNORECASE,
)
_PROLOG = re.compile(rb"<\?xml[\s?]")
_DOCTYPE = re.compile(rb"<!DOCTYPE\s++([\w.-]++)")
DECLARED_ENCODING = re.compile(rb"<\?xml[^>]{0,200}?\sencoding\s*=\s*[\"']([\w.:-]{1,40})[\"']")
# an only attribute with one of these names holds the value of the element, or the name of the value inside the element
_VALUE_ATTRIBUTES = ("value", "v", "val", "valeur")
_NAME_ATTRIBUTES = ("name", "key", "field", "column", "nom_colonne", "label")
# attributes that hold no data
_IGNORED_ATTRIBUTES = ("nil", "type", "Type", "null", "xmlns")
# of XML-RPC, and of others whose names are those of the fields of a person
_STRUCT, _MIN_ROLES = "struct", 2
_PAIR_NAMES, _PAIR_VALUES = frozenset(("name", "key", "nom", "label", "column")), ("value", "valeur", "val")
_TABLE_ELEMENTS = ("table", "table_data")
_ROW_ELEMENTS = re.compile(r"row|tr|line|ligne|record|enregistrement|r", re.IGNORECASE)


def sniff(head: bytes, name: str) -> float:
    """Confidence that the sample is XML: high if it begins with a prolog, or with an element that is not HTML."""
    text = as_utf8(head).lstrip(b"\xef\xbb\xbf \t\n")
    if not text.startswith(b"<") or not is_text(text):
        return 0.0
    # a document type declaration may be longer than the head
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
    """Output one row per record; nested elements are flattened to columns such as `a.b` and `a.0`."""
    ElementReader(out, limits).read(source)


class _Element:
    """An element that has begun and not ended."""

    __slots__ = ("attributes", "begin", "children", "entered", "has_text", "is_long", "name", "texts")

    def __init__(self, name: str, attributes: dict[str, Any], begin: int) -> None:
        self.name = name
        self.attributes = attributes
        self.begin = begin
        # values of child elements by name, and texts in order: those of the element and those of its children
        self.children: dict[str, list[Any]] = {}
        self.texts: list[str] = []
        # it has text of its own; a child has a text too long for the running text
        self.has_text = self.is_long = False
        # it is too large for one value: its children are written by themselves
        self.entered = False


class ElementReader:
    """Reads elements and writes them as records.

    Attributes:
        mismatched_tags: how many tags have no partner.
        entities: how many entities the document defines; they are not expanded.
    """

    def __init__(self, out: Output, limits: Limits) -> None:
        self.out = out
        self.limits = limits
        self.records = RecordWriter(out, limits)
        self.mismatched_tags = self.entities = 0
        self._open: list[_Element] = []
        # open elements beyond `MAX_OPEN`, which are not followed
        self._too_deep = 0
        # bytes of all tokens so far
        self._position = 0
        self._names: dict[bytes, str] = {}
        # the record that was read last: its tags, its name and the names of its children
        self._shape: RecordShape | None = None
        self._shape_name = ""
        self._shape_keys: list[str] = []

    def add_values(self, values: list[Any], name: str, size: int) -> None:
        """Write complete values of elements of one name, read from `size` bytes."""
        self.records.add(values, name, size)

    def read(self, source: Source) -> None:
        """Read a whole source, and report what was wrong with it."""
        for tokens in whole_token_blocks(recode_to_utf8(source, DECLARED_ENCODING, self.out)):
            self._read_tokens(tokens)
            self._enter_large_elements()
        cut = bool(self._open)
        while self._open:
            self._close_innermost()
        self.records.finish()
        if self.mismatched_tags:
            self.out.problem("xml", f"{self.mismatched_tags} tags have no partner; the elements around them were read")
        if self.entities:
            self.out.problem("entities", f"the document defines {self.entities} entities; they were not expanded")
        if cut:
            self.out.problem("cut", "the document ends inside an element")

    def _read_tokens(self, tokens: list[WholeToken]) -> None:
        at, opened = 0, self._open
        columns: TokenColumns = tuple(zip(*tokens, strict=True))
        while at < len(tokens):
            whole, inner, slash, name, attrs, text = tokens[at]
            if whole:
                self._position += len(inner) + 2 * len(whole) + 6
                self._add_whole(self._decoded_name(whole), inner)
            elif text:
                self._position += len(text) + 3
                if text.strip():
                    self._add_text(unescape_xml(text).decode("utf-8", "replace"))
            elif not slash and not attrs and opened and (taken := self._take_record(tokens, columns, at)):
                at += taken
                continue
            else:
                # elements remember where they began
                self._position += len(name) + len(attrs) + 3
                if name.startswith(b"!"):
                    self._write_definition(name, attrs)
                elif slash:
                    self._close_tag(self._decoded_name(name))
                else:
                    self._open_tag(self._decoded_name(name), attrs)
            at += 1

    def _add_whole(self, key: str, inner: bytes) -> None:
        """Add an element that holds nothing but text."""
        if not self._open or self._too_deep:
            self._open_tag(key, b"")
            if inner.strip():
                self._add_text(unescape_xml(inner).decode("utf-8", "replace"))
            self._close_tag(key)
            return
        bare = unescape_xml(inner).decode("utf-8", "replace").strip()
        parent = self._open[-1]
        parent.children.setdefault(key, []).append(bare)
        if (bare or not inner) and not parent.entered:
            self._add_inline_text(parent, bare)

    def _take_record(self, tokens: list[WholeToken], columns: TokenColumns, at: int) -> int:
        """Add the record that begins at a token as a whole; returns the number of its tokens, 0 if it is no record.

        It does what reading its tags one by one would do.
        """
        if self._too_deep or len(self._open) >= MAX_OPEN:
            return 0
        shape = self._shape
        texts = shape.values(columns, at) if shape is not None else None
        if shape is None or texts is None:
            shape = RecordShape.learn(tokens, at)
            if shape is None:
                return 0
            name, keys = self._decoded_name(shape.name), [self._decoded_name(each) for each in shape.children]
            if name.startswith("!") or name.lower() in _TABLE_ELEMENTS or len(set(keys)) < len(keys):
                return 0
            self._shape, self._shape_name, self._shape_keys = shape, name, keys
            texts = shape.values(columns, at)
        if texts is None:
            return 0
        joined = b"\0".join(texts)
        if b"&" in joined or joined.count(b"\0") != len(texts) - 1:
            values = [unescape_xml(text).decode("utf-8", "replace").strip() for text in texts]
        else:
            values = list(map(str.strip, joined.decode("utf-8", "replace").split("\0")))
        self._position += shape.size + len(joined)
        self._open[-1].children.setdefault(self._shape_name, []).append(
            dict(zip(self._shape_keys, values, strict=True))
        )
        return shape.count

    def _decoded_name(self, name: bytes) -> str:
        found = self._names.get(name)
        if found is None:
            if len(self._names) >= 4096:
                self._names.clear()
            found = self._names[name] = name.decode("utf-8", "replace")
        return found

    @staticmethod
    def _add_inline_text(parent: _Element, text: str) -> None:
        if len(text) <= _MAX_INLINE_TEXT:
            parent.texts.append(text)
        else:
            parent.is_long = True

    # --- tags ----------------------------------------------------------------------------------------------------

    def _open_tag(self, name: str, attrs: bytes) -> None:
        if len(self._open) >= MAX_OPEN:
            # no program nests so deep; the text inside is added to the innermost element that is followed
            self.mismatched_tags += 1
            self._too_deep += not attrs.endswith(b"/")
            return
        attributes = {
            key.decode("utf-8", "replace"): value.decode("utf-8", "replace")
            for key, value in parse_attributes(attrs).items()
        } if attrs else {}  # fmt: skip
        self._open.append(_Element(name, attributes, self._position))
        if attrs.endswith(b"/"):
            self._close_innermost()

    def _close_tag(self, name: str) -> None:
        if self._too_deep:
            self._too_deep -= 1
            return
        if self._open and self._open[-1].name == name:
            self._close_innermost()
            return
        self.mismatched_tags += 1
        if any(each.name == name for each in self._open[-_LOOK_BACK:]):
            while self._open[-1].name != name:
                self._close_innermost()
            self._close_innermost()

    def _add_text(self, text: str) -> None:
        if not self._open or self._open[-1].entered:
            self.out.text(text.encode("utf-8", "replace") + b"\n")
            return
        self._open[-1].texts.append(text)
        self._open[-1].has_text = True

    def _write_definition(self, name: bytes, attrs: bytes) -> None:
        self.entities += name == b"!ENTITY"
        # a CDATA section that does not end is text
        text = name.partition(b"[CDATA[")[2] + attrs
        self.out.text(unescape_xml(text).strip() + b"\n")

    # --- elements ------------------------------------------------------------------------------------------------

    def _close_innermost(self) -> None:
        """End the innermost open element: its value is added to the element around it, or written."""
        element = self._open.pop()
        size = self._position - element.begin
        if element.entered:
            self._write_children(element)
            return
        key, value = _key_and_value(element)
        if not self._open:
            if value != "":
                self.add_values([value], key, size)
            return
        parent = self._open[-1]
        parent.children.setdefault(key, []).append(value)
        if type(value) is str and not parent.entered:
            self._add_inline_text(parent, value)

    def _enter_large_elements(self) -> None:
        """Write the children of the open elements that have become too large for one value."""
        if not self._open or self._position - self._open[0].begin <= self.limits.max_line:
            return
        for element in self._open:
            if not element.entered and self._position - element.begin <= self.limits.max_line // 2:
                break
            element.entered = True
            self._write_children(element)

    def _write_children(self, element: _Element) -> None:
        """Write the children, the attributes and the text that an entered element has collected."""
        children, element.children = element.children, {}
        attributes, element.attributes = element.attributes, {}
        if element.has_text:
            self.out.text(" ".join(element.texts).encode("utf-8", "replace") + b"\n")
        element.texts, element.has_text = [], False
        single: dict[str, Any] = {key: value for key, value in attributes.items() if key not in _IGNORED_ATTRIBUTES}
        for key, values in children.items():
            if len(values) == 1 and type(values[0]) is str:
                single.setdefault(key, values[0])
                if single[key] != values[0]:
                    self.add_values(values, key, 0)
            else:
                self.add_values(values, key, 0)
        if single:
            self.records.add([single], element.name)
        self.records.add([], size=self.limits.max_line)


def _key_and_value(element: _Element) -> tuple[str, Any]:
    """The key and the value that an element has in the element around it.

    The value is a string, a list of strings, or an object with the attributes, the children, and the text as `#text`.
    """
    name, attributes, children = element.name, element.attributes, element.children
    for word in _IGNORED_ATTRIBUTES:
        if word in attributes and (word in ("nil", "xmlns", "null") or not children):
            if word in ("type", "Type") and len(attributes) == 1 and name != "Data":
                continue
            attributes.pop(word)
    text = " ".join(" ".join(element.texts).split()) if len(element.texts) != 1 else element.texts[0].strip()
    if not children:
        if not attributes:
            return name, text if element.has_text else ""
        if len(attributes) == 1:
            [(key, value)] = attributes.items()
            if key in _VALUE_ATTRIBUTES and not element.has_text:
                return name, value
            if key in _NAME_ATTRIBUTES and (element.has_text or name.lower() in ("field", "column", "str", "property")):
                return value, text if element.has_text else ""
        if "tag" in attributes and "name" in attributes:
            # dcm2xml writes an element of DICOM so
            return attributes["name"], text if element.has_text else ""
        return name, {**attributes, "#text": text} if element.has_text else dict(attributes)
    plain = all(type(value) is str for values in children.values() for value in values)
    if element.has_text and plain and not element.is_long:
        # running text with inline markup
        return name, {**attributes, "#text": text} if attributes else text
    if len(children) == 1 and not attributes and not element.has_text:
        [(key, values)] = children.items()
        if name == "Cell" and key == "Data" and len(values) == 1:
            return name, values[0]
        if plain and len(values) > 1 and _ROW_ELEMENTS.fullmatch(name):
            return name, values
    if len(children) == 1 and not element.has_text and (fields := _fields_of_pairs(name, *children.values())):
        return name, {**attributes, **fields}
    found: dict[str, Any] = dict(attributes)
    if name.lower() in _TABLE_ELEMENTS and "name" in found:
        # phpMyAdmin repeats the name of the table at each row; no person is called so
        found["table"] = found.pop("name")
    for key, values in children.items():
        place = key if key not in found else f"{key}_2"
        found[place] = values[0] if len(values) == 1 else values
    if element.has_text:
        found["#text"] = " ".join(part for part in element.texts if part.strip())
    return name, found


def _fields_of_pairs(name: str, pairs: list[Any]) -> dict[str, Any]:
    """The object whose keys and values are children of equal elements, as XML-RPC writes each; {} for anything else."""
    fields: dict[str, Any] = {}
    for pair in pairs:
        if type(pair) is not dict or len(pair) != len(("name", "value")):
            return {}
        key = next((pair[each] for each in _PAIR_NAMES if each in pair), None)
        value = next((pair[each] for each in _PAIR_VALUES if each in pair), None)
        if type(key) is not str or value is None or key in fields:
            return {}
        # the value stands under its type
        fields[key] = next(iter(value.values())) if type(value) is dict and len(value) == 1 else value
    if name == _STRUCT or len({role_of(key) for key in fields} - {""}) >= _MIN_ROLES:
        return fields
    return {}
