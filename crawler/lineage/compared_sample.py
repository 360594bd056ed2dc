"""A sample as it is compared with all releases: record keys, values, counts. `crawler.lineage.lineage` compares it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from crawler.lineage.origin import NO_EVIDENCE, OriginEvidence
from crawler.lineage.typo_search import TypoSearch
from data.arrays.array_types import U64, Bools
from data.hashing.tags import Kind
from data.releases.people import rows_with_key


@dataclass(frozen=True, slots=True)
class TextCounts:
    """Counts of the free texts (medical notes) of a sample; `crawler.records.note_prints` recognises them.

    Attributes:
        read: texts that were read.
        known: texts that a release holds.
        new: texts that are long enough to be recognised and that no release holds.
        new_of_known: new texts in rows of known people.
    """

    read: int = 0
    known: int = 0
    new: int = 0
    new_of_known: int = 0


NO_TEXTS = TextCounts()


@dataclass(frozen=True, slots=True)
class SampledPart:
    """Describes rows that are only a part of a sample, drawn person by person.

    Attributes:
        one_in: one value in this many was drawn.
        people: how many people the whole sample describes.
        holds_all_new: whether every unmatched person is in the part, so that only known people were drawn.
    """

    one_in: int
    people: int
    holds_all_new: bool


@dataclass(frozen=True, slots=True, eq=False)
class ComparedSample:
    """What is known of a sample when it is compared with the releases.

    Attributes:
        keys: shape (n, 6), the record keys of all rows, columns as `RECORD_KINDS`, 0 for absent.
        values: the distinct tags of single values per kind, shape (m,) each.
        has_hits: whether canaries of a client hit in the sample.
        held: shape (n, 6), which keys any release holds; None if they were not looked up yet.
        typo_search: repeats the look-up of uncertain people with one typing error undone; it is used only where its
            result can matter.
        texts: counts of the free texts.
        unkeyed_rows: rows without a record key that are not in `keys`.
        bare_rows: further rows in which a name or a value stands that identifies nobody by itself.
        doubtful_rows: rows that no release knows for certain, but that may be of known people.
        rows_of_relatives: rows that share nothing but a number and a surname with a release.
        perhaps_twins: people known by the number of a parent and their birth date alone, under another name.
        repeated_rows: rows that are not in `keys` because they equal a row that is.
        evidence: what tells whose breach the sample is from, apart from its people.
        part: set if `keys` holds only a part of the sample. The lineage is still that of the whole sample.
    """

    keys: U64
    values: Mapping[Kind, U64]
    has_hits: bool
    held: Bools | None = None
    typo_search: TypoSearch | None = None
    texts: TextCounts = NO_TEXTS
    unkeyed_rows: int = 0
    bare_rows: int = 0
    doubtful_rows: int = 0
    rows_of_relatives: int = 0
    perhaps_twins: int = 0
    repeated_rows: int = 0
    part: SampledPart | None = None
    evidence: OriginEvidence = NO_EVIDENCE

    def with_keyed_rows_only(self) -> ComparedSample:
        """The same sample without the rows that have no record key; these are added to `unkeyed_rows`."""
        keyed = rows_with_key(self.keys)
        if keyed.all():
            # avoids a copy of the keys: 720 MB for 15 million rows
            return self
        return replace(
            self,
            keys=self.keys[keyed],
            held=None if self.held is None else self.held[keyed],
            unkeyed_rows=self.unkeyed_rows + len(self.keys) - int(keyed.sum()),
        )
