"""The record pass of one sample: collects record keys, people, notes and hits from its rows and running text.

`crawler.lineage.lineage` compares them with the releases. `crawler.matching.byte_pass` is the other pass, which reads
bytes of any format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property, partial
from typing import Any

import numpy as np

from crawler.examiner.hits import HitConfirmer
from crawler.examiner.row_comparison import ComparedRows, RowComparison, variant_keys
from crawler.examiner.row_data import data_of_readings, data_of_rows
from crawler.examiner.sample import SampleMember, TableCounts
from crawler.examiner.table_marks import FORM_CELLS, TableMarks
from crawler.examiner.waiting_rows import WaitingRows, may_wait
from crawler.lineage.authenticity.held_rows import AuthenticityRows, check_nir_keys
from crawler.lineage.authenticity.judge import judge_authenticity, with_verdict
from crawler.lineage.compared_sample import TextCounts
from crawler.lineage.origin import NO_EVIDENCE, OriginEvidence
from crawler.lineage.sample_records import SampleRecords
from crawler.lineage.typo_search import TypoSearch
from crawler.lineage.uncertain_rows import UncertainRows
from crawler.lineage.value_lists import releases_with_values
from crawler.matching.candidates import Candidates, UnreadCandidates
from crawler.matching.matched_lines import MatchedLine
from crawler.process.file_chunks import WINDOW_ROWS
from crawler.records.attribute_rows import AttributeRows
from crawler.records.column_roles import (
    ColumnPlan,
    begins_with_header,
    holds_labelled_dates,
    holds_sentences,
    is_prose,
    plan_columns,
    rows_above,
)
from crawler.records.joined_tables import EarlierTables, plan_joined
from crawler.records.lost_letters import restore_names
from crawler.records.note_prints import MAX_CHARS, DistinctivePrints, SampleNotes, make_prints
from crawler.records.placeholders import Placeholders
from crawler.records.record_keys import RowTags, TagInputs, name_address_tags, tag_rows
from crawler.records.row_batch import RowBatch
from crawler.records.running_text import FoundPerson, RunningTextReader
from crawler.records.table_forms import TableForms, find_forms, turned
from crawler.records.table_sample import TableSample
from crawler.records.text_keys import tag_readings
from data.arrays.array_types import I64, U64
from data.arrays.growing_array import GrowingArray
from data.arrays.packed import Packed
from data.case.watchlist import Watchlist
from data.hashing.tags import RECORD_KINDS, Kind
from data.model import Lineage, TableFacts
from data.plural import counted
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases
from data.releases.people import count_people, rows_with_key

# The roles of a table's columns are decided by so many rows, and by fewer if the table is very wide.
PLANNING_ROWS, PLANNING_CELLS = 200, 40_000

# Of so many tables of a member the finding can tell what their columns were understood as.
MAX_TABLES = 50
# Rows of small samples wait until it is known whether their sample is tied to anything. Most are not, and then the keys of
# their other readings and their genuineness are never asked for.
MAX_KEPT_FOR_LATER = 2**20
# A table's birth dates are counted from another day than usual if so many keys a row are known then.
_KNOWN_BY_COUNT = 0.2
# Rows wait for others of their window until their cells take so many bytes.
MAX_WINDOW_BYTES = 16 * 2**20


@dataclass(slots=True)
class _Window:
    """Rows of one table that wait to be processed together; their hits count for `members`."""

    member: SampleMember | None
    members: tuple[SampleMember, ...]
    batches: list[RowBatch] = field(default_factory=list)
    rows: int = 0
    nbytes: int = 0

    def following(self) -> _Window:
        """The window of the next rows of the table.

        It ends where this one would have ended, so that a chunk of a file that begins with a window has the windows of the
        whole file.
        """
        return _Window(self.member, self.members, rows=self.rows % WINDOW_ROWS)


class RecordPass:
    """Processes the rows and text that a reader sends of a sample, member by member."""

    def __init__(
        self,
        probe_key: bytes,
        watchlist: Watchlist,
        releases: KnownReleases,
        max_rows: int | None,
        hits: HitConfirmer,
        *,
        collects: bool = False,
        today: date | None = None,
    ) -> None:
        """Begin a sample.

        Args:
            probe_key: of the case.
            watchlist: in which rows and people are looked up.
            releases: what is known.
            max_rows: how many rows are held; None for no limit.
            hits: confirms rows and people whose tags are on the watch-list.
            collects: whether the sample may become a release: the keys of all readings are kept.
            today: by which it is decided who is under 18; None to leave that out.
        """
        self._probe, self._watchlist, self._releases, self._hits = probe_key, watchlist, releases, hits
        self._today = today
        self._uncertain = UncertainRows()
        self._authenticity = AuthenticityRows()
        self._records = SampleRecords(releases, max_rows)
        self._notes = SampleNotes()
        self._placeholders = Placeholders(probe_key, releases.common_values)
        self._comparison = RowComparison(probe_key, releases, self._placeholders)
        self._window = _Window(None, ())
        # the table with one attribute a row whose rows are being joined
        self._joining: tuple[SampleMember, tuple[SampleMember, ...]] | None = None
        self._earlier = EarlierTables()
        # the member with the table that began last
        self._kept_of: SampleMember | None = None
        self._marks = TableMarks(probe_key, releases)
        self._joined_tables = 0
        self._max_rows = max_rows
        self._further_keys = {kind: GrowingArray(np.uint64, 1) for kind in RECORD_KINDS} if collects else {}
        self._for_later: list[tuple[ColumnPlan, RowBatch, RowTags, ComparedRows]] = []
        self._bytes_for_later = 0

    @property
    def holds_all(self) -> bool:
        """Whether all people of the sample are held, and not only a part of them."""
        return self._records.one_in == 1

    @property
    def notes_dropped(self) -> int:
        """The number of texts that were not compared with known ones, because the sample has too many."""
        return self._notes.dropped

    def begin_table(self, member: SampleMember, header: list[str] | None) -> None:
        """A table of an open member begins; small tables with one header that follow each other are one table."""
        if member.waiting is not None and header == member.header:
            member.waiting.tables += 1
            return
        self.close_table(member)
        member.begin_table(header)

    def add_rows(self, member: SampleMember, batch: RowBatch, members: Sequence[SampleMember]) -> None:
        """Process rows of an open member; their hits count for `members`."""
        waiting = member.waiting
        if waiting is None and member.forms is None and may_wait(member.header, len(batch)):
            waiting = member.waiting = WaitingRows(tuple(members))
        if waiting is None:
            self._add_rows(member, batch, members)
            return
        waiting.add(batch)
        if waiting.are_enough:
            self._add_waiting(member)

    def _add_waiting(self, member: SampleMember) -> None:
        """Process the rows of small tables that wait."""
        waiting, member.waiting = member.waiting, None
        if waiting is not None:
            member.table.tables = waiting.tables
            self._add_rows(member, RowBatch.joined(waiting.batches), waiting.members)

    def _add_rows(self, member: SampleMember, batch: RowBatch, members: Sequence[SampleMember]) -> None:
        if member.forms is None:
            batch = self.begin_rows(member, batch, members)
        self.add_further_rows(member, batch, members)

    def begin_rows(self, member: SampleMember, batch: RowBatch, members: Sequence[SampleMember]) -> RowBatch:
        """Decide what the columns of the open table hold, by its first rows; returns these without what names them.

        Lines above the table are running text, whose hits count for `members`.
        """
        header = member.header
        if header is None and (above := rows_above(batch.sample(_planning_rows(batch)))):
            self.add_text(member, batch.first(above).lines(), members)
            batch = batch.drop(above)
        if (found := turned(header, batch)) is not None:
            header, batch = found
        sample = batch.sample(_planning_rows(batch))
        if header is None and begins_with_header(sample):
            header, sample, batch = sample.row(0), sample.without_first(), batch.drop(1)
        member.forms = find_forms(header, sample)
        if member.forms.attributes is None:
            member.forms = self._choose_forms(member, member.forms, batch.first(PLANNING_ROWS))
            self._plan(member, member.forms.header, member.forms.apply_to_sample(sample))
            self._join(member, member.forms.header, member.forms.apply(batch))
        else:
            member.joined = AttributeRows(member.forms.attributes, header, sample.width)
        return batch

    def add_further_rows(self, member: SampleMember, batch: RowBatch, members: Sequence[SampleMember]) -> None:
        """Process rows of a table whose columns are decided."""
        assert member.forms is not None  # noqa: S101 - `begin_rows` has made them
        member.rows += len(batch)
        if member.joined is None:
            batch = member.forms.apply(batch)
            if member.link is not None:
                batch = member.link.apply(batch)
            if self._kept_of is member:
                self._earlier.keep(batch)
            self._add_planned(member, batch, members)
            return
        if self._joining is not None and self._joining[0] is not member:
            self._take_joined()
        member.joined.add(batch)
        self._joining = member, tuple(members)
        if member.joined.is_full:
            self._take_joined()

    def _choose_forms(self, member: SampleMember, forms: TableForms, batch: RowBatch) -> TableForms:
        """The way to read the dates of a table by which most of its people are known, where the dates do not tell."""
        if forms.counts:
            forms = self._choose_count(member, forms, batch)
        if forms.either:
            # a few rows may have no day after the twelfth
            swapped = forms.with_month_first()
            as_written, as_swapped = (each.apply(batch) for each in (forms, swapped))
            known, otherwise = (
                int(self._count_known(plan_columns(forms.header, rows.sample(len(rows))), rows).sum())
                for rows in (as_written, as_swapped)
            )
            forms = swapped if otherwise > known else forms
        return forms

    def _choose_count(self, member: SampleMember, forms: TableForms, batch: RowBatch) -> TableForms:
        """From which day the birth dates of a table are counted: from that by which most of its people are known."""
        best, most, enough = forms, 0, _KNOWN_BY_COUNT * len(batch)
        for each in (forms, *forms.alternatives()):
            rows = each.apply(batch)
            known = int(self._count_known(plan_columns(each.header, rows.sample(len(rows))), rows).sum())
            # some people are known by chance under any reading
            if each is forms or known > max(2 * most, enough):
                best, most = each, known
        if most <= enough:
            sentence = (
                "birth dates in it are numbers; from which day they are counted is not known, so people may be missed"
            )
            member.problem("dates", sentence)
        return best

    @staticmethod
    def _plan(member: SampleMember, header: list[str] | None, sample: TableSample) -> None:
        """Decide what the columns of a table hold, by some of its rows."""
        plan = plan_columns(header, sample)
        labelled = holds_labelled_dates(plan, sample)
        member.plan = plan.without_roles() if labelled else plan
        member.prose = labelled or is_prose(plan, sample)
        # dates of birth are of somebody, whether or not running text can say of whom
        member.may_be_table = labelled or (member.prose and not holds_sentences(sample))

    def _join(self, member: SampleMember, header: list[str] | None, batch: RowBatch) -> None:
        """Complete the rows of a table from an earlier one with the same record ids."""
        if member.plan is None or member.prose:
            self._earlier.end()
            return
        self._marks.add_table(header, batch.first(FORM_CELLS))
        member.link = self._earlier.join(header, member.plan, batch.first(PLANNING_ROWS))
        self._kept_of = member
        if member.link is None:
            self._earlier.begin(header, member.plan)
            return
        whole = plan_joined(member.link, batch.first(PLANNING_ROWS), _planning_rows(batch))
        self._earlier.begin(header, member.plan, (member.link, whole))
        member.plan = whole
        self._joined_tables += 1

    def _take_joined(self) -> None:
        """Process the rows that were joined of a table with one attribute a row."""
        if self._joining is None:
            return
        (member, members), self._joining = self._joining, None
        if member.joined is None:
            return
        header, batch = member.joined.take()
        if member.joined_forms is None or member.joined_forms.width != len(header):
            forms = find_forms(header, batch.sample(_planning_rows(batch)))
            member.joined_forms = self._choose_forms(member, forms, batch.first(PLANNING_ROWS))
        if member.joined_forms.attributes is None:
            header, batch = member.joined_forms.header or header, member.joined_forms.apply(batch)
        if member.plan is None or len(member.plan.columns) != len(header):
            self._end_window()
            self._plan(member, header, batch.sample(_planning_rows(batch)))
        self._add_planned(member, batch, members)
        if member.joined.split:
            sentence = "values of one person stand far from each other in a table; they count as several records"
            member.problem("apart", sentence)

    def _add_planned(self, member: SampleMember, batch: RowBatch, members: Sequence[SampleMember]) -> None:
        """Process rows of a table whose columns are decided."""
        if member.plan is not None:
            batch = restore_names(batch, member.plan, partial(self._count_known, member.plan))
        if member.prose:
            self.add_text(member, batch.lines(), members)
        if self._window.member is not member:
            self._end_window()
            self._window = _Window(member, tuple(members))
        while len(batch):
            self._window.nbytes += batch.nbytes
            # windows are cut by numbers of rows alone, so that the result does not depend on how the rows came
            part = batch.first(WINDOW_ROWS - self._window.rows)
            self._window.batches.append(part)
            self._window.rows += len(part)
            batch = batch.drop(len(part))
            if self._window.rows == WINDOW_ROWS:
                self._end_window(self._window.following())
        if self._window.nbytes > MAX_WINDOW_BYTES:
            self._end_window(self._window.following())

    def _count_known(self, plan: ColumnPlan, batch: RowBatch) -> I64:
        """How many record keys of each row are in a release or on the watch-list; shape (n,)."""
        keys = tag_rows(plan, batch, self._probe).keys
        listed = self._watchlist.probe_records.lookup(keys.ravel()).reshape(keys.shape) & (keys != 0)
        return np.asarray((self._releases.find_known_keys(keys) | listed).sum(axis=1), np.int64)

    def end_table(self) -> None:
        """Process the rows that wait; to be called before a member or a table ends."""
        self._take_joined()
        self._end_window()

    # --- chunks of a file ----------------------------------------------------------------------------------------

    def begin_chunk(self, placeholders: Mapping[str, U64]) -> None:
        """The rows are those of a chunk of a file, before which `placeholders` were learned."""
        self._placeholders.begin_chunk(placeholders)

    def chunk_fault(self, member: SampleMember) -> str:
        """Why a chunk cannot be examined like its part of the whole file, '' if it can."""
        if member.prose or member.text is not None:
            return "running text goes on from one chunk into the next"
        if member.joined is not None or member.link is not None or member.waiting is not None:
            return "its rows are joined with others"
        if member.forms is not None and member.forms.people:
            return "its rows hold several people"
        if member.plan is None:
            return "no chunk of it tells what its columns hold"
        return ""

    def chunk_state(self) -> dict[str, Any]:
        """Everything that the rows of a chunk gave. Nothing may be added afterwards."""
        self._keep_tied_rows()
        return {
            "records": self._records.state(),
            "notes": self._notes.state(),
            "uncertain": self._uncertain.state(),
            "authenticity": self._authenticity.state(),
            "placeholders": self._placeholders.state(),
            "marks": self._marks.state(),
            "earlier": self._earlier.state(),
        }

    def placeholders(self) -> dict[str, U64]:
        """What was learned so far, for `begin_chunk`."""
        return self._placeholders.common()

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Whether a chunk was examined with the right placeholders to stand behind the rows that are here."""
        return self._placeholders.fits(state["placeholders"])

    def add_chunk(self, state: Mapping[str, Any]) -> bool:
        """Add the `chunk_state` of the chunk that follows; False if the file cannot be examined in chunks."""
        self._placeholders.add_state(state["placeholders"])
        self._records.add_state(state["records"])
        self._uncertain.add_state(state["uncertain"])
        self._authenticity.add_state(state["authenticity"])
        fits = (self._notes.add_state(state["notes"]), self._marks.add_state(state["marks"]))
        self._earlier.add_state(state["earlier"])
        return all(fits)

    @property
    def has_doubt(self) -> bool:
        """Whether it cannot be told, of chunks that were added, what the whole file would have given."""
        return self._earlier.has_doubt

    def _end_window(self, following: _Window | None = None) -> None:
        """Process the rows of the window.

        Args:
            following: the window of the next rows; None if the table ends.
        """
        window, self._window = self._window, following or _Window(None, ())
        member = window.member
        if member is None or member.plan is None or not window.batches:
            return
        plan = member.plan
        tagged = [tag_rows(plan, batch, self._probe) for batch in window.batches]
        self._placeholders.learn(tagged)
        compared = self._comparison.compare(plan, window.batches, tagged)
        for batch, tags, each in zip(window.batches, tagged, compared, strict=True):
            self._keep_rows(plan, batch, tags, each)
            self._marks.add_ids(plan, batch, each.keys, each.held)
            keyed = rows_with_key(each.keys)
            member.records += int(keyed.sum())
            member.table.add(batch, keyed, plan, tags.inputs.forms)
            self._records.add(each.keys[keyed], each.held[keyed])
            self._records.doubtful_rows += each.doubtful
            self._records.rows_of_relatives += each.relatives
            self._records.perhaps_twins.add(each.twins)
            for kind, (_, values) in tags.values.items():
                self._records.add_values(kind, values)
            if self._further_keys or not each.keys.any():
                # a release may be compared with tables in which nothing else stands
                whose = name_address_tags(plan, batch, tags.inputs.forms, self._probe)
                self._records.add_values(Kind.NAME_ADDRESS, whose[whose != 0])
            # values are made of all that is listed only as long as evidence needs some
            further: list[UnreadCandidates] | None = None if self._hits.needs_excerpts else []
            listed = self._listed(tags.inputs, further)
            # most rows are nobody's, and what stands in them matters to no one
            is_listed = bool(len(listed) or further)
            data = data_of_rows(plan, batch, tags.inputs, self._today) if is_listed else np.zeros(len(batch), np.uint8)
            self._hits.add_rows(listed, data, window.members, batch.line_of, further or ())

    def _is_joining(self, member: SampleMember) -> bool:
        return self._joining is not None and self._joining[0] is member

    def close_table(self, member: SampleMember) -> None:
        """Process the rows of a table that wait, and count those that were not understood."""
        self._add_waiting(member)
        self.end_table()
        table, member.table = member.table, TableCounts()
        is_text = member.prose and member.plan is not None and not member.plan.places
        if table.rows and member.plan is not None and not is_text and len(member.tables) < MAX_TABLES:
            member.tables.append(TableFacts(table.rows, table.keyed, member.plan.facts()))
        if table.keyed:
            self._records.unkeyed_rows += table.unread
            self._records.bare_rows += table.bare + table.named
        elif table.rows > table.tables and not member.prose:
            member.rows_without_keys += table.rows
            self._records.listed_rows += table.unread
            self._records.named_rows += table.named
        elif table.rows > table.tables and member.may_be_table:
            member.rows_as_text += table.rows

    def _listed(self, inputs: TagInputs, further: list[UnreadCandidates] | None = None) -> Candidates:
        """What is on the watch-list, by the number of its row; `further` as for `TagInputs.candidates`."""
        return inputs.candidates(self._watchlist.probe_records.lookup, self._watchlist.probe_values.lookup, further)

    def _keep_rows(self, plan: ColumnPlan, batch: RowBatch, tags: RowTags, compared: ComparedRows) -> None:
        """Keep the notes of rows that were compared, the uncertain rows, and the keys of all readings."""
        keys, held = compared.keys, compared.held
        for at in plan.places.get("note", ()):
            self._notes.add(make_prints(self._probe, batch.column(at)), rows_with_key(held))
        if len(self._releases) and len(selected := self._uncertain.select(keys, held)):
            forms = {role: column.take(selected) for role, column in tags.inputs.forms.items()}
            self._uncertain.add(keys[selected], held[selected], compared.found.forms(forms, selected.tolist()))
        self._bytes_for_later += batch.nbytes
        self._for_later.append((plan, batch, tags, compared))
        if self._bytes_for_later > MAX_KEPT_FOR_LATER:
            self._keep_tied_rows()

    def _keep_tied_rows(self) -> None:
        """Keep the keys of other readings, and rows to judge genuineness by, of the rows that wait for that."""
        rows, self._for_later = self._for_later, []
        for plan, batch, tags, compared in rows:
            if self._further_keys:
                self._collect_further_keys(plan, batch, tags)
            keys, held = compared.keys, compared.held
            if len(drawn := self._authenticity.select(keys)):
                forms = {role: column.take(drawn) for role, column in tags.inputs.forms.items()}
                forms = compared.found.forms(forms, drawn.tolist())
                self._authenticity.add(keys[drawn], held[drawn], forms, check_nir_keys(plan, batch, drawn))

    def _collect_further_keys(self, plan: ColumnPlan, batch: RowBatch, tags: RowTags) -> None:
        """Keep the keys of further readings, and of other forms of names.

        Of names in another order only name+dob is kept: a number with a surname proves nobody, since relatives share
        both.
        """
        found = {kind: [each.keys[each.changed[:, at], at] for each in tags.inputs.others
                        if each.reading.role != "names" or kind == Kind.NAME_DOB]
                 for at, kind in enumerate(RECORD_KINDS)}  # fmt: skip
        found[Kind.NAME_DOB].append(variant_keys(self._probe, plan, batch, tags, np.arange(len(batch)))[1])
        for kind, parts in found.items():
            kept = self._further_keys[kind]
            for part in parts:
                if self._max_rows is None or len(kept) + len(part) <= self._max_rows:
                    kept.add(part)

    def add_text(self, member: SampleMember, payload: bytes, members: Sequence[SampleMember]) -> None:
        """Process running text of an open member; its hits count for `members`."""
        if member.text is None:
            member.text = RunningTextReader(member.name)
        self._add_people(member, member.text.feed(payload), members)

    def keep_beginning(self, member: SampleMember, payload: bytes) -> None:
        """Keep the beginning of a member that is text, from which its note prints are made."""
        member.body += payload[: 4 * MAX_CHARS - len(member.body)]

    def _add_people(self, member: SampleMember, found: Sequence[FoundPerson], members: Sequence[SampleMember]) -> None:
        """Add people of running text: all their readings are looked up, and one reading of each person counts."""
        if not found:
            return
        readings = tag_readings(found, self._probe)
        values = readings.values(self._probe)
        held = self._releases.find_known_keys(readings.keys)
        known = held.sum(axis=1)
        inputs = readings.inputs(values)
        listed = self._listed(inputs)
        if len(listed):
            data = data_of_readings(inputs, len(readings.people), self._today)
            confirmed = self._hits.confirm_readings(
                listed, readings.people, data, members, lambda person: MatchedLine.of_lines(found[person].lines)
            )
            of_keys = confirmed.candidates[confirmed.kinds >= Kind.NAME_DOB]
            np.add.at(known, listed.places[of_keys], 1)
        chosen = readings.choose(known)
        self._records.add(readings.keys[chosen], held[chosen])
        member.people.append(readings.keys[chosen])
        if len(drawn := self._authenticity.select(readings.keys[chosen])):
            drawn = chosen[drawn]
            forms = {role: column.take(drawn) for role, column in readings.parts.items()}
            self._authenticity.add(readings.keys[drawn], held[drawn], forms, np.zeros(len(drawn), np.int8))
        for kind, tags in values.items():
            self._records.add_values(kind, tags[chosen][tags[chosen] != 0])

    def end_text(self, member: SampleMember, members: Sequence[SampleMember]) -> None:
        """End the tables and the text of a member, and count its people; several mentions of one person are one record."""
        if self._window.member is member or self._is_joining(member) or member.table.rows or member.waiting is not None:
            self.close_table(member)
        if member.text is not None:
            self._add_people(member, member.text.finish(), members)
            member.text = None
        if not member.people:
            # they were no text about people either
            member.rows_without_keys += member.rows_as_text
        member.rows_as_text = 0
        if member.rows_without_keys:
            rows = counted(member.rows_without_keys, "row")
            member.problem(
                "columns", f"{rows} of tables gave no record key: nothing in them could be compared by person"
            )
        if member.body:
            known = any(self._releases.known_rows(keys).any() for keys in member.people)
            prints = make_prints(self._probe, Packed.of([bytes(member.body)]))
            self._notes.add(prints, np.array([known]))
            member.body.clear()
        if member.people:
            member.records += count_people(np.concatenate(member.people))
            member.people = []

    @cached_property
    def _distinctive_prints(self) -> DistinctivePrints:
        """The note prints that belong to no template. Use it only once no further note comes."""
        return self._notes.distinctive_prints()

    def add_to_release(self, builder: ReleaseBuilder) -> None:
        """Add everything that is held to a release. Nothing may be added to this pass afterwards."""
        self._keep_tied_rows()
        further = {kind: kept.rows()[:, 0] for kind, kept in self._further_keys.items() if len(kept)}
        values = {**self._records.values(), **further}
        prints, common = self._distinctive_prints.tags, self._placeholders.learned()
        builder.add(self._records.keys(), values, prints, common, self._marks.tags())

    def keys(self) -> U64:
        """The record keys of the rows that are held, shape (n, 6). Nothing may be added afterwards."""
        return self._records.keys()

    def lineage(self, *, has_hits: bool, evidence: OriginEvidence = NO_EVIDENCE) -> Lineage | None:
        """How the sample stands to the releases; None if nobody is described in it. Nothing may be added afterwards."""
        known, new, of_known = self._notes.count_known_and_new(
            self._distinctive_prints, self._releases.contains_note_prints
        )
        typo_search = TypoSearch(self._probe, self._uncertain, self._releases.contains)
        texts = TextCounts(self._notes.read, known, new, of_known)
        evidence = replace(evidence, marks=self._marks.counts())
        found = self._records.lineage(has_hits=has_hits, typo_search=typo_search, texts=texts, evidence=evidence)
        if found is None:
            return None
        authentic = None
        if has_hits or self._releases.active:
            # a sample that nothing ties to anybody rings nobody, and there is hardly anything to judge it by
            self._keep_tied_rows()
            authentic = judge_authenticity(self._authenticity, self._releases, self._probe)
        found = with_verdict(found, authentic, lambda: releases_with_values(self._records.values(), self._releases))
        return replace(found, notes=(*found.notes, *self._placeholders.notes(), *self._notes_on_joins()))

    def _notes_on_joins(self) -> list[str]:
        """Sentences about tables that were joined by record ids, or could not be."""
        notes = []
        if self._joined_tables:
            notes.append(
                f"joined with an earlier table by a column of record ids: {counted(self._joined_tables, 'table')}"
            )
        if self._earlier.dropped:
            notes.append(
                "tables with record ids were too large or too many to be joined: people of two tables may count twice"
            )
        return notes


def _planning_rows(batch: RowBatch) -> int:
    """By how many rows the roles of the columns are decided."""
    return min(PLANNING_ROWS, max(8, PLANNING_CELLS // max(1, len(batch.columns))))
