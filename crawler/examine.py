"""Bytes in, finding out: the one road that every post, attachment and local file takes.

Runs in the examiner process, which holds the match key and has no network. Parsing is left to a reader in the
sandbox; this module consumes what the reader makes of the sample, and makes the format-blind byte pass itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crawler.byte_pass import AT_ONCE, BytePass
from crawler.match import Confirmed, Matcher, confirm
from crawler.measured import Texts
from crawler.noise import names_swapped
from crawler.notes import MAX_CHARS, Notes, prints_of
from crawler.prints import File, Printer, packed
from crawler.pump import RAW, Pump
from crawler.reader_talk import FAULTS, ReaderTalk
from crawler.readers.base import MAX_NAME
from crawler.records import Forms, RowBatch, RowTags, readings, row_inputs, tag_rows
from crawler.repair import SecondLook, Unmatched
from crawler.running_text import Found, RunningText
from crawler.sample_records import SampleRecords
from crawler.sandbox import Kept, Sandbox
from crawler.scan import ByteScanner, Candidate
from crawler.tables import Plan, begins_with_header, is_prose, plan_of
from crawler.text_records import tag_readings
from crawler.wire import HEADER, load, pack_json
from data import evidence, sightings
from data.errors import KeyFileError, WireError
from data.model import Finding, Lineage
from data.people import any_key, count_people
from data.release_builder import ReleaseBuilder
from data.releases import Releases
from data.tags import Keys, Kind, Packed, keyed_sha256
from data.watchlist import Watchlist

# A reader that claims more members than its own limit lies; the examiner keeps no more than this many in a finding.
MAX_MEMBERS_KEPT = 1000
# ... and no more at all depths, so that an archive of archives of files does not make a finding that cannot be sent.
MAX_MEMBERS_IN_ALL = 10_000
# A reader opens few members beyond the containers that its limit allows; one that lies would open them without end.
MOST_BEYOND_DEPTH = 8
MAX_PROBLEMS_KEPT = 50
# Files of a sample that are known again by name, size and checksum: 1.6 MB of prints.
MAX_PRINTS = 100_000
# What a table's columns hold is judged by so many rows; by fewer where it is very wide.
SNIFF_ROWS, SNIFF_CELLS = 200, 40_000
# Rows of sighted samples that are held until the runner has committed what was found in them.
MOST_SIGHTED = 4_000_000
SIGHTED = "sighted-"
# Sealed evidence holds at most this much of what hit: proof, not a copy.
MAX_EXCERPTS = 50

# Formats that are read without any library that unpacks or decodes: their reader may go on to the next sample.
PLAIN = frozenset({"text", "html", "delimited", "json_lines", "json", "empty"})
MAX_PLAIN = 2**20
# Formats of whose own bytes the byte pass can make nothing: once no reader reads on, there is nothing more to find.
PACKED = frozenset(
    {
        "7z",
        "brotli",
        "bzip2",
        "cab",
        "compress",
        "gzip",
        "lha",
        "lz4",
        "lzip",
        "lzma",
        "rar",
        "xar",
        "xz",
        "zip",
        "zstd",
    }
)

U64 = NDArray[np.uint64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Request:
    """What is said of a sample before its bytes come (frame `S`); all but the name may be empty.

    Attributes:
        exact: every row is compared, whatever memory that takes.
        sighted: where something ties it to what is known and it holds more, its records are kept for a release.
    """

    name: str
    source: str = ""
    post: str = ""
    url: str = ""
    title: str = ""
    release: str = ""
    exact: bool = False
    sighted: bool = False

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Request:
        """From the payload of an `S` frame; unknown keys are a broken peer."""
        try:
            return cls(**value)
        except TypeError as error:
            raise WireError("a start frame has unknown or missing keys") from error


@dataclass(slots=True)
class _Member:
    """A sample or member while it is open."""

    name: str
    format: str
    matcher: Matcher
    scanner: ByteScanner
    digest: Any
    size: int = 0
    crc: int = 0
    leaf: bool = True
    rows: int = 0
    records: int = 0
    complete: bool = True
    problems: list[str] = field(default_factory=list)
    members: list[Finding] = field(default_factory=list)
    dropped_members: int = 0
    header: list[str] | None = None
    plan: Plan | None = None
    prose: bool = False
    text: RunningText | None = None
    people: list[U64] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)

    def problem(self, code: str, detail: str) -> None:
        """Note a problem once; more than a screenful is cut with a last line that says so."""
        line = f"{code}: {detail}"
        if line in self.problems:
            return
        if len(self.problems) < MAX_PROBLEMS_KEPT:
            self.problems.append(line)
        elif len(self.problems) == MAX_PROBLEMS_KEPT:
            self.problems.append("more: further problems of this sample are not listed")


class Examiner:
    """Examines samples one after another with the keys and sets of one case; safe to share between threads."""

    def __init__(
        self,
        keys: Keys,
        watchlist: Watchlist,
        releases: Releases,
        sandbox: Sandbox,
        recipient: str = "",
        most_rows: int | None = None,
    ) -> None:
        self.keys = keys
        self.watchlist = watchlist
        self.releases = releases
        self.sandbox = sandbox
        self.recipient = recipient
        self.most_rows = most_rows
        self.builders: dict[str, ReleaseBuilder] = {}
        """Releases being collected, by id; the oldest of those that were only sighted goes where they are too many."""

    def keep_sighted(self, builder: ReleaseBuilder) -> None:
        """Hold a sighted sample's records until it is ordered to be written."""
        self.builders[builder.release] = builder
        sighted = [each for name, each in list(self.builders.items()) if name.startswith(SIGHTED)]
        rows = sum(each.rows for each in sighted)
        for each in sighted[:-1]:
            if rows <= MOST_SIGHTED:
                break
            rows -= each.rows
            self.builders.pop(each.release, None)

    def take(self, collected: ReleaseBuilder) -> None:
        """Take what another process collected for a release, as if it had been examined here."""
        if collected.release.startswith(SIGHTED):
            self.keep_sighted(collected)
            return
        builder = self.builders.setdefault(collected.release, ReleaseBuilder(collected.release))
        for part in collected.parts():
            builder.add(*part)

    def examine(
        self,
        request: Request,
        chunks: Iterable[bytes | bytearray],
        ending: Mapping[str, Any],
        kept: Kept | None = None,
        enough: Callable[[], None] = lambda: None,
    ) -> Finding:
        """Examine one sample to its end, whatever its reader does.

        Args:
            request: what is known of the sample.
            chunks: its bytes in order, any cut; consumed as they come.
            ending: filled by the caller before `chunks` ends: `complete` and `problem` of the transport.
            kept: where a reader of small plain samples is kept for the source's next one.
            enough: called once nothing further of the sample can be examined: whoever sends it may stop.

        Returns:
            The finding. A reader that crashes, lies or is ended by a limit makes it incomplete; the byte pass has
            then still seen every byte that came.
        """
        return _Examination(self, request, kept or Kept(self.sandbox), enough).run(chunks, ending)

    def scanner(self) -> ByteScanner:
        """A fresh byte pass over the watch-list's values."""
        return ByteScanner(self.keys.probe, self.watchlist.probe_values, tokens=self.watchlist.has_tokens)


