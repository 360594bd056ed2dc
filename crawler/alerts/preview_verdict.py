"""The verdict of a preview: what names, sizes and checksums of files say about data before it is downloaded.

A *preview* is made of a file list: the directory at the end of an archive, a torrent file, or the listing of a folder.
It never replaces the full examination, which later confirms or corrects the verdict. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from crawler.alerts.events import KNOWN_VERDICTS, PostContext
from data.arrays.array_types import U64
from data.hashing.file_fingerprints import decode_fingerprints
from data.model import Event, EventKind, Finding, Severity
from data.store.file_fingerprints import KnownBody

# Known files below this share of all files and of all bytes prove no relation: the same readme is in many archives.
MIN_KNOWN_SHARE = 0.01
SEVERITY_OF_VERDICT = {
    "superset": Severity.WARNING,
    "overlap": Severity.WARNING,
    "new": Severity.NOTICE,
    "undecided": Severity.NOTICE,
    "re-post": Severity.INFO,
}
# Verdict of a preview -> verdicts of the full examination that confirm it. None: the data held no records.
_CONFIRMED_BY: Mapping[str, frozenset[str | None]] = {
    "re-post": frozenset(KNOWN_VERDICTS),
    "superset": frozenset({"superset", "overlap", "padded"}),
    "overlap": frozenset({"superset", "overlap", "padded"}),
    "new": frozenset({"new", "unrelated", None}),
}


@dataclass(frozen=True, slots=True)
class Preview:
    """What the file list of a body of data says.

    Attributes:
        how: `zip`, `7z`, `7z, locked` (the file names are encrypted), `torrent` or `listing`.
        complete: the list names every file.
        files: shape (n, 3): fingerprint of size and checksum (0 without checksum), fingerprint of size and name, size.
        fetched: bytes that were downloaded to get the list. total: size of the body, 0 if it is not known.
    """

    how: str
    complete: bool
    files: U64
    fetched: int
    total: int


@dataclass(frozen=True, slots=True)
class PreviewVerdict:
    """What follows from a preview.

    Attributes:
        verdict: `re-post`, `superset`, `overlap`, `new` or `undecided`.
        files, bytes: of the file list, without empty files. files_known, bytes_known: those of them that are known.
        by_name: known files without a checksum, which only their size and name identify.
        parents: (kind, ref, number of files) of the known bodies that have some of the files, most files first.
    """

    verdict: str
    files: int
    bytes: int
    files_known: int
    bytes_known: int
    by_name: int
    parents: tuple[tuple[str, str, int], ...]


def assess_preview(preview: Preview, bodies: Sequence[KnownBody]) -> PreviewVerdict:
    """The verdict of a preview, from the known bodies that share file fingerprints with it.

    A file counts as known if its size and checksum are known; a file without a checksum, if its size and name are.
    """
    rows = preview.files[preview.files[:, 2] > 0]
    contents, names, sizes = rows[:, 0], rows[:, 1], rows[:, 2]
    shared = {each for body in bodies for each in body.fingerprints}
    shared_fingerprints = np.fromiter(shared, np.uint64, len(shared))
    by_content = (contents != 0) & np.isin(contents, shared_fingerprints)
    by_name = (contents == 0) & np.isin(names, shared_fingerprints)
    known = by_content | by_name
    # the one fingerprint that identifies each file: a known name proves nothing beside a checksum that differs
    identifying = {*contents[contents != 0].tolist(), *names[contents == 0].tolist()}
    parents = []
    has_whole_body = False
    for body in bodies:
        matched = body.fingerprints & identifying
        if matched:
            parents.append((body.kind, body.ref, len(matched)))
            all_files = bool(body.files) and len(matched) >= body.files
            has_whole_body = has_whole_body or all_files or body.whole in matched
    files, size = len(rows), _total(sizes)
    files_known, bytes_known = int(known.sum()), _total(sizes[known])
    if not files or not preview.complete:
        verdict = "undecided"
    elif files_known == files:
        verdict = "re-post"
    elif not files_known:
        verdict = "new"
    elif has_whole_body:
        verdict = "superset"
    elif files_known >= MIN_KNOWN_SHARE * files or bytes_known >= MIN_KNOWN_SHARE * size:
        verdict = "overlap"
    else:
        verdict = "undecided"
    parents.sort(key=lambda parent: (-parent[2], parent[:2]))
    return PreviewVerdict(verdict, files, size, files_known, bytes_known, int(by_name.sum()), tuple(parents))


def _total(sizes: U64) -> int:
    """The sum of sizes, at most 2**63 - 1: a file list may claim more than a number of 64 bits holds."""
    return min(sum(map(int, sizes)), 2**63 - 1)


def event_of_preview(context: PostContext, preview: Preview, verdict: PreviewVerdict) -> Event:
    """The event of a preview; the same files of the same post always give the same event."""
    counts = {name: value for name, value in asdict(verdict).items() if name not in {"verdict", "parents"}}
    facts = {
        "early": True,
        "verdict": verdict.verdict,
        "outcome": "open",
        "how": preview.how,
        **counts,
        "files_unknown": verdict.files - verdict.files_known,
        "bytes_unknown": verdict.bytes - verdict.bytes_known,
        "parents": [{"kind": kind, "ref": ref, "files": files} for kind, ref, files in verdict.parents[:20]],
        "fetched": preview.fetched,
        "total": preview.total,
        "complete": preview.complete,
    }
    return context.event(
        EventKind.EARLY_LOOK,
        context.source,
        context.post,
        preview.how,
        verdict.verdict,
        verdict.files,
        verdict.bytes,
        verdict.files_known,
        int(np.bitwise_xor.reduce(preview.files[:, 1], initial=np.uint64(0))),
        severity=SEVERITY_OF_VERDICT[verdict.verdict],
        facts=facts,
    )


def fingerprints_to_keep(findings: Sequence[Finding]) -> dict[int, U64]:
    """Number of a finding -> file fingerprints, for the findings whose files later previews should recognise.

    Those are the findings with hits or with known people: the ones that have to do with the clients.
    """
    return {
        number: decode_fingerprints(finding.prints, 2)
        for number, finding in enumerate(findings)
        if finding.prints and (finding.hits or (finding.lineage is not None and finding.lineage.parents))
    }


def facts_after_examination(facts: Mapping[str, Any], finding: Finding) -> dict[str, Any]:
    """The facts of a preview's event once its data was examined: `outcome` is `confirmed`, `corrected` or `open`.

    It stays `open` if the data was not examined to its end, or if one of the two verdicts is undecided.
    """
    full_verdict = None if finding.lineage is None else finding.lineage.verdict
    confirmed_by = _CONFIRMED_BY.get(str(facts.get("verdict")))
    if confirmed_by is None or full_verdict == "undecided" or not finding.complete:
        outcome = "open"
    else:
        outcome = "confirmed" if full_verdict in confirmed_by else "corrected"
    return {**facts, "outcome": outcome, "full_verdict": full_verdict or "no records"}


def event_of_correction(preview: Event, facts: Mapping[str, Any], at: datetime) -> Event:
    """The event that corrects a preview's alert which proved wrong.

    Args:
        preview: the event of the preview.
        facts: its facts after the examination.
        at: aware UTC.
    """
    context = PostContext(preview.source, preview.post, preview.address, preview.incident, at)
    return context.event(
        EventKind.EARLY_LOOK,
        preview.id,
        facts["outcome"],
        severity=preview.severity,
        facts={**facts, "of_event": preview.id},
    )
