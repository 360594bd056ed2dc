"""The record pass of one sample: rows and running text to record keys, people, notes and hits.

What they say beside all releases is `crawler.lineage.lineage`; the format-blind pass over bytes is `crawler.matching.byte_pass`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from crawler.examiner.hits import Hits
from crawler.examiner.sample import Member
from crawler.lineage.compared_sample import TextCounts
from crawler.lineage.field_errors import names_swapped
from crawler.lineage.sample_records import SampleRecords
from crawler.lineage.typo_search import TypoSearch
from crawler.lineage.uncertain_rows import UncertainRows
from crawler.records.column_roles import begins_with_header, is_prose, plan_of
from crawler.records.note_prints import MAX_CHARS, Notes, Telling, prints_of
from crawler.records.record_keys import Forms, RowTags, readings, row_inputs, tag_rows
from crawler.records.row_batch import RowBatch
from crawler.records.running_text import Found, RunningText
from crawler.records.text_keys import tag_readings
from data.arrays.array_types import Bools
from data.arrays.packed import Packed
from data.case.watchlist import Watchlist
from data.hashing.tags import Kind
from data.model import Lineage
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases
from data.releases.people import count_people, rows_with_key

# What a table's columns hold is judged by so many rows; by fewer where it is very wide.
SNIFF_ROWS, SNIFF_CELLS = 200, 40_000


class RecordPass:
    """Takes what a reader makes of a sample, member by member."""

    def __init__(
        self, probe_key: bytes, watchlist: Watchlist, releases: KnownReleases, most_rows: int | None, hits: Hits
    ) -> None:
        """For one sample.

        Args:
            probe_key: of the case.
            watchlist: what rows and people are looked up in.
            releases: what is known.
            most_rows: that are held; None for all there are.
            hits: takes what the watch-list suspects.
        """
        self._probe, self._watchlist, self._releases, self._hits = probe_key, watchlist, releases, hits
        self._uncertain = UncertainRows()
        self._records = SampleRecords(releases, most_rows)
        self._notes = Notes()

    @property
    def holds_all(self) -> bool:
        """Whether all people of the sample are held, not one in some."""
        return self._records.one_in == 1

    @property
    def notes_dropped(self) -> int:
        """Texts that were too many to be compared with known ones."""
        return self._notes.dropped

    def rows(self, member: Member, batch: RowBatch, members: Sequence[Member]) -> None:
        """Take rows of an open member; hits count for `members`."""
        if member.plan is None:
            sample = batch.sample(min(SNIFF_ROWS, max(8, SNIFF_CELLS // max(1, len(batch.columns)))))
            header = member.header
            if header is None and begins_with_header(sample):
                header, sample, batch = sample.row(0), sample.without_first(), batch.drop(1)
            member.plan = plan_of(header, sample)
            member.prose = is_prose(member.plan, sample)
        member.rows += len(batch)
        if member.prose:
            self.text(member, batch.lines(), members)
        if not len(batch):
            return
        tags, held = self._look_again(member, batch, tag_rows(member.plan, batch, self._probe))
        member.records += int(rows_with_key(tags.keys).sum())
        self._records.add(tags.keys, held)
        watch = self._watchlist
        suspects = np.zeros(len(batch), np.bool_)
        suspects |= watch.probe_records.lookup(tags.keys.ravel()).reshape(tags.keys.shape).any(axis=1)
        if len(tags.extra_keys):
            suspects[tags.extra_rows[watch.probe_records.lookup(tags.extra_keys)]] = True
        for kind, (rows_of, values) in tags.values.items():
            self._records.add_values(kind, values)
            suspects[rows_of[watch.probe_values.lookup(values)]] = True
        if suspects.any():
            some = batch.take(np.flatnonzero(suspects))
            self._hits.in_columns(row_inputs(member.plan, some), np.arange(len(some)), members)

    def _look_again(self, member: Member, batch: RowBatch, tags: RowTags) -> tuple[RowTags, Bools]:
        """Keep some rows in doubt, for a second look; where their names stand in the wrong columns, mend that.

        Returns:
            The tags, and which record keys any release holds.
        """
        held = self._releases.find_known_keys(tags.keys)
        if member.plan is None:
            return tags, held
        for at in member.plan.places.get("note", ()):
            self._notes.add(prints_of(self._probe, batch.column(at)), rows_with_key(held))
        if not len(self._releases):
            return tags, held
        if names_swapped(tags.keys, held):
            member.plan = member.plan.names_swapped()
            tags = tag_rows(member.plan, batch, self._probe)
            held = self._releases.find_known_keys(tags.keys)
        kept = self._uncertain.select(tags.keys, held)
        if len(kept):
            some = batch.take(kept)
            widest = max(readings(member.plan, len(some), Forms(some.column)), key=len, default={})
            self._uncertain.add(tags.keys[kept], held[kept], widest)
        return tags, held

    def text(self, member: Member, payload: bytes, members: Sequence[Member]) -> None:
        """Take running text of an open member; hits count for `members`."""
        if member.text is None:
            member.text = RunningText(member.name)
        self._people(member, member.text.feed(payload), members)

    def begin_note(self, member: Member, payload: bytes) -> None:
        """Keep the beginning of a member that is text: it tells it from other texts."""
        member.body += payload[: 4 * MAX_CHARS - len(member.body)]

    def _people(self, member: Member, found: Sequence[Found], members: Sequence[Member]) -> None:
        """Take people of running text: all readings are matched, one of each person counts."""
        if not found:
            return
        probe, watch = self._probe, self._watchlist
        readings = tag_readings(found, probe)
        values = readings.values(probe)
        held = self._releases.find_known_keys(readings.keys)
        known = held.sum(axis=1)
        suspect = watch.probe_records.lookup(readings.keys.ravel()).reshape(held.shape).any(axis=1)
        for tags in values.values():
            suspect |= watch.probe_values.lookup(tags)
        suspects = np.flatnonzero(suspect)
        if len(suspects):
            kinds, places = self._hits.in_columns(readings.inputs(suspects), readings.people[suspects], members)
            np.add.at(known, suspects[places[kinds >= Kind.NAME_DOB]], 1)
        chosen = readings.choose(known)
        self._records.add(readings.keys[chosen], held[chosen])
        member.people.append(readings.keys[chosen])
        for kind, tags in values.items():
            self._records.add_values(kind, tags[chosen][tags[chosen] != 0])

    def end_text(self, member: Member, members: Sequence[Member]) -> None:
        """The text of a member is over; mentions of one person are one record."""
        if member.text is not None:
            self._people(member, member.text.finish(), members)
            member.text = None
        if member.body:
            known = any(self._releases.known_rows(keys).any() for keys in member.people)
            prints = prints_of(self._probe, Packed.of([bytes(member.body)]))
            self._notes.add(prints, np.array([known]))
            member.body.clear()
        if member.people:
            member.records += count_people(np.concatenate(member.people))
            member.people = []

    @cached_property
    def _telling(self) -> Telling:
        """Prints that belong to no template; once no further note comes."""
        return self._notes.telling()

    def collect(self, builder: ReleaseBuilder) -> None:
        """Add what is held to a release; nothing may be taken afterwards."""
        builder.add(self._records.keys(), self._records.values(), self._telling.tags)

    def lineage(self, *, has_hits: bool) -> Lineage | None:
        """How the sample stands to the releases, None where no row had a key; nothing may be taken afterwards."""
        known, new, of_known = self._notes.judge(self._telling, self._releases.contains_note_prints)
        typo_search = TypoSearch(self._probe, self._uncertain, self._releases.contains)
        texts = TextCounts(self._notes.read, known, new, of_known)
        return self._records.lineage(has_hits=has_hits, typo_search=typo_search, texts=texts)
