"""Reads FHIR resources in JSON and XML (bundles, bulk exports, single resources); people become rows, the rest text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from crawler.readers.core.encoding import as_utf8, is_text
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source
from crawler.readers.core.transfer_encodings import read_base64_member
from crawler.readers.structured.json_document import DocumentHandler, read_json
from crawler.readers.structured.json_records import RecordWriter, flatten
from crawler.readers.structured.person_fields import PersonFields
from crawler.readers.structured.xml_document import ElementReader
from crawler.readers.structured.xml_tokens import root_name

FORMAT = "fhir"
EMBEDDED_SEARCH = "all"

_RESOURCE_TYPE = re.compile(rb"\"resourceType\"\s*:\s*\"[A-Z][A-Za-z]+\"")
_NAMESPACE = re.compile(rb"<(?:\w+:)?[A-Z]\w+[^<>]*xmlns(?::\w+)?\s*=\s*[\"']http://hl7\.org/fhir[\"']")
_SNIFFED = 4096
_PEOPLE = frozenset({"Patient", "Practitioner", "RelatedPerson", "Person"})
_TAGS = re.compile(r"<[^<>]*>")
_SCHEMES = re.compile(r"^(?:tel|mailto|sms):", re.IGNORECASE)
# a file inside a resource: Attachment.data, Binary.data, and Binary.content of older versions
_FILE = re.compile(r"[A-Za-z0-9+/\s]{32,}={0,2}\s*")


def sniff(head: bytes, name: str) -> float:  # noqa: ARG001 - every reader takes both
    """Confidence that the sample is FHIR: high if a resource states its type near the beginning."""
    text = as_utf8(head).lstrip(b"\xef\xbb\xbf \t\n")[:_SNIFFED]
    if not is_text(text):
        return 0.0
    if text[:1] in (b"{", b"["):
        return 0.97 if _RESOURCE_TYPE.search(text) else 0.0
    return 0.97 if text[:1] == b"<" and root_name(text) and _NAMESPACE.search(text) else 0.0


def read(source: Source, out: Output, limits: Limits) -> None:
    """Output a row for each person in each resource, and everything else in the resources as text."""
    if as_utf8(source.peek(8192)).lstrip(b"\xef\xbb\xbf \t\n").startswith(b"<"):
        _XmlResourceReader(out, limits).read(source)
    else:
        read_json(source, out, limits, _JsonResourceHandler(out, limits))


class _JsonResourceHandler(DocumentHandler):
    """Treats JSON values as resources."""

    def __init__(self, out: Output, limits: Limits) -> None:
        super().__init__(out, limits)
        self.resources = _ResourceWriter(out, self.records)

    def add_values(self, values: list[Any], size: int) -> None:
        """Write values of one list."""
        for value in values:
            self.resources.add(value)
        self.records.add([], size=size)

    def add_object(self, key: str, value: dict[str, Any], size: int) -> None:
        """Write a part of a resource that is too large for memory, or the resource of an entry."""
        self.resources.add({"resource": value} if key == "resource" else value)
        self.records.add([], size=size)


class _XmlResourceReader(ElementReader):
    """Treats XML elements as resources."""

    def __init__(self, out: Output, limits: Limits) -> None:
        super().__init__(out, limits)
        self.resources = _ResourceWriter(out, self.records)

    def add_values(self, values: list[Any], name: str, size: int) -> None:
        """Write values of elements of one name."""
        for value in values:
            self.resources.add({name: value} if name[:1].isupper() else value)
        self.records.add([], size=size)


class _ResourceWriter:
    """Writes resources as rows and text."""

    def __init__(self, out: Output, records: RecordWriter) -> None:
        self.out = out
        self.records = records

    def add(self, value: Any) -> None:
        """Write a resource, an entry of a bundle, or a part of either.

        It uses a stack instead of recursion, because an attacker chooses how deep the input is nested.
        """
        work = [value]
        while work:
            value = work.pop()
            if type(value) is not dict:
                self._write_text(value)
                continue
            if "resourceType" not in value and len(value) == 1:
                # in XML, the name of the element is the type of the resource
                [(kind, inner)] = value.items()
                if kind[:1].isupper() and type(inner) is dict:
                    value = {**inner, "resourceType": kind}
            rest = dict(value)
            for key in ("entry", "resource", "contained"):
                if any(type(each) is dict for each in _as_list(value.get(key))):
                    work += reversed(_as_list(rest.pop(key)))
            kind = str(rest.get("resourceType", ""))
            if kind in _PEOPLE:
                self._write_people(kind, rest)
            self._write_text(rest)

    def _write_people(self, kind: str, resource: dict[str, Any]) -> None:
        """Write rows for a person and the person's contacts, and remove the written fields from the resource."""
        # contacts of other resources stay in the resource, and so become text
        contacts = _as_list(resource.get("contact")) if kind == "Patient" else []
        people = [(kind, resource), *((f"{kind}.contact", each) for each in contacts if type(each) is dict)]
        for name, part in people:
            person = PersonFields(name)
            for each in _as_list(part.pop("name", None)):
                _add_name(person, each)
            for each in _as_list(part.pop("telecom", None)):
                _add_telecom(person, each)
            for each in _as_list(part.pop("identifier", None)):
                _add_identifier(person, each)
            person.addresses = [" ".join(_texts(each)) for each in _as_list(part.pop("address", None))]
            person.birth_dates = [str(each) for each in _as_list(part.pop("birthDate", None))]
            if row := person.to_row():
                self.records.add([row])

    def _write_text(self, value: Any) -> None:
        """Write everything inside a value as text, and embedded files as members."""
        words = []
        for path, text in _paths_and_texts(value):
            name = path.rpartition(".")[2]
            if name in ("data", "content") and _FILE.fullmatch(text):
                self.records.flush()
                read_base64_member(path, text.encode(), self.out)
            elif text:
                words.append(" ".join(_TAGS.sub(" ", text).split()) if name == "div" else text)
        if words:
            self.out.text("\n".join([*words, ""]).encode("utf-8", "replace"))


