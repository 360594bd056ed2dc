"""The findings of a sample and of its members: counts, hits, prints of files, and the sealed proof of what hit."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import orjson

from crawler.examiner.sample import Member
from crawler.examiner.sample_request import Request
from data.case import canary_bitmaps, evidence
from data.errors import KeyFileError
from data.hashing.file_fingerprints import FileEntry, FileFingerprinter, encode_fingerprints
from data.model import Finding, Hit, Lineage
from data.plural import counted

# Files of a sample that are known again by name, size and checksum: 1.6 MB of prints.
MAX_PRINTS = 100_000


class Findings:
    """Makes the findings of one sample."""

    def __init__(self, request: Request, post_key: bytes, recipient: str) -> None:
        """For one sample.

        Args:
            request: what was said of it.
            post_key: prints are keyed with it.
            recipient: whose key opens evidence; '' for nobody's.
        """
        self._request, self._recipient = request, recipient
        self._printer = FileFingerprinter(post_key)
        self._prints: list[tuple[int, int]] = []

    def print(self, member: Member) -> None:
        """Keep what a file that was read whole is known by; what it was packed in stands for itself alone."""
        if member.leaf and member.complete and member.size and len(self._prints) < MAX_PRINTS:
            self._prints.append(self._printer.fingerprints(FileEntry(member.name, member.size, member.crc)))

    def of_member(self, member: Member) -> Finding:
        """Of a member that is over."""
        return self._finding(member, tuple(member.collector.hits()))

    def of_sample(
        self, sample: Member, lineage: Lineage | None, release: str, excerpts: Sequence[dict[str, str]]
    ) -> Finding:
        """Of the sample itself.

        Args:
            sample: at its end.
            lineage: of it.
            release: id under which its records are held, '' for none.
            excerpts: of what hit, for sealed evidence.
        """
        hits = tuple(sample.collector.hits())
        sealed = self._seal(sample, hits, excerpts) if hits else ""
        return self._finding(
            sample,
            hits,
            lineage=lineage,
            release=release,
            fingerprint=sample.collector.fingerprint() if hits else "",
            sealed=sealed,
            sighted=canary_bitmaps.encode_bitmaps(sample.collector.sighted()) if hits else {},
            prints=self._all_prints(sample) if sample.size else "",
        )

    def _finding(
        self,
        member: Member,
        hits: tuple[Hit, ...],
        *,
        lineage: Lineage | None = None,
        release: str = "",
        fingerprint: str = "",
        sealed: str = "",
        sighted: dict[str, str] | None = None,
        prints: str = "",
    ) -> Finding:
        if member.unlisted:
            codes = f"; problems of theirs: {', '.join(sorted(member.unlisted_codes))}" if member.unlisted_codes else ""
            further = counted(member.unlisted, "further member was", "further members were")
            listed = "is not listed" if member.unlisted == 1 else "are not listed one by one"
            member.problem("members", f"{further} examined and {listed}{codes}")
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
            fingerprint=fingerprint,
            sealed=sealed,
            sighted=sighted or {},
            prints=prints,
            release=release,
        )

    def _all_prints(self, sample: Member) -> str:
        """Those of the sample itself first."""
        return encode_fingerprints(
            [self._printer.fingerprints(FileEntry(sample.name, sample.size, sample.crc)), *self._prints]
        )

    def _seal(self, sample: Member, hits: tuple[Hit, ...], excerpts: Sequence[dict[str, str]]) -> str:
        if not self._recipient:
            return ""
        request = self._request
        proof = {
            "name": request.name,
            "source": request.source,
            "url": request.url,
            "title": request.title,
            "sha256": sample.digest.hexdigest(),
            "bytes": sample.size,
            "hits": [{"client": hit.client, "canaries": hit.canaries, "records": hit.records} for hit in hits],
            "excerpts": list(excerpts),
        }
        try:
            return base64.b64encode(evidence.seal(self._recipient, orjson.dumps(proof))).decode()
        except KeyFileError as error:
            # a hit is told even where its proof cannot be kept
            sample.problem("evidence", f"nothing was sealed: {error}")
            return ""
