"""Marks of the software that exported a table: its header, the forms of its cells, and the record ids of its people. Pure.

Another organisation's file has the same patients but not the same software: its columns have other names and another
order, and its record ids are others. Releases keep the marks of their tables as keyed tags, and later samples are compared
with them (`crawler.lineage.origin`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from crawler.lineage.origin import MarkCounts
from crawler.records.column_roles import ColumnPlan
from crawler.records.row_batch import RowBatch
from data.arrays.array_types import U64, Bools
from data.arrays.growing_array import GrowingArray
from data.arrays.packed import Packed, hex_digits, side_by_side
from data.hashing.tags import RECORD_KINDS, Kind, probe_tags
from data.identifiers.header_words import id_of_whom, role_of
from data.identifiers.normalise import fold
from data.releases.known_releases import KnownReleases

# A header of fewer columns than this is no mark: everybody names four columns in this way.
LEAST_COLUMNS = 5
# So many tables of a sample are looked at; the form of a column is that of most of so many cells.
MAX_TABLES, FORM_CELLS, FORM_SHARE = 50, 200, 0.6
# Record ids are kept for one person in so many, chosen by their keys: half a byte for each record.
PEOPLE_SAMPLE = 8
# So many pairs of a record id and a person are held at most.
MAX_IDS = 4_000_000
_LEAST_LETTERS = 3
# Rows are numbered if this share of the numbers follows the one before; longer numbers are no numbers of rows.
FOLLOWING_SHARE, _MAX_DIGITS = 0.9, 12
# Separates what is hashed here from values: no normal form of a token contains it.
_DOMAIN = "\x1d"
# What a release has marks of.
_HEADERS, _IDS = b"headers", b"ids"
# Words of tables of people everywhere that name no role.
_USUAL = frozenset(
    "adresse adresse1 adresse2 address rue street ville city commune code_postal zip zipcode pays country sexe sex genre "  # noqa: SIM905
    "gender civilite titre title praticien medecin docteur doctor cabinet date created created_at updated_at age "
    "patient_id id_patient type statut status".split()
)
# Keys by which people are recognised when their record ids are compared.
_ID_KEYS = tuple(RECORD_KINDS.index(kind) for kind in (Kind.NAME_DOB, Kind.NIR_DOB, Kind.PHONE_FIRST))


class TableMarks:
    """Collects the marks of the tables of one sample."""

    def __init__(self, probe_key: bytes, releases: KnownReleases) -> None:
        """Begin a sample; `releases` are those that it is compared with."""
        self._probe, self._releases = probe_key, releases
        # the headers with the number of their unusual words, and pairs of columns: names with the forms of their cells
        self._headers: dict[str, int] = {}
        self._pairs: set[str] = set()
        self._ids = GrowingArray(np.uint64, 1)
        self._compared = self._agreeing = 0

    def add_table(self, header: Sequence[str] | None, first: RowBatch) -> None:
        """A table begins.

        Args:
            header: its words; a table without them has no mark.
            first: its first rows.
        """
        words = [re.sub(r"[^a-z0-9]+", "_", fold(word)).strip("_") for word in header or ()]
        if len(words) < LEAST_COLUMNS or len(self._headers) >= MAX_TABLES:
            return
        self._headers["|".join(words)] = sum(map(_is_unusual, words))
        named = [(word, _form(first.column(at).texts(0, FORM_CELLS))) for at, word in enumerate(words)]
        # two usual names side by side tell nothing
        self._pairs |= {
            f"{one}={form}|{other}={other_form}"
            for (one, form), (other, other_form) in pairwise(named)
            if _is_unusual(one) or _is_unusual(other)
        }

    def add_ids(self, plan: ColumnPlan, batch: RowBatch, keys: U64, held: Bools) -> None:
        """Rows that may have record ids.

        Args:
            plan: what their columns hold.
            batch: the rows.
            keys: shape (n, 6).
            held: shape (n, 6), which of them any release holds.
        """
        ids = (at for at, each in enumerate(plan.columns) if not each.role and id_of_whom(each.name) is not None)
        at = next(ids, None)
        if at is None or len(self._ids) > MAX_IDS:
            return
        is_anew = _are_row_numbers(batch.column(at).texts(0, FORM_CELLS))
        for column in _ID_KEYS:
            of_kind = keys[:, column]
            chosen = np.flatnonzero((of_kind != 0) & (of_kind % np.uint64(PEOPLE_SAMPLE) == 0))
            if not len(chosen):
                continue
            tags = self._id_tags(batch.column(at).take(chosen).stripped(), of_kind[chosen])
            self._ids.add(tags[tags != 0])
            known = held[chosen, column] & (tags != 0)
            if known.any():
                agreeing = int(self._releases.contains_marks(tags[known]).sum())
                # other numbers tell nothing where the rows were numbered anew
                self._compared += agreeing if is_anew else int(known.sum())
                self._agreeing += agreeing

    def tags(self) -> U64:
        """The tags of all marks, for a release of this sample."""
        ids = self._ids.rows()[:, 0]
        has = [word for word, there in ((_HEADERS, self._headers), (_IDS, len(ids))) if there]
        return np.concatenate([self._header_tags(), self._pair_tags(), ids, self._tags("has", has)])

    def state(self) -> dict[str, Any]:
        """All marks; nothing may be added afterwards."""
        return {
            "headers": self._headers,
            "pairs": sorted(self._pairs),
            "ids": self._ids.rows()[:, 0],
            "ids_compared": self._compared,
            "ids_agreeing": self._agreeing,
        }

    def add_state(self, state: Mapping[str, Any]) -> bool:
        """Add the marks of a `state` of the same table; False, and nothing, if its record ids are too many to be held."""
        if len(self._ids) + len(state["ids"]) > MAX_IDS:
            return False
        self._headers |= state["headers"]
        self._pairs |= set(state["pairs"])
        self._ids.add(state["ids"])
        self._compared += state["ids_compared"]
        self._agreeing += state["ids_agreeing"]
        return True

    def counts(self) -> MarkCounts:
        """What the marks have in common with those of the releases."""
        if not (self._headers or self._pairs or self._compared or self._agreeing):
            return MarkCounts(0, (0, 0), (0, 0))
        is_same = self._releases.contains_marks(self._header_tags()).tolist()
        unusual = max((count for count, same in zip(self._headers.values(), is_same, strict=True) if same), default=0)
        pairs = self._pair_tags()
        found = int(self._releases.contains_marks(pairs).sum())
        # that nothing agrees tells something only if every release has what is compared
        comparable = [self._releases.all_have_mark(self._tags("has", [word])) for word in (_HEADERS, _IDS)]
        return MarkCounts(
            unusual,
            (len(pairs), found) if found or comparable[0] else (0, 0),
            (self._compared, self._agreeing) if self._agreeing or comparable[1] else (0, 0),
        )

    def _header_tags(self) -> U64:
        return self._tags("header", [each.encode() for each in self._headers])

    def _pair_tags(self) -> U64:
        return self._tags("pair", [each.encode() for each in sorted(self._pairs)])

    def _id_tags(self, cells: Packed, keys: U64) -> U64:
        """The tags of pairs of a record id and the key of its person, 0 where the cell is empty; shape (n,)."""
        tags, filled = np.zeros(len(cells), np.uint64), np.flatnonzero(cells.lengths)
        everywhere = np.zeros(len(filled), np.int64)
        prefix, bar = (Packed.of([text]).take(everywhere) for text in (_prefix("id"), b"|"))
        items = side_by_side([prefix, cells.take(filled), bar, hex_digits(keys[filled])])
        tags[filled] = probe_tags(self._probe, Kind.TOKEN, items)
        return tags

    def _tags(self, sort: str, items: Sequence[bytes]) -> U64:
        if not items:
            return np.zeros(0, np.uint64)
        prefix = _prefix(sort)
        return probe_tags(self._probe, Kind.TOKEN, Packed.of([prefix + item if item else b"" for item in items]))


def _prefix(sort: str) -> bytes:
    return f"{_DOMAIN}{sort}{_DOMAIN}".encode()


def _is_unusual(word: str) -> bool:
    """Whether a header word is none that tables of people have everywhere."""
    return len(word) >= _LEAST_LETTERS and not role_of(word) and word not in _USUAL


def _are_row_numbers(cells: Sequence[str]) -> bool:
    """Whether nearly all cells are numbers that follow the one before: whoever made the file may have numbered its rows."""
    numbers = [int(cell) if len(cell) <= _MAX_DIGITS and cell.isdecimal() else -2 for cell in cells]
    following = sum(other == one + 1 for one, other in pairwise(numbers))
    return following >= FOLLOWING_SHARE * max(1, len(numbers) - 1)


def _form(cells: Sequence[str]) -> str:
    """The form that most filled cells of a column have (`99/99/9999`); '' if there is none, or it tells nothing."""
    forms = Counter(re.sub(r"[^\W\d_]", "A", re.sub(r"\d", "9", cell.strip()))[:32] for cell in cells if cell.strip())
    if not forms:
        return ""
    form, count = forms.most_common(1)[0]
    return form if count >= FORM_SHARE * forms.total() and "9" in form else ""