def _add_name(person: PersonFields, name: Any) -> None:
    if type(name) is not dict:
        person.full_names.append(str(name))
        return
    given = _strings(name.get("given"))
    family = " ".join(_strings(name.get("family")))
    if family or given:
        person.names.append((family, given[0] if given else "", " ".join(given)))
        # `text` mostly repeats the parts of the name: keep it only if it holds other words
        whole = set(" ".join((family, *given)).lower().split())
        person.full_names += [each for each in _strings(name.get("text")) if not set(each.lower().split()) <= whole]
    else:
        person.full_names += _texts(name)


def _add_telecom(person: PersonFields, contact: Any) -> None:
    values = _strings(contact.get("value")) if type(contact) is dict else _texts(contact)
    for value in values:
        bare = _SCHEMES.sub("", value)
        (person.mails if "@" in bare else person.phones).append(bare)


def _add_identifier(person: PersonFields, identifier: Any) -> None:
    if type(identifier) is not dict:
        person.identifiers.append((str(identifier), ""))
        return
    about = {key: value for key, value in identifier.items() if key != "value"}
    person.identifiers += [(value, " ".join(_texts(about))) for value in _strings(identifier.get("value"))]


def _as_list(value: Any) -> list[Any]:
    """The value in a list, unless it is one: parsed XML does not distinguish one element from a list of one."""
    if value is None:
        return []
    return value if type(value) is list else [value]


def _strings(value: Any) -> list[str]:
    return [each if type(each) is str else " ".join(_texts(each)) for each in _as_list(value)]


def _texts(value: Any) -> list[str]:
    return [text for _, text in _paths_and_texts(value) if text]


def _paths_and_texts(value: Any) -> Iterator[tuple[str, str]]:
    for path, text in flatten(value if type(value) is dict else {"": value}):
        yield path, text.decode()
