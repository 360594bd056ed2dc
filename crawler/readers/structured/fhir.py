"""FHIR resources: bundles, bulk exports and single ones, in JSON and in XML; people are rows, everything else is text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from crawler.readers.core.encoding import as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.special_members import read_base64_member
from crawler.readers.structured.json_document import Document, cut
from crawler.readers.structured.json_records import Records, leaves
from crawler.readers.structured.person_row import Person
from crawler.readers.structured.xml_document import Elements
from crawler.readers.structured.xml_tokens import root_name

FORMAT = "fhir"
EMBEDDED_SEARCH = "all"

_KIND = re.compile(rb"\"resourceType\"\s*:\s*\"[A-Z][A-Za-z]+\"")
_NAMESPACE = re.compile(rb"<(?:\w+:)?[A-Z]\w+[^<>]*xmlns(?::\w+)?\s*=\s*[\"']http://hl7\.org/fhir[\"']")
_LOOKED_AT = 4096
_PEOPLE = frozenset({"Patient", "Practitioner", "RelatedPerson", "Person"})
_MARKS = re.compile(r"<[^<>]*>")
_SCHEMES = re.compile(r"^(?:tel|mailto|sms):", re.IGNORECASE)
# a file inside a resource: Attachment.data, Binary.data, and Binary.content of older versions
_FILE = re.compile(r"[A-Za-z0-9+/\s]{32,}={0,2}\s*")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Sure where a resource says its type near the beginning."""
    text = as_utf8(head).lstrip(b"\xef\xbb\xbf \t\n")[:_LOOKED_AT]
    if not is_text(text):
        return 0.0
    if text[:1] in (b"{", b"["):
        return 0.97 if _KIND.search(text) else 0.0
    return 0.97 if text[:1] == b"<" and root_name(text) and _NAMESPACE.search(text) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Give out a row for each person of each resource, and all else that resources say as text."""
    if as_utf8(source.peek(8192)).lstrip(b"\xef\xbb\xbf \t\n").startswith(b"<"):
        _Xml(out, limits).read(source)
    else:
        cut(source, out, limits, _Json(out, limits))


class _Json(Document):
    """Takes JSON values as resources."""

    def __init__(self, out: Output, limits: Limits) -> None:
        super().__init__(out, limits)
        self.resources = _Resources(out, self.records)

    def values(self, values: list[Any], size: int) -> None:
        """Values of one list."""
        for value in values:
            self.resources.take(value)
        self.records.add([], size=size)

    def keyed(self, key: str, value: dict[str, Any], size: int) -> None:
        """A part of a resource too large for memory, or the only one of an entry."""
        self.resources.take({"resource": value} if key == "resource" else value)
        self.records.add([], size=size)


class _Xml(Elements):
    """Takes elements as resources."""

    def __init__(self, out: Output, limits: Limits) -> None:
        super().__init__(out, limits)
        self.resources = _Resources(out, self.records)

    def give(self, values: list[Any], name: str, size: int) -> None:
        """Values of one name."""
        for value in values:
            self.resources.take({name: value} if name[:1].isupper() else value)
        self.records.add([], size=size)


class _Resources:
    """Resources on their way to rows and text."""

    def __init__(self, out: Output, records: Records) -> None:
        self.out = out
        self.records = records

    def take(self, value: Any) -> None:
        """A resource, an entry of a bundle, or a part of either; a stack in place of recursion, for depth is hostile."""
        work = [value]
        while work:
            value = work.pop()
            if type(value) is not dict:
                self._say(value)
                continue
            if "resourceType" not in value and len(value) == 1:
                # in XML the type is the name of the element
                [(kind, inner)] = value.items()
                if kind[:1].isupper() and type(inner) is dict:
                    value = {**inner, "resourceType": kind}
            rest = dict(value)
            for key in ("entry", "resource", "contained"):
                if any(type(each) is dict for each in _all(value.get(key))):
                    work += reversed(_all(rest.pop(key)))
            kind = str(rest.get("resourceType", ""))
            if kind in _PEOPLE:
                self._person(kind, rest)
            self._say(rest)

    def _person(self, kind: str, resource: dict[str, Any]) -> None:
        """Rows of a person and of those to call; what they hold is taken out of the resource."""
        # without a type it is still what it is: a row of text
        contacts = _all(resource.get("contact")) if kind == "Patient" else []
        people = [(kind, resource), *((f"{kind}.contact", each) for each in contacts if type(each) is dict)]
        for name, part in people:
            person = Person(name)
            for each in _all(part.pop("name", None)):
                _name(person, each)
            for each in _all(part.pop("telecom", None)):
                _telecom(person, each)
            for each in _all(part.pop("identifier", None)):
                _identifier(person, each)
            person.addresses = [" ".join(_texts(each)) for each in _all(part.pop("address", None))]
            person.birth_dates = [str(each) for each in _all(part.pop("birthDate", None))]
            if row := person.row():
                self.records.add([row])

    def _say(self, value: Any) -> None:
        """Everything a value says, as text; files inside it as members."""
        words = []
        for path, text in _paths(value):
            name = path.rpartition(".")[2]
            if name in ("data", "content") and _FILE.fullmatch(text):
                self.records.flush()
                read_base64_member(path, text.encode(), self.out)
            elif text:
                words.append(" ".join(_MARKS.sub(" ", text).split()) if name == "div" else text)
        if words:
            self.out.text("\n".join([*words, ""]).encode("utf-8", "replace"))


def _name(person: Person, name: Any) -> None:
    if type(name) is not dict:
        person.full_names.append(str(name))
        return
    given = _strings(name.get("given"))
    family = " ".join(_strings(name.get("family")))
    if family or given:
        person.names.append((family, given[0] if given else "", " ".join(given)))
        # a name in one text says the same once more, unless it does not
        whole = set(" ".join((family, *given)).lower().split())
        person.full_names += [each for each in _strings(name.get("text")) if not set(each.lower().split()) <= whole]
    else:
        person.full_names += _texts(name)


def _telecom(person: Person, contact: Any) -> None:
    values = _strings(contact.get("value")) if type(contact) is dict else _texts(contact)
    for value in values:
        bare = _SCHEMES.sub("", value)
        (person.mails if "@" in bare else person.phones).append(bare)


def _identifier(person: Person, identifier: Any) -> None:
    if type(identifier) is not dict:
        person.identifiers.append((str(identifier), ""))
        return
    about = {key: value for key, value in identifier.items() if key != "value"}
    person.identifiers += [(value, " ".join(_texts(about))) for value in _strings(identifier.get("value"))]


def _all(value: Any) -> list[Any]:
    """One or many as a list: XML tells no list of one from one."""
    if value is None:
        return []
    return value if type(value) is list else [value]


def _strings(value: Any) -> list[str]:
    return [each if type(each) is str else " ".join(_texts(each)) for each in _all(value)]


def _texts(value: Any) -> list[str]:
    return [text for _, text in _paths(value) if text]


def _paths(value: Any) -> Iterator[tuple[str, str]]:
    for path, text in leaves(value if type(value) is dict else {"": value}):
        yield path, text.decode()
