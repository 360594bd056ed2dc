"""Bytes in, finding out: the one road that every post, attachment and local file takes.

Runs in the examiner process, which holds the match key and has no network. Parsing is left to a reader in the
sandbox, its rows and text to `crawler.examiner.record_pass`, the bytes themselves to `crawler.matching.byte_pass`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from crawler.examiner.findings import Findings
from crawler.examiner.hits import Hits
from crawler.examiner.record_pass import RecordPass
from crawler.examiner.sample import Member
from crawler.examiner.sample_request import Request
from crawler.matching.byte_pass import MAX_WITHOUT_THREAD, BytePass
from crawler.matching.byte_scanner import ByteScanner, Candidate
from crawler.matching.watchlist_match import HitCollector
from crawler.process.frames import HEADER, load, pack_json
from crawler.readers.core.limits import MAX_NAME
from crawler.records.row_batch import RowBatch
from crawler.sandbox.reader_client import INVALID_FRAME_ERRORS, ReaderConnection
from crawler.sandbox.reusable_reader import ReusableReader
from crawler.sandbox.sample_pump import RAW, SamplePump
from crawler.sandbox.sandbox import Sandbox
from data.case.watchlist import Watchlist
from data.errors import WireError
from data.hashing.case_keys import Keys
from data.hashing.tags import keyed_sha256
from data.model import Finding, Lineage
from data.releases.builder import ReleaseBuilder
from data.releases.known_releases import KnownReleases

# A reader that claims more members than its own limit lies; the examiner keeps no more than this many in a finding.
MAX_MEMBERS_KEPT = 1000
# ... and no more at all depths, so that an archive of archives of files does not make a finding that cannot be sent.
MAX_MEMBERS_IN_ALL = 10_000
# A reader opens few members beyond the containers that its limit allows; one that lies would open them without end.
MOST_BEYOND_DEPTH = 8
# Rows of sighted samples that are held until the runner has committed what was found in them.
MOST_SIGHTED = 4_000_000
SIGHTED = "sighted-"

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


class Examiner:
    """Examines samples one after another with the keys and sets of one case; safe to share between threads."""

    def __init__(
        self,
        keys: Keys,
        watchlist: Watchlist,
        releases: KnownReleases,
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
        kept: ReusableReader | None = None,
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
        return Examination(self, request, kept or ReusableReader(self.sandbox), enough).run(chunks, ending)

    def scanner(self) -> ByteScanner:
        """A fresh byte pass over the watch-list's values."""
        return ByteScanner(self.keys.probe, self.watchlist.probe_values, tokens=self.watchlist.has_tokens)


