"""The examination of a sample, from its bytes to its finding; every post, attachment and local file passes through it.

It runs in the examiner process, which holds the match key and has no network. A reader in the sandbox parses the
sample, `crawler.examiner.record_pass` processes the reader's rows and text, and `crawler.matching.byte_pass` scans the
bytes.
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from crawler.examiner.findings import FindingBuilder
from crawler.examiner.hits import HitConfirmer
from crawler.examiner.record_pass import RecordPass
from crawler.examiner.record_speed import RecordSpeed
from crawler.examiner.sample import SampleMember
from crawler.examiner.sample_request import SampleRequest
from crawler.lineage.origin import OriginEvidence
from crawler.matching.byte_pass import MAX_WITHOUT_THREAD, BytePass
from crawler.matching.byte_scanner import ByteScanner
from crawler.matching.canary_numbers import CanaryNumbers
from crawler.matching.candidates import Candidates
from crawler.matching.matched_lines import Piece
from crawler.matching.seen_values import SeenValues
from crawler.matching.watchlist_match import HitCollector
from crawler.process.format_groups import COMPRESSED_FORMATS, LISTING_FORMATS, PLAIN_FORMATS
from crawler.process.frames import HEADER, SMALL_FRAME, pack_json
from crawler.records.row_batch import RowBatch
from crawler.sandbox.reader_client import INVALID_FRAME_ERRORS, ReaderConnection
from crawler.sandbox.reader_frames import MemberEnd, MemberProblem, MemberStart, TableHeader
from crawler.sandbox.reusable_reader import ReusableReader
from crawler.sandbox.sample_pump import RAW, SamplePump
from crawler.sandbox.sandbox import Sandbox
from data.case.watchlist import Watchlist
from data.errors import WireError
from data.hashing.case_keys import Keys
from data.hashing.tags import keyed_sha256
from data.identifiers.path_lines import path_line
from data.model import Finding, Lineage
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases
from data.vocabulary import INVALID, known_sentence, vocabulary

# The most members of one member that are listed in a finding; a correct reader has a lower limit of its own.
MAX_MEMBERS_KEPT = 1000
# The most members at all depths that are listed, so that archives of archives do not make a finding too large to send.
MAX_MEMBERS_IN_ALL = 10_000
# A correct reader opens a few members beyond the depth that its limit allows. One that was taken over could open them
# without end.
MAX_BEYOND_DEPTH = 8
# The most rows of sighted samples that are held until the runner has committed their findings.
MAX_SIGHTED_ROWS = 4_000_000
SIGHTED = "sighted-"

# Passwords that are tried on the locked archives of a sample.
MAX_PASSWORDS = 20

MAX_PLAIN_BYTES = 2**20
PATHS_AT_ONCE = 2**16
# The kinds of frames with what a reader found in a member: rows, rows as cells, text, the header of a table.
CONTENT = frozenset({b"R", b"C", b"T", b"H"})


class Examiner:
    """Examines samples with the keys and sets of one case; safe to share between threads.

    Attributes:
        keys: of the case.
        watchlist: tags of the clients' canaries.
        releases: the releases that samples are compared with.
        sandbox: starts the readers.
        recipient: the public key that evidence is sealed for; '' for no evidence.
        max_rows: how many rows of a sample are held; None for no limit.
        clock: tells the processor time of the calling thread in seconds, which the record pass is held to.
        builders: the releases that are being collected, by id. If sighted samples hold too many rows, the oldest of
            them is dropped.
    """

    def __init__(
        self,
        keys: Keys,
        watchlist: Watchlist,
        releases: KnownReleases,
        sandbox: Sandbox,
        recipient: str = "",
        max_rows: int | None = None,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self.keys = keys
        self.watchlist = watchlist
        self.releases = releases
        self.sandbox = sandbox
        self.recipient = recipient
        self.max_rows = max_rows
        self.clock = clock
        self.builders: dict[str, ReleaseBuilder] = {}
        self._numbers = CanaryNumbers(watchlist)

    def keep_sighted(self, builder: ReleaseBuilder) -> None:
        """Hold the records of a sighted sample until the runner orders to write them."""
        self.builders[builder.release] = builder
        sighted = [each for name, each in list(self.builders.items()) if name.startswith(SIGHTED)]
        rows = sum(each.rows for each in sighted)
        for each in sighted[:-1]:
            if rows <= MAX_SIGHTED_ROWS:
                break
            rows -= each.rows
            self.builders.pop(each.release, None)

    def add_collected(self, collected: ReleaseBuilder) -> None:
        """Add the records that a worker collected for a release, as if this process had examined the sample."""
        if collected.release.startswith(SIGHTED):
            self.keep_sighted(collected)
            return
        builder = self.builders.setdefault(collected.release, ReleaseBuilder(collected.release))
        for part in collected.parts():
            builder.add(*part)

    def examine(
        self,
        request: SampleRequest,
        chunks: Iterable[bytes | bytearray],
        ending: Mapping[str, Any],
        reusable_reader: ReusableReader | None = None,
        send_enough: Callable[[], None] = lambda: None,
        peer: socket.socket | None = None,
    ) -> Finding:
        """Examine one sample to its end, whatever its reader does.

        Args:
            request: name and origin of the sample, and how to examine it.
            chunks: its bytes in order, in pieces of any size, which are consumed as they come.
            ending: filled by the caller before `chunks` ends: `complete` and `problem` of the transport.
            reusable_reader: keeps a reader of small plain samples for the next sample of the same source.
            send_enough: is called once the rest of the sample cannot be examined: the sender may stop.
            peer: the socket of whoever waits for the finding; the examination ends once its other end is closed.

        Returns:
            The finding. It is incomplete if the reader crashes, breaks the protocol or is ended by a limit; the byte
            pass has scanned every byte that came all the same.

        Raises:
            ConnectionAbortedError: nobody waits for the finding any more.
        """
        reusable_reader = reusable_reader or ReusableReader(self.sandbox)
        return Examination(self, request, reusable_reader, send_enough, peer).run(chunks, ending)

    def canary_numbers(self) -> CanaryNumbers:
        """The numbers of the canaries of the watch-list, made once for each watch-list."""
        if self._numbers.owners is not self.watchlist:
            self._numbers = CanaryNumbers(self.watchlist)
        return self._numbers

    def new_scanner(self, seen: SeenValues | None = None) -> ByteScanner:
        """A new scanner for values of the watch-list, which also collects the tags of all values if that is asked for."""
        collect = seen.add if seen is not None else None
        return ByteScanner(
            self.keys.probe, self.watchlist.probe_values, collect=collect, tokens=self.watchlist.has_tokens
        )


class Examination:
    """The examination of one sample by both passes."""

    def __init__(
        self,
        examiner: Examiner,
        request: SampleRequest,
        reusable_reader: ReusableReader,
        send_enough: Callable[[], None],
        peer: socket.socket | None = None,
    ) -> None:
        self.examiner = examiner
        self.peer = peer
        self.reusable_reader = reusable_reader
        self.send_enough = send_enough
        self.request = request
        keys, watchlist = examiner.keys, examiner.watchlist
        self.hits = HitConfirmer(examiner.canary_numbers(), keys.confirm)
        max_rows = None if request.exact or request.release else examiner.max_rows
        self.records = RecordPass(
            keys.probe,
            watchlist,
            examiner.releases,
            max_rows,
            self.hits,
            collects=bool(request.release or request.sighted),
            today=datetime.now(UTC).date(),
        )
        self.speed = RecordSpeed(examiner.sandbox.limits.slow_after, examiner.clock)
        self.findings = FindingBuilder(request, keys.post, examiner.recipient)
        self.seen = SeenValues() if request.sighted else None
        # the open members: the sample itself, a member of it, a member of that …
        self.stack: list[SampleMember] = [self._open_member(request.name, "unknown")]
        self.has_begun = False
        self.listed = 0
        self.bytes = BytePass(self.hits.add_candidates)

    def _open_member(self, name: str, kind: str) -> SampleMember:
        return SampleMember(
            name,
            kind,
            HitCollector(self.hits.numbers, self.examiner.keys.post),
            self.examiner.new_scanner(self.seen),
            hashlib.sha256(),
        )

    @property
    def sample(self) -> SampleMember:
        """The sample itself."""
        return self.stack[0]

    def run(self, chunks: Iterable[bytes | bytearray], ending: Mapping[str, Any]) -> Finding:
        """Examine the sample; arguments and result are those of `Examiner.examine`."""
        try:
            return self._run(chunks, ending)
        finally:
            self.bytes.close()
            self.hits.close()

    def _run(self, chunks: Iterable[bytes | bytearray], ending: Mapping[str, Any]) -> Finding:
        reader = self.reusable_reader.take(self.request.source)
        connection = ReaderConnection(reader, self._handle_frame, self.examiner.sandbox.limits.wall, self.peer)

        def last_frame() -> bytes:
            return pack_json(b"E", {"complete": bool(ending.get("complete", True))})

        try:
            if self.request.passwords:
                passwords = self.request.passwords.split("\n")[:MAX_PASSWORDS]
                connection.send(pack_json(b"W", passwords))
            chunks = self._watch_for_end_of_reading(chunks, connection)
            # a small sample is sent with its end, because each send wakes the reader
            waiting: tuple[bytes | bytearray, ...] = ()
            for chunk in chunks:
                self._scan_raw(chunk)
                frame = (HEADER.pack(b"D", len(chunk)), chunk)
                if waiting or self.sample.size > SMALL_FRAME:
                    connection.send(*waiting, *frame)
                    waiting = ()
                else:
                    waiting = frame
                if self.sample.size > MAX_WITHOUT_THREAD:
                    self._examine_while_sending(SamplePump(connection, chunks, last_frame), connection)
                    break
            else:
                connection.send(*waiting, last_frame())
                connection.finish()
        except BaseException:
            reader.close()
            raise
        if connection.broken:
            self.sample.problem("reader", connection.broken)
        if not connection.ended_well:
            reader.kill()
            leave = reader.wait(timeout=5)
            self.sample.complete = False
            self.sample.problem("reader", leave.reason or "the reader ended in the middle of the sample")
        elif self._may_reuse_reader():
            self.reusable_reader.keep(reader)
        else:
            reader.close()
        if not ending.get("complete", True):
            self.sample.complete = False
            reason = known_sentence(str(ending.get("problem", "")))
            self.sample.problem("cut", reason or "the sample was cut off before its end")
        return self._finish()

    def _watch_for_end_of_reading(
        self, chunks: Iterable[bytes | bytearray], connection: ReaderConnection
    ) -> Iterator[bytes | bytearray]:
        """The chunks; the sender is notified once further ones are of no use."""
        for chunk in chunks:
            yield chunk
            if connection.ended and self.sample.format in COMPRESSED_FORMATS:
                self.send_enough()

    def _examine_while_sending(self, pump: SamplePump, connection: ReaderConnection) -> None:
        """Process the frames of a large sample's reader while the pump sends the sample to it."""
        for kind, payload in pump:
            if kind == RAW:
                self._scan_raw(payload)
            elif not connection.broken:
                try:
                    self._handle_frame(kind, bytes(payload))
                except INVALID_FRAME_ERRORS:
                    connection.reject_frame()

    def _scan_raw(self, chunk: bytes | bytearray) -> None:
        self.sample.size += len(chunk)
        self.bytes.feed(self.sample, chunk, (self.sample,))

    def _may_reuse_reader(self) -> bool:
        """Whether the reader processed only a little plain text, from a source that has a name."""
        sample = self.sample
        is_plain = sample.format in PLAIN_FORMATS and not sample.members and not sample.unlisted
        return bool(self.request.source) and is_plain and sample.size <= MAX_PLAIN_BYTES

    def _handle_frame(self, kind: bytes, payload: bytes) -> bool:
        """Process one frame of the reader; True if it is the last one.

        Raises:
            WireError: no correct reader sends such a frame.
        """
        member = self.stack[-1]
        if kind in CONTENT:
            self._read_content(member, kind, payload)
        elif kind == b"B":
            member.size += len(payload)
            self.bytes.feed(member, payload, tuple(self.stack))
        elif kind == b"M":
            self._begin_member(MemberStart.read(payload))
        elif kind == b"P":
            self._note_problem(member, MemberProblem.read(payload))
        elif kind == b"E":
            self._end_member(member, complete=MemberEnd.read(payload).complete)
        elif kind != b"Z":
            raise WireError("a frame of an unknown kind")
        return kind == b"Z"

    def _read_content(self, member: SampleMember, kind: bytes, payload: bytes) -> None:
        """Process rows, text or the header of a table of an open member."""
        batch = RowBatch.from_frame(payload) if kind == b"R" else RowBatch.from_cells(payload) if kind == b"C" else None
        if kind == b"T" and member.format != "text":
            # text that a reader decoded differs from the bytes of the sample, so it is scanned as well
            self._find_in_text(payload)
        if member.given_up:
            if batch is not None:
                member.rows += len(batch)
                self._find_in_text(batch.lines())
            return
        self.speed.begin()
        if batch is not None:
            self.records.add_rows(member, batch, self.stack)
        elif kind == b"T":
            self.records.keep_beginning(member, payload)
            self.records.add_text(member, payload, self.stack)
        else:
            self.records.begin_table(member, TableHeader.read(payload).columns)
        self.speed.end(member, len(payload))

    def _begin_member(self, frame: MemberStart) -> None:
        """Begin the sample itself, or a member inside the open one."""
        known = frame.format in vocabulary().formats
        kind = frame.format if known else "unknown"
        if not self.has_begun:
            self.has_begun = True
            self.sample.format = kind
        else:
            if len(self.stack) > self.examiner.sandbox.limits.max_depth + MAX_BEYOND_DEPTH:
                raise WireError("members are nested too deeply")
            self._add_path(frame.name)
            self.stack.append(self._open_member(frame.name, kind))
        if not known:
            self._note_invalid(self.stack[-1])

    def _add_path(self, path: str) -> None:
        """Read the path of a member that begins in the open archive as text: folders and files are named after people."""
        archive = self.stack[-1]
        if archive.format in LISTING_FORMATS and (line := path_line(path)):
            archive.paths += line.encode("utf-8", "replace") + b"\n\n"
            if len(archive.paths) >= PATHS_AT_ONCE:
                self._read_paths(archive)

    def _read_paths(self, archive: SampleMember) -> None:
        if archive.paths:
            text, archive.paths = bytes(archive.paths), bytearray()
            self.records.add_text(archive, text, self.stack)
            self._find_in_text(text)

    def _note_problem(self, member: SampleMember, frame: MemberProblem) -> None:
        """Note a problem that the reader reports, in words of our own source code only."""
        known = frame.code in vocabulary().codes
        sentence = known_sentence(frame.detail) if known and not member.has_all_problems(frame.code) else ""
        if not known or sentence is None:
            self._note_invalid(member)
        else:
            member.problem(frame.code, sentence)

    def _note_invalid(self, member: SampleMember) -> None:
        """The reader sent words that it cannot have: they are not kept, and the member was not examined to its end."""
        member.complete = False
        member.problem(INVALID, "the reader sent something invalid, which is not shown")

    def _end_member(self, member: SampleMember, *, complete: bool) -> None:
        """End an open member, and add its counts to the member that contains it."""
        member.complete = member.complete and complete
        self._read_paths(member)
        self.records.end_text(member, self.stack)
        if len(self.stack) == 1:
            return
        self.bytes.finish(member, tuple(self.stack))
        self.hits.confirm_waiting(member)
        self.stack.pop()
        self.findings.add_fingerprint(member)
        parent = self.stack[-1]
        parent.leaf = False
        parent.rows += member.rows
        parent.records += member.records
        parent.complete = parent.complete and member.complete
        parent.codes |= member.codes
        # members of the sample itself are listed whatever the number of members within them
        if len(parent.members) < MAX_MEMBERS_KEPT and (self.listed < MAX_MEMBERS_IN_ALL or len(self.stack) == 1):
            self.listed += 1
            parent.members.append(self.findings.member_finding(member))
        else:
            parent.unlisted += 1
            parent.unlisted_codes |= member.codes

    def _find_in_text(self, text: bytes) -> None:
        """Run the byte pass over text that is not in the bytes of the sample as such."""
        scanner = self.examiner.new_scanner(self.seen)
        found = Candidates.concatenated([scanner.feed(text), scanner.finish()])
        self.hits.add_candidates(found, self.stack, Piece(text))

    # --- the end ---------------------------------------------------------------------------------------------------

    def _finish(self) -> Finding:
        while len(self.stack) > 1:
            member = self.stack[-1]
            member.problem("reader", "the reader ended within this member")
            self._end_member(member, complete=False)
        sample = self.sample
        self._read_paths(sample)
        self.records.end_text(sample, self.stack)
        self.bytes.finish(sample, (sample,))
        self.hits.confirm_waiting(sample)
        has_hits = sample.collector.has_hits
        if self.request.release:
            self.records.add_to_release(
                self.examiner.builders.setdefault(self.request.release, ReleaseBuilder(self.request.release))
            )
        if self.records.notes_dropped:
            sample.problem(
                "notes",
                f"{self.records.notes_dropped} texts were not compared with known ones: the sample has too many",
            )
        evidence = OriginEvidence(
            has_planted_hits=sample.collector.has_planted_hits,
            hit_people=sample.collector.count_people(),
        )
        lineage = self.records.lineage(has_hits=has_hits, evidence=evidence)
        if lineage is not None:
            lineage = replace(lineage, notes=(*lineage.notes, *self.hits.notes()))
        else:
            for note in self.hits.notes():
                sample.problem("shared", note)
        release = self._keep_sighted_records(lineage, has_hits=has_hits)
        # a sample that becomes a release can be compared with later canaries by that
        seen = self.seen.encode(self.records.keys()) if self.seen is not None and not release else ""
        return self.findings.sample_finding(sample, lineage, release, self.hits, seen)

    def _keep_sighted_records(self, lineage: Lineage | None, *, has_hits: bool) -> str:
        """Keep the records of a sample that holds more than is known; returns the id of their release, '' for none."""
        if not self.request.sighted or lineage is None or not self.records.holds_all:
            return ""
        if lineage.origin is not None and lineage.origin.answer == "another's":
            # its people would tie further data of the other organisation to our releases
            return ""
        if not lineage.columns:
            # a list of values without a record key cannot become a release
            return ""
        if lineage.verdict == "recombined":
            # the pairs of values are those of nobody, whatever stands beside them
            return ""
        is_tied = has_hits or bool(lineage.parents)
        no_more = {"re-post", "re-packaged", "subset", "unrelated"}
        has_more = bool(lineage.new) and lineage.verdict not in no_more
        if not is_tied or not (has_more or lineage.added):
            return ""
        name = SIGHTED + keyed_sha256(self.examiner.keys.post, self.sample.digest.hexdigest())[:16]
        builder = ReleaseBuilder(name)
        self.records.add_to_release(builder)
        self.examiner.keep_sighted(builder)
        return name
