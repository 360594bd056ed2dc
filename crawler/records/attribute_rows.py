"""Tables with one attribute a row (`user_id, meta_key, meta_value`): the rows of one id become one row. Pure.

WordPress keeps its users in this way, REDCap its answers, and so do many questionnaires.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from crawler.records.row_batch import RowBatch
from crawler.records.table_sample import TableSample
from data.identifiers.header_words import role_of

# So many cells are held until the rows of an id are joined; those of one id mostly stand beside each other.
MAX_CELLS = 500_000
MAX_ATTRIBUTES = 400
_MAX_WIDTH = 12
# roles of which the attributes must name at least two different ones
_PERSONAL = frozenset({"surname", "first", "fullname", "dob", "email", "phone", "nir"})
_MIN_ATTRIBUTES, _MIN_ROLES = 3, 2
# A role counts if so many of the ids have an attribute of it: of a table of people with a column of first names two were
# called Telmo and Insa, which begin as words for telephones and numbers do.
_NAMED = 0.3
# at most this share of the rows may repeat an attribute of their id
_REPEATED = 0.1
# around a label in Markdown
_MARKS = " \t\r\n*_#>~:\"'"
_VALUE_WORDS = frozenset(
    [
        "value",
        "valeur",
        "meta_value",
        "field_value",
        "answer",
        "reponse",
        "response",
        "contenu",
        "content",
        "data",
        "val",
        "text",
        "texte",
        "resultat",
    ]
)


@dataclass(frozen=True, slots=True)
class AttributeColumns:
    """The columns of such a table, by their numbers; `entity` is None if a repeated attribute begins the next row."""

    entity: int | None
    attribute: int
    value: int


def find_attribute_columns(header: Sequence[str] | None, sample: TableSample) -> AttributeColumns | None:
    """The columns of a table with one attribute a row; None for any other table."""
    if not 2 <= sample.width <= _MAX_WIDTH or sample.rows < _MIN_ATTRIBUTES:
        return None
    names = [
        header[at].strip().lower() if header is not None and at < len(header) else "" for at in range(sample.width)
    ]
    # an entity, or with two columns the attribute, comes again and again: that is counted first
    joins = [_joins(sample.texts(at)) for at in range(sample.width)]
    for at in range(sample.width):
        if not (joins[at] if sample.width == 2 else any(joins[:at]) or any(joins[at + 1 :])):
            continue
        keys = sample.texts(at)
        distinct = {key for key in set(keys) if key.strip()}
        if not _MIN_ATTRIBUTES <= len(distinct) <= MAX_ATTRIBUTES:
            continue
        if role_of(names[at]) in _PERSONAL or sum(map(_is_word, distinct)) < 0.9 * len(distinct):
            continue
        roles = _counted_roles(keys)
        if len(roles) < _MIN_ROLES:
            continue
        others = [other for other in range(sample.width) if other != at]
        value = next((other for other in others if names[other] in _VALUE_WORDS), None)
        if value is None:
            after = [other for other in others if other > at] or others
            value = max(after, key=lambda other: len(set(sample.texts(other))))
        if len(set(sample.texts(value))) < len(distinct):
            continue
        entities = [other for other in others if other != value]
        found = {other: _share_of_repeats(sample.texts(other), keys) for other in entities}
        good = [other for other in entities if found[other] <= _REPEATED and joins[other]]
        if good:
            entity = min(good, key=lambda other: (found[other], other))
            people = len(set(sample.texts(entity)))
            if sum(count >= _NAMED * people for count in roles.values()) >= _MIN_ROLES:
                return AttributeColumns(entity, at, value)
        if not entities and keys.count(keys[0]) > 1:
            # the first attribute comes again, so that the rows of several people follow each other
            return AttributeColumns(None, at, value)
    return None


def _counted_roles(keys: Sequence[str]) -> dict[str, int]:
    """In how many rows an attribute names each personal role."""
    counts: dict[str, int] = {}
    for key, count in Counter(keys).items():
        if (role := attribute_role(key)) in _PERSONAL:
            counts[role] = counts.get(role, 0) + count
    return counts


def attribute_role(attribute: str) -> str:
    """The role that an attribute names, also behind a word such as in `billing_email`."""
    attribute = attribute.strip(_MARKS)
    role = role_of(attribute)
    return role_of(attribute.partition("_")[2]) if not role and "_" in attribute else role


def _is_word(attribute: str) -> bool:
    return len(attribute) <= 80 and not any(char in attribute for char in "@;\n")


def _share_of_repeats(entities: Sequence[str], keys: Sequence[str]) -> float:
    return 1 - len(set(zip(entities, keys, strict=True))) / len(keys)


def _joins(entities: Sequence[str]) -> bool:
    """Whether a column has the same cell in several rows."""
    return len(set(entities)) * 1.5 <= len(entities)


class AttributeRows:
    """Joins the rows of one id.

    Attributes:
        split: how many ids had further rows after their row was given out.
    """

    def __init__(self, columns: AttributeColumns, header: Sequence[str] | None, width: int) -> None:
        self.columns = columns
        self.split = 0
        self._kept = [at for at in range(width) if at not in (columns.attribute, columns.value)]
        self._kept_names = [header[at] if header is not None and at < len(header) else "" for at in self._kept]
        self._attributes: dict[str, int] = {}
        self._entities: dict[str, dict[int, str]] = {}
        self._given_out: set[int] = set()
        self._cells = 0
        self._number = 0

    def add(self, batch: RowBatch) -> None:
        """Add rows."""
        keys, values = (batch.column(at).texts() for at in (self.columns.attribute, self.columns.value))
        entities = batch.column(self.columns.entity).texts() if self.columns.entity is not None else None
        kept = [batch.column(at).texts() for at in self._kept]
        for row, key in enumerate(keys):
            entity = entities[row] if entities is not None else str(self._number)
            cells = self._entities.get(entity)
            place = self._place(key)
            if entities is None and cells is not None and place in cells:
                self._number += 1
                entity, cells = str(self._number), None
            if cells is None:
                cells = self._entities[entity] = {-1 - at: column[row] for at, column in enumerate(kept)}
                self.split += hash(entity) in self._given_out
                self._cells += len(cells)
            if cells.get(place, values[row]) != values[row] and (further := self._further_place(key)) is not None:
                place = further
            if cells.get(place, values[row]) != values[row]:
                # a further value of one attribute gets a row of its own
                self._number += 1
                cells = self._entities[f"{entity}\0{self._number}"] = {
                    -1 - at: column[row] for at, column in enumerate(kept)
                }
                self._cells += len(cells)
            cells[place] = values[row]
            self._cells += 1

    def _further_place(self, key: str) -> int | None:
        """The column of the second values of an attribute; None if there are too many columns."""
        further = f"{key} 2"
        return self._place(further) if further in self._attributes or len(self._attributes) < MAX_ATTRIBUTES else None

    def _place(self, key: str) -> int:
        if key not in self._attributes and len(self._attributes) >= MAX_ATTRIBUTES:
            return len(self._attributes) - 1
        return self._attributes.setdefault(key, len(self._attributes))

    @property
    def is_full(self) -> bool:
        """Whether so many cells are held that the rows must be taken."""
        return self._cells > MAX_CELLS

    def take(self) -> tuple[list[str], RowBatch]:
        """The joined rows that are held, with their header; the last id is kept while more may follow."""
        header = [*self._kept_names, *map(_plain_name, self._attributes)]
        entities, self._entities = self._entities, {}
        self._given_out.update(map(hash, entities))
        self._cells = 0
        places = [*(-1 - at for at in range(len(self._kept))), *range(len(self._attributes))]
        return header, RowBatch.of([[cells.get(place, "") for place in places] for cells in entities.values()])


def _plain_name(attribute: str) -> str:
    """The name of the column of an attribute, such that its words name its role."""
    attribute = attribute.strip(_MARKS)
    return attribute if role_of(attribute) or not attribute_role(attribute) else attribute.partition("_")[2]
