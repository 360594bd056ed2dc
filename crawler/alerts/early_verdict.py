"""What the names, sizes and checksums of files say of a body of data before a byte of it is read: an early verdict.

Pure. The full examination confirms it or corrects it, and is never left out for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np

from crawler.alerts.events import KNOWN_VERDICTS, make
from data.arrays.array_types import U64
from data.hashing.file_fingerprints import decode_fingerprints
from data.model import Event, EventKind, Finding, Severity
from data.store.file_fingerprints import KnownBody

# Known files under this share of all files and of all bytes tie nothing to anything: one readme is in many archives.
TELLING = 0.01
SEVERITY = {
    "superset": Severity.WARNING,
    "overlap": Severity.WARNING,
    "new": Severity.NOTICE,
    "undecided": Severity.NOTICE,
    "re-post": Severity.INFO,
}
# Which full verdicts agree with an early one; `new` with that nothing was found at all as well.
_AGREES: Mapping[str, frozenset[str | None]] = {
    "re-post": frozenset(KNOWN_VERDICTS),
    "superset": frozenset({"superset", "overlap", "padded"}),
    "overlap": frozenset({"superset", "overlap", "padded"}),
    "new": frozenset({"new", "unrelated", None}),
}


@dataclass(frozen=True, slots=True)
class Look:
    """What was learned of a body without reading it.

    Attributes:
        how: `zip`, `7z`, `7z, locked` (its names are encrypted), `torrent` or `listing`. complete: it names every file.
        files: shape (n, 3): print of size and checksum (0 without), print of size and name, size.
        fetched: bytes that were fetched for it. total: size of the body, 0 where it is not known.
    """

    how: str
    complete: bool
    files: U64
    fetched: int
    total: int


@dataclass(frozen=True, slots=True)
class Early:
    """An early verdict: `re-post`, `superset`, `overlap`, `new` or `undecided`.

    Attributes:
        files, bytes: of what was named, empty files left out. files_known, bytes_known: of those, known from before.
        by_name: of the known files, those that only size and name speak for.
        parents: known bodies that hold some of them, with the number of them, most first.
    """

    verdict: str
    files: int
    bytes: int
    files_known: int
    bytes_known: int
    by_name: int
    parents: tuple[tuple[str, str, int], ...]


def judge(look: Look, bodies: Sequence[KnownBody]) -> Early:
    """What follows from the files of a look and the known bodies that have some of them.

    A file is known by size and checksum; by size and name only where it has no checksum.
    """
    rows = look.files[look.files[:, 2] > 0]
    contents, names, sizes = rows[:, 0], rows[:, 1], rows[:, 2]
    held = {each for body in bodies for each in body.prints}
    known_prints = np.fromiter(held, np.uint64, len(held))
    by_content = (contents != 0) & np.isin(contents, known_prints)
    by_name = (contents == 0) & np.isin(names, known_prints)
    known = by_content | by_name
    # what speaks for a file: a name beside a checksum that differs speaks for nothing
    speaking = {*contents[contents != 0].tolist(), *names[contents == 0].tolist()}
    parents = []
    whole = False
    for body in bodies:
        matched = body.prints & speaking
        if matched:
            parents.append((body.kind, body.ref, len(matched)))
            whole = whole or (bool(body.files) and len(matched) >= body.files) or body.whole in matched
    files, size = len(rows), _total(sizes)
    files_known, bytes_known = int(known.sum()), _total(sizes[known])
    if not files or not look.complete:
        verdict = "undecided"
    elif files_known == files:
        verdict = "re-post"
    elif not files_known:
        verdict = "new"
    elif whole:
        verdict = "superset"
    elif files_known >= TELLING * files or bytes_known >= TELLING * size:
        verdict = "overlap"
    else:
        verdict = "undecided"
    parents.sort(key=lambda parent: (-parent[2], parent[:2]))
    return Early(verdict, files, size, files_known, bytes_known, int(by_name.sum()), tuple(parents))


def _total(sizes: U64) -> int:
    """What is claimed may be more than a number of 64 bits holds: then the largest one."""
    return min(sum(map(int, sizes)), 2**63 - 1)


def event_of_look(
    source: str, post: str, address: str, look: Look, early: Early, *, incident: str, at: datetime
) -> Event:
    """The event of an early look; the same files of the same post give the same one.

    Args:
        source: name of the source.
        post: keyed id of the post.
        address: masked address of the post.
        look: what was learned.
        early: what follows.
        incident: id of the incident that it belongs to, or ''.
        at: aware UTC.
    """
    facts = {
        "early": True,
        "verdict": early.verdict,
        "outcome": "open",
        "how": look.how,
        **{name: value for name, value in asdict(early).items() if name not in {"verdict", "parents"}},
        "files_unknown": early.files - early.files_known,
        "bytes_unknown": early.bytes - early.bytes_known,
        "parents": [{"kind": kind, "ref": ref, "files": files} for kind, ref, files in early.parents[:20]],
        "fetched": look.fetched,
        "total": look.total,
        "complete": look.complete,
    }
    mark = [
        look.how,
        early.verdict,
        early.files,
        early.bytes,
        early.files_known,
        int(np.bitwise_xor.reduce(look.files[:, 1], initial=np.uint64(0))),
    ]
    return make(
        EventKind.EARLY_LOOK, at, source, post, *mark, severity=SEVERITY[early.verdict],
        source=source, post=post, address=address, incident=incident, facts=facts,
    )  # fmt: skip


def kept_prints(findings: Sequence[Finding]) -> dict[int, U64]:
    """By number of a finding, the prints by which its files are to be known again: of those tied to our clients."""
    return {
        number: decode_fingerprints(finding.prints, 2)
        for number, finding in enumerate(findings)
        if finding.prints and (finding.hits or (finding.lineage is not None and finding.lineage.parents))
    }


def settled(facts: Mapping[str, Any], finding: Finding) -> dict[str, Any]:
    """The facts of an early event once its body was examined: `outcome` is `confirmed`, `corrected` or `open`.

    It stays open where the body could not be examined to its end, or where one of both did not decide.
    """
    full = None if finding.lineage is None else finding.lineage.verdict
    agrees = _AGREES.get(str(facts.get("verdict")))
    if agrees is None or full == "undecided" or not finding.complete:
        outcome = "open"
    else:
        outcome = "confirmed" if full in agrees else "corrected"
    return {**facts, "outcome": outcome, "full_verdict": full or "no records"}


def event_of_correction(early: Event, facts: Mapping[str, Any], at: datetime) -> Event:
    """What tells those whom an early event rang that the full examination found something else."""
    return make(
        EventKind.EARLY_LOOK, at, early.id, facts["outcome"], severity=early.severity,
        source=early.source, post=early.post, address=early.address, incident=early.incident,
        facts={**facts, "of_event": early.id},
    )  # fmt: skip