class _Examination:
    """One sample on its way through both passes."""

    def __init__(self, examiner: Examiner, request: Request, kept: Kept, enough: Callable[[], None]) -> None:
        self.examiner = examiner
        self.kept = kept
        self.enough = enough
        self.request = request
        self.releases = examiner.releases
        self.unmatched = Unmatched()
        exact = request.exact or request.release
        self.records = SampleRecords(self.releases, None if exact else examiner.most_rows)
        self.notes = Notes()
        self.excerpts: list[dict[str, str]] = []
        self.stack: list[_Member] = [self._open(request.name, "unknown")]
        self.began = False
        self.listed = 0
        self.bytes = BytePass(self._candidates)
        self.printer = Printer(examiner.keys.post)
        self.prints: list[tuple[int, int]] = []

    def _open(self, name: str, kind: str) -> _Member:
        return _Member(
            name,
            kind,
            Matcher(self.examiner.watchlist, self.examiner.keys),
            self.examiner.scanner(),
            hashlib.sha256(),
        )

    @property
    def sample(self) -> _Member:
        return self.stack[0]

    def run(self, chunks: Iterable[bytes | bytearray], ending: Mapping[str, Any]) -> Finding:
        try:
            return self._run(chunks, ending)
        finally:
            self.bytes.close()

    def _run(self, chunks: Iterable[bytes | bytearray], ending: Mapping[str, Any]) -> Finding:
        reader = self.kept.take(self.request.source)
        talk = ReaderTalk(reader, self._frame, self.examiner.sandbox.limits.wall)

        def last_frame() -> bytes:
            return pack_json(b"E", {"complete": bool(ending.get("complete", True))})

        try:
            chunks = self._wanted(chunks, talk)
            for chunk in chunks:
                self._raw(chunk)
                talk.send(HEADER.pack(b"D", len(chunk)), chunk)
                if self.sample.size > AT_ONCE:
                    self._beside(Pump(talk, chunks, last_frame), talk)
                    break
            else:
                talk.send(last_frame())
                talk.finish()
        except BaseException:
            reader.close()
            raise
        if talk.broken:
            self.sample.problem("reader", talk.broken)
        if not talk.ended_well:
            reader.kill()
            leave = reader.wait(timeout=5)
            self.sample.complete = False
            self.sample.problem("reader", leave.reason or "the reader ended in the middle of the sample")
        elif self._may_read_on():
            self.kept.keep(reader)
        else:
            reader.close()
        if not ending.get("complete", True):
            self.sample.complete = False
            self.sample.problem("cut", str(ending.get("problem") or "the sample was cut before its end"))
        return self._finish()

    def _wanted(self, chunks: Iterable[bytes | bytearray], talk: ReaderTalk) -> Iterator[bytes | bytearray]:
        """The chunks; says so where they have become of no use."""
        for chunk in chunks:
            yield chunk
            if talk.ended and self.sample.format in PACKED:
                self.enough()

    def _beside(self, pump: Pump, talk: ReaderTalk) -> None:
        """Work on what a large sample's reader says while it reads on."""
        for kind, payload in pump:
            if kind == RAW:
                self._raw(payload)
            elif not talk.broken:
                try:
                    self._frame(kind, bytes(payload))
                except FAULTS:
                    talk.misunderstood()

    def _raw(self, chunk: bytes | bytearray) -> None:
        self.sample.size += len(chunk)
        self.bytes.feed(self.sample, chunk, (self.sample,))

    def _may_read_on(self) -> bool:
        """Whether the reader met nothing but a little plain text, of a source that has a name."""
        sample = self.sample
        plain = sample.format in PLAIN and not sample.members and not sample.dropped_members
        return bool(self.request.source) and plain and sample.size <= MAX_PLAIN

    def _frame(self, kind: bytes, payload: bytes) -> bool:
        """Take one frame of the reader; True at the last one."""
        member = self.stack[-1]
        if kind == b"R":
            self._rows(member, RowBatch.from_frame(payload))
        elif kind == b"C":
            self._rows(member, RowBatch.from_cells(payload))
        elif kind == b"B":
            member.size += len(payload)
            self.bytes.feed(member, payload, tuple(self.stack))
        elif kind == b"T":
            # what stands first of a text tells it from others
            member.body += payload[: 4 * MAX_CHARS - len(member.body)]
            self._text(member, payload)
            if member.format != "text":
                # text that a reader decoded: other bytes than the sample's, so they get the byte pass as well
                self._candidates(self._text_scan(payload), self.stack)
        elif kind == b"H":
            columns = load(payload)["columns"]
            member.header, member.plan = (None if columns is None else [str(name) for name in columns]), None
        elif kind == b"M":
            value = load(payload)
            if not self.began:
                self.began = True
                member.format = str(value["format"])
            else:
                if len(self.stack) > self.examiner.sandbox.limits.max_depth + MOST_BEYOND_DEPTH:
                    raise WireError("members inside each other without end")
                self.stack.append(self._open(str(value["name"])[:MAX_NAME], str(value["format"])[:MAX_NAME]))
        elif kind == b"P":
            value = load(payload)
            member.problem(str(value["code"]), str(value["detail"]))
        elif kind == b"E":
            self._close(member, load(payload))
        elif kind != b"Z":
            raise WireError("an unknown frame kind")
        return kind == b"Z"

    def _close(self, member: _Member, value: Mapping[str, Any]) -> None:
        member.complete = member.complete and bool(value["complete"])
        self._end_text(member)
        if len(self.stack) == 1:
            return
        self.bytes.finish(member, tuple(self.stack))
        self.stack.pop()
        self._print(member)
        parent = self.stack[-1]
        parent.leaf = False
        parent.rows += member.rows
        parent.records += member.records
        parent.complete = parent.complete and member.complete
        if len(parent.members) < MAX_MEMBERS_KEPT and self.listed < MAX_MEMBERS_IN_ALL:
            self.listed += 1
            parent.members.append(self._finding(member, None))
        else:
            parent.dropped_members += 1

    # --- both passes ---------------------------------------------------------------------------------------------

    def _text_scan(self, payload: bytes) -> list[Candidate]:
        scanner = self.examiner.scanner()
        return [*scanner.feed(payload), *scanner.finish()]

    def _candidates(self, found: Sequence[Candidate], counts_for: Sequence[_Member]) -> None:
        """Confirm candidates; a hit counts for the member it is in and for all that hold it."""
        if not found:
            return
        values = list(dict.fromkeys((candidate.kind, candidate.value) for candidate in found))
        packed = Packed.of([value for _, value in values])
        kinds = np.fromiter((kind for kind, _ in values), np.uint8, len(values))
        confirmed = confirm(self.examiner.watchlist, self.examiner.keys, kinds, packed)
        for member in counts_for:
            member.matcher.add_bytes(confirmed)
        self._excerpt(confirmed, packed)

    def _rows(self, member: _Member, batch: RowBatch) -> None:
        if member.plan is None:
            sample = batch.sample(min(SNIFF_ROWS, max(8, SNIFF_CELLS // max(1, len(batch.columns)))))
            header = member.header
            if header is None and begins_with_header(sample):
                header, sample, batch = sample.row(0), sample.without_first(), batch.drop(1)
            member.plan = plan_of(header, sample)
            member.prose = is_prose(member.plan, sample)
        member.rows += len(batch)
        if member.prose:
            self._text(member, batch.lines())
        if not len(batch):
            return
        tags, held = self._look_again(member, batch, tag_rows(member.plan, batch, self.examiner.keys.probe))
        member.records += int(any_key(tags.keys).sum())
        self.records.add(tags.keys, held)
        watch = self.examiner.watchlist
        suspects = np.zeros(len(batch), np.bool_)
        suspects |= watch.probe_records.lookup(tags.keys.ravel()).reshape(tags.keys.shape).any(axis=1)
        if len(tags.extra_keys):
            suspects[tags.extra_rows[watch.probe_records.lookup(tags.extra_keys)]] = True
        for kind, (rows_of, values) in tags.values.items():
            self.records.add_values(kind, values)
            suspects[rows_of[watch.probe_values.lookup(values)]] = True
        if suspects.any():
            self._confirm_rows(member.plan, batch.take(np.flatnonzero(suspects)))

    def _look_again(self, member: _Member, batch: RowBatch, tags: RowTags) -> tuple[RowTags, Bools]:
        """Keep some rows that no release knows, for a second look; where their names stand in the wrong columns, mend that.

        Returns:
            The tags, and which record keys any release holds.
        """
        held = self.releases.held(tags.keys)
        if member.plan is None:
            return tags, held
        for at in member.plan.places.get("note", ()):
            self.notes.add(prints_of(self.examiner.keys.probe, batch.column(at)), any_key(held))
        if not len(self.releases):
            return tags, held
        if names_swapped(tags.keys, held):
            member.plan = member.plan.names_swapped()
            tags = tag_rows(member.plan, batch, self.examiner.keys.probe)
            held = self.releases.held(tags.keys)
        lost = np.flatnonzero(any_key(tags.keys) & ~any_key(held))
        kept = lost[self.unmatched.wanted(tags.keys[lost])]
        if len(kept):
            some = batch.take(kept)
            widest = max(readings(member.plan, len(some), Forms(some.column)), key=len, default={})
            self.unmatched.keep(tags.keys[kept], widest)
        return tags, held

    def _text(self, member: _Member, payload: bytes) -> None:
        if member.text is None:
            member.text = RunningText(member.name)
        self._people(member, member.text.feed(payload))

    def _people(self, member: _Member, found: Sequence[Found]) -> None:
        """Take people of running text: all readings are matched, one of each person counts."""
        if not found:
            return
        probe, watch = self.examiner.keys.probe, self.examiner.watchlist
        readings = tag_readings(found, probe)
        values = readings.values(probe)
        held = self.releases.held(readings.keys)
        known = held.sum(axis=1)
        suspect = watch.probe_records.lookup(readings.keys.ravel()).reshape(held.shape).any(axis=1)
        for tags in values.values():
            suspect |= watch.probe_values.lookup(tags)
        suspects = np.flatnonzero(suspect)
        if len(suspects):
            inputs = readings.inputs(suspects)
            kinds = np.repeat(np.array([kind for kind, _ in inputs], np.uint8), len(suspects))
            packed = Packed.joined([column for _, column in inputs])
            confirmed = confirm(watch, self.examiner.keys, kinds, packed)
            rows = suspects[confirmed.values % len(suspects)]
            np.add.at(known, rows[confirmed.kinds >= Kind.NAME_DOB], 1)
            for open_ in self.stack:
                open_.matcher.add_rows(confirmed, readings.people[rows])
            self._excerpt(confirmed, packed)
        chosen = readings.choose(known)
        self.records.add(readings.keys[chosen], held[chosen])
        member.people.append(readings.keys[chosen])
        for kind, tags in values.items():
            self.records.add_values(kind, tags[chosen][tags[chosen] != 0])

    def _end_text(self, member: _Member) -> None:
        """The text of a member is over; mentions of one person are one record."""
        if member.text is not None:
            self._people(member, member.text.finish())
            member.text = None
        if member.body:
            known = any(self.releases.known_any(keys).any() for keys in member.people)
            prints = prints_of(self.examiner.keys.probe, Packed.of([bytes(member.body)]))
            self.notes.add(prints, np.array([known]))
            member.body.clear()
        if member.people:
            member.records += count_people(np.concatenate(member.people))
            member.people = []

    def _confirm_rows(self, plan: Plan, batch: RowBatch) -> None:
        """Confirm rows whose tags are on the watch-list; a hit counts for the member and for all that hold it."""
        inputs = row_inputs(plan, batch)
        kinds = np.repeat(np.array([kind for kind, _ in inputs], np.uint8), len(batch))
        values = Packed.joined([column for _, column in inputs])
        confirmed = confirm(self.examiner.watchlist, self.examiner.keys, kinds, values)
        for member in self.stack:
            member.matcher.add_rows(confirmed, confirmed.values % len(batch))
        self._excerpt(confirmed, values)

    def _excerpt(self, confirmed: Confirmed, values: Packed) -> None:
        for at, kind in zip(confirmed.values[:MAX_EXCERPTS].tolist(), confirmed.kinds.tolist(), strict=False):
            if len(self.excerpts) < MAX_EXCERPTS:
                value = values.item(at).decode("utf-8", "replace").replace("\x1f", " ")
                self.excerpts.append({"kind": Kind(kind).word, "value": value})

    # --- the finding ---------------------------------------------------------------------------------------------

    def _finish(self) -> Finding:
        while len(self.stack) > 1:
            member = self.stack[-1]
            member.problem("reader", "the reader ended inside this member")
            self._close(member, {"complete": False})
        sample = self.sample
        self._end_text(sample)
        self.bytes.finish(sample, (sample,))
        lineage = self._lineage(bool(sample.matcher.hits()))
        return replace(self._finding(sample, lineage), release=self._sighted(lineage, bool(sample.matcher.hits())))

    def _sighted(self, lineage: Lineage | None, has_hits: bool) -> str:
        """Keep the records of a sample that holds more than is known; '' where there is no reason to."""
        if not self.request.sighted or lineage is None or self.records.one_in > 1:
            return ""
        tied = has_hits or bool(lineage.parents)
        more = bool(lineage.new) and lineage.verdict not in {"re-post", "re-packaged", "subset", "unrelated"}
        if not tied or not (more or lineage.added):
            return ""
        name = SIGHTED + keyed_sha256(self.examiner.keys.post, self.sample.digest.hexdigest())[:16]
        builder = ReleaseBuilder(name)
        builder.add(self.records.keys(), self.records.values(), self.notes.telling()[0])
        self.examiner.keep_sighted(builder)
        return name

    def _lineage(self, has_hits: bool) -> Lineage | None:
        prints, owners = self.notes.telling()
        if self.request.release:
            builder = self.examiner.builders.setdefault(self.request.release, ReleaseBuilder(self.request.release))
            builder.add(self.records.keys(), self.records.values(), prints)
        known, new, of_known = self.notes.judge(self.releases.known_notes(prints), owners)
        if self.notes.dropped:
            self.sample.problem("notes", f"{self.notes.dropped} texts were too many to be compared with known ones")
        second = SecondLook(self.examiner.keys.probe, self.unmatched, self.releases.holds)
        texts = Texts(self.notes.read, known, new, of_known)
        return self.records.lineage(has_hits=has_hits, second=second, texts=texts)

    def _finding(self, member: _Member, lineage: Lineage | None) -> Finding:
        if member.dropped_members:
            member.problem(
                "members", f"{member.dropped_members} further members were examined and are not listed one by one"
            )
        whole = member is self.sample
        hits = tuple(member.matcher.hits())
        sealed = self._seal(hits) if whole and hits else ""
        return Finding(
            path=member.name,
            sha256=member.digest.hexdigest(),
            bytes=member.size,
            format=member.format,
            members=tuple(member.members),
            rows=member.rows,
            records=member.records,
            complete=member.complete,
            problems=tuple(member.problems),
            hits=hits,
            lineage=lineage,
            fingerprint=member.matcher.fingerprint() if whole and hits else "",
            sealed=sealed,
            sighted=sightings.packed(member.matcher.sighted()) if whole and hits else {},
            prints=self._all_prints() if whole and member.size else "",
        )

    def _print(self, member: _Member) -> None:
        """Keep what a file that was read whole is known by; what it was packed in stands for itself alone."""
        if member.leaf and member.complete and member.size and len(self.prints) < MAX_PRINTS:
            self.prints.append(self.printer.prints(File(member.name, member.size, member.crc)))

    def _all_prints(self) -> str:
        """Those of the sample itself first."""
        sample = self.sample
        return packed([self.printer.prints(File(sample.name, sample.size, sample.crc)), *self.prints])

    def _seal(self, hits: tuple[Any, ...]) -> str:
        import base64

        import orjson

        if not self.examiner.recipient:
            return ""
        request = self.request
        proof = {
            "name": request.name,
            "source": request.source,
            "url": request.url,
            "title": request.title,
            "sha256": self.sample.digest.hexdigest(),
            "bytes": self.sample.size,
            "hits": [{"client": hit.client, "canaries": hit.canaries, "records": hit.records} for hit in hits],
            "excerpts": self.excerpts,
        }
        try:
            return base64.b64encode(evidence.seal(self.examiner.recipient, orjson.dumps(proof))).decode()
        except KeyFileError as error:
            # a hit is told even where its proof cannot be kept
            self.sample.problem("evidence", f"nothing was sealed: {error}")
            return ""
