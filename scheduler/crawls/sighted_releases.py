"""Registers samples that a crawl or `scan --record` saw as releases, so that a later copy counts as a re-post.

The examiner has collected the records and named the release in the finding. The release is written only after the
finding is committed: if it were written earlier, and the sample had to be examined again, it would be taken for a
re-post of itself and never cause an alert.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from data.errors import ExamineError, InputError
from data.hashing.tags import keyed_sha256
from data.model import Finding

log = logging.getLogger(__name__)


class SightedRelease(NamedTuple):
    """A release that a finding asks for: its id and its manifest."""

    id: str
    manifest: Mapping[str, Any]


def sighted_releases(
    findings: Iterable[Finding], *, post_key: bytes, source: str, post: str, incident: str, now: datetime
) -> list[SightedRelease]:
    """The releases that the findings of one post ask for.

    Args:
        findings: as they were committed.
        post_key: of the case.
        source: where they were seen.
        post: keyed id of the post.
        incident: id of the incident, or ''.
        now: aware UTC.
    """
    return [
        SightedRelease(
            finding.release,
            {
                "name": f"seen at {source}",
                "incident": incident,
                "kind": "sighted",
                "created": now.isoformat(),
                "origin": {"source": source, "post": post},
                "breach": finding.lineage.origin.answer if finding.lineage and finding.lineage.origin else "ours",
                "files": 1,
                "bytes": finding.bytes,
                "rows": finding.rows,
                "complete": finding.complete,
                "digests": [keyed_sha256(post_key, finding.sha256)],
            },
        )
        for finding in findings
        if finding.release
    ]


def register_releases(
    releases: Iterable[SightedRelease], finish: Callable[[str, Mapping[str, Any]], dict[str, Any]]
) -> list[str]:
    """Write releases; returns the ids of those that are new.

    A sample whose bytes are already registered makes no second release. A release whose records the examiner no longer
    has is logged: the next copy of it will cause an alert as the first one did.

    Args:
        releases: of committed findings.
        finish: the examiner's `finish_release`.

    Raises:
        StoreFull, StoreError: a release cannot be written.
        ExaminerDied: the examiner has ended.
    """
    written = []
    for release, manifest in releases:
        try:
            finish(release, manifest)
            written.append(release)
        except InputError:
            log.info("the sample of release %s is registered already", release)
        except ExamineError as error:
            log.warning("the sample of release %s was not registered as a release: %s", release, error)
    return written