class Examination:
    """One sample on its way through both passes."""

    def __init__(self, examiner: Examiner, request: Request, kept: ReusableReader, enough: Callable[[], None]) -> None:
        self.examiner = examiner
        self.kept = kept
        self.enough = enough
        self.request = request
        keys, watchlist = examiner.keys, examiner.watchlist
        self.hits = Hits(watchlist, keys)
        most_rows = None if request.exact or request.release else examiner.most_rows
        self.records = RecordPass(keys.probe, watchlist, examiner.releases, most_rows, self.hits)
        self.findings = Findings(request, keys.post, examiner.recipient)
        self.stack: list[Member] = [self._open(request.name, "unknown")]
        self.began = False
        self.listed = 0
        self.bytes = BytePass(self.hits.in_bytes)

    def _open(self, name: str, kind: str) -> Member:
        return Member(
            name,
            kind,
            HitCollector(self.examiner.watchlist, self.examiner.keys),
            self.examiner.scanner(),
            hashlib.sha256(),
        )

    @property
    def sample(self) -> Member:
        """The member that is all of it."""
        return self.stack[0]

    def run(self, chunks: Iterable[bytes | bytearray], ending: Mapping[str, Any]) -> Finding:
        """The finding; arguments as `Examiner.examine` has them."""
        try:
            return self._run(chunks, ending)
        finally:
            self.bytes.close()

    def _run(self, chunks: Iterable[bytes | bytearray], ending: Mapping[str, Any]) -> Finding:
        reader = self.kept.take(self.request.source)
        talk = ReaderConnection(reader, self._frame, self.examiner.sandbox.limits.wall)

        def last_frame() -> bytes:
            return pack_json(b"E", {"complete": bool(ending.get("complete", True))})

        try:
            chunks = self._wanted(chunks, talk)
            for chunk in chunks:
                self._raw(chunk)
                talk.send(HEADER.pack(b"D", len(chunk)), chunk)
                if self.sample.size > MAX_WITHOUT_THREAD:
                    self._beside(SamplePump(talk, chunks, last_frame), talk)
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

    def _wanted(self, chunks: Iterable[bytes | bytearray], talk: ReaderConnection) -> Iterator[bytes | bytearray]:
        """The chunks; says so where they have become of no use."""
        for chunk in chunks:
            yield chunk
            if talk.ended and self.sample.format in PACKED:
                self.enough()

    def _beside(self, pump: SamplePump, talk: ReaderConnection) -> None:
        """Work on what a large sample's reader says while it reads on."""
        for kind, payload in pump:
            if kind == RAW:
                self._raw(payload)
            elif not talk.broken:
                try:
                    self._frame(kind, bytes(payload))
                except INVALID_FRAME_ERRORS:
                    talk.misunderstood()

    def _raw(self, chunk: bytes | bytearray) -> None:
        self.sample.size += len(chunk)
        self.bytes.feed(self.sample, chunk, (self.sample,))

    def _may_read_on(self) -> bool:
        """Whether the reader met nothing but a little plain text, of a source that has a name."""
        sample = self.sample
        plain = sample.format in PLAIN and not sample.members and not sample.unlisted
        return bool(self.request.source) and plain and sample.size <= MAX_PLAIN

    def _frame(self, kind: bytes, payload: bytes) -> bool:
        """Take one frame of the reader; True at the last one."""
        member = self.stack[-1]
        if kind == b"R":
            self.records.add_rows(member, RowBatch.from_frame(payload), self.stack)
        elif kind == b"C":
            self.records.add_rows(member, RowBatch.from_cells(payload), self.stack)
        elif kind == b"B":
            member.size += len(payload)
            self.bytes.feed(member, payload, tuple(self.stack))
        elif kind == b"T":
            self.records.keep_beginning(member, payload)
            self.records.add_text(member, payload, self.stack)
            if member.format != "text":
                # text that a reader decoded: other bytes than the sample's, so they get the byte pass as well
                self.hits.in_bytes(self._text_scan(payload), self.stack)
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

    def _close(self, member: Member, value: Mapping[str, Any]) -> None:
        member.complete = member.complete and bool(value["complete"])
        self.records.end_text(member, self.stack)
        if len(self.stack) == 1:
            return
        self.bytes.finish(member, tuple(self.stack))
        self.stack.pop()
        self.findings.print(member)
        parent = self.stack[-1]
        parent.leaf = False
        parent.rows += member.rows
        parent.records += member.records
        parent.complete = parent.complete and member.complete
        parent.codes |= member.codes
        # those of the sample itself are listed however many there are inside them
        if len(parent.members) < MAX_MEMBERS_KEPT and (self.listed < MAX_MEMBERS_IN_ALL or len(self.stack) == 1):
            self.listed += 1
            parent.members.append(self.findings.of_member(member))
        else:
            parent.unlisted += 1
            parent.unlisted_codes |= member.codes

    def _text_scan(self, payload: bytes) -> list[Candidate]:
        scanner = self.examiner.scanner()
        return [*scanner.feed(payload), *scanner.finish()]

    # --- the end ---------------------------------------------------------------------------------------------------

    def _finish(self) -> Finding:
        while len(self.stack) > 1:
            member = self.stack[-1]
            member.problem("reader", "the reader ended inside this member")
            self._close(member, {"complete": False})
        sample = self.sample
        self.records.end_text(sample, self.stack)
        self.bytes.finish(sample, (sample,))
        has_hits = bool(sample.collector.hits())
        if self.request.release:
            self.records.add_to_release(
                self.examiner.builders.setdefault(self.request.release, ReleaseBuilder(self.request.release))
            )
        if self.records.notes_dropped:
            sample.problem("notes", f"{self.records.notes_dropped} texts were too many to be compared with known ones")
        lineage = self.records.lineage(has_hits=has_hits)
        release = self._sighted(lineage, has_hits=has_hits)
        return self.findings.of_sample(sample, lineage, release, self.hits.excerpts)

    def _sighted(self, lineage: Lineage | None, *, has_hits: bool) -> str:
        """Keep the records of a sample that holds more than is known; '' where there is no reason to."""
        if not self.request.sighted or lineage is None or not self.records.holds_all:
            return ""
        tied = has_hits or bool(lineage.parents)
        more = bool(lineage.new) and lineage.verdict not in {"re-post", "re-packaged", "subset", "unrelated"}
        if not tied or not (more or lineage.added):
            return ""
        name = SIGHTED + keyed_sha256(self.examiner.keys.post, self.sample.digest.hexdigest())[:16]
        builder = ReleaseBuilder(name)
        self.records.add_to_release(builder)
        self.examiner.keep_sighted(builder)
        return name
