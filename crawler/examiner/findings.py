"""Makes the findings of a sample and its members: counts, hits, file fingerprints, and sealed evidence of the hits."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import orjson

from crawler.examiner.hits import HitConfirmer
from crawler.examiner.sample import SampleMember
from crawler.examiner.sample_request import SampleRequest
from data.case import canary_bitmaps, evidence
from data.errors import KeyFileError
from data.hashing.file_fingerprints import FileEntry, FileFingerprinter, encode_fingerprints
from data.model import Finding, Hit, Lineage
from data.plural import counted

# The most files of a sample that get fingerprints (name, size and checksum): 1.6 MB.
MAX_FINGERPRINTS = 100_000


_fingerprinter = lru_cache(maxsize=1)(FileFingerprinter)


class FindingBuilder:
    """Makes the findings of one sample and its members."""

    def __init__(self, request: SampleRequest, post_key: bytes, recipient: str) -> None:
        """Begin a sample.

        Args:
            request: of the sample.
            post_key: the key of the file fingerprints.
            recipient: the public key that evidence is sealed for; '' for no evidence.
        """
        self._request, self._recipient = request, recipient
        self._fingerprinter = _fingerprinter(post_key)
        self._fingerprints: list[tuple[int, int]] = []

    def add_fingerprint(self, member: SampleMember) -> None:
        """Keep the fingerprint of a file that was read completely; archives within the sample get none."""
        if member.leaf and member.complete and member.size and len(self._fingerprints) < MAX_FINGERPRINTS:
            self._fingerprints.append(self._fingerprinter.fingerprints(FileEntry(member.name, member.size, member.crc)))

    def member_finding(self, member: SampleMember) -> Finding:
        """The finding of a member that has ended."""
        return self._finding(member, tuple(member.collector.hits()))

    def sample_finding(
        self,
        sample: SampleMember,
        lineage: Lineage | None,
        release: str,
        found: HitConfirmer,
        seen: str = "",
    ) -> Finding:
        """The finding of the sample itself.

        Args:
            sample: at its end.
            lineage: of the sample.
            release: id under which its records are held; '' for none.
            found: has the values that hit and their lines, for sealed evidence.
            seen: tags of its values, for canaries that are enrolled later; '' for none.
        """
        hits = tuple(sample.collector.hits())
        sealed = self._seal(sample, hits, found) if hits else ""
        return self._finding(
            sample,
            hits,
            lineage=lineage,
            release=release,
            fingerprint=sample.collector.fingerprint() if hits else "",
            sealed=sealed,
            sighted=canary_bitmaps.encode_bitmaps(sample.collector.sighted()) if hits else {},
            prints=self._all_fingerprints(sample) if sample.size else "",
            seen=seen,
        )

    def _finding(
        self,
        member: SampleMember,
        hits: tuple[Hit, ...],
        *,
        lineage: Lineage | None = None,
        release: str = "",
        fingerprint: str = "",
        sealed: str = "",
        sighted: dict[str, str] | None = None,
        prints: str = "",
        seen: str = "",
    ) -> Finding:
        if member.unlisted:
            codes = f"; their problems: {', '.join(sorted(member.unlisted_codes))}" if member.unlisted_codes else ""
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
            seen=seen,
            release=release,
            tables=tuple(member.tables) if self._request.explain else (),
        )

    def _all_fingerprints(self, sample: SampleMember) -> str:
        """The encoded fingerprints, that of the sample itself first."""
        own = self._fingerprinter.fingerprints(FileEntry(sample.name, sample.size, sample.crc))
        return encode_fingerprints([own, *self._fingerprints])

    def _seal(self, sample: SampleMember, hits: tuple[Hit, ...], found: HitConfirmer) -> str:
        if not self._recipient:
            return ""
        request = self._request
        proof = {
            "name": request.name,
            "source": request.source,
            "url": request.url,
            "title": request.title,
            "received": _receipt(request.receipt),
            "sha256": sample.digest.hexdigest(),
            "bytes": sample.size,
            "hits": [{"client": hit.client, "canaries": hit.canaries, "records": hit.records} for hit in hits],
            "excerpts": found.excerpts,
            "lines": found.lines,
        }
        try:
            return base64.b64encode(evidence.seal(self._recipient, orjson.dumps(proof))).decode()
        except KeyFileError as error:
            # the hits are reported even if their evidence cannot be kept
            sample.problem("evidence", f"nothing was sealed: {error}")
            return ""


def _receipt(text: str) -> Any:
    """How a sample was received, as the crawl process says; the text itself if it is no JSON."""
    if not text:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
