"""Samples that become releases of their own: what a crawl or `scan --record` saw, so that the next copy is no news.

The examiner collected the records and named the release in the finding; it is written only once the finding is
committed. Written before, a sample that must be examined again would be its own re-post, and never ring.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from data.errors import ExamineError, InputError
from data.hashing.tags import keyed_sha256
from data.model import Finding

log = logging.getLogger(__name__)


def sightings(
    findings: Iterable[Finding], *, post_key: bytes, source: str, post: str, incident: str, now: datetime
) -> list[tuple[str, dict[str, Any]]]:
    """Ids and manifests of the releases that these findings of one post ask for.

    Args:
        findings: as they were committed.
        post_key: of the case.
        source: where they were seen.
        post: keyed id of the post.
        incident: id of the incident, or ''.
        now: aware UTC.
    """
    return [
        (
            finding.release,
            {
                "name": f"seen at {source}",
                "incident": incident,
                "kind": "sighted",
                "created": now.isoformat(),
                "origin": {"source": source, "post": post},
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


def register(
    wanted: Iterable[tuple[str, Mapping[str, Any]]], finish: Callable[[str, Mapping[str, Any]], dict[str, Any]]
) -> list[str]:
    """Write releases; `finish` is the examiner's `finish_release`. Returns the ids of those that are new.

    The same bytes seen twice are one release. One whose records the examiner no longer has is logged: its next copy
    rings as the first did.

    Raises:
        StoreFull, StoreError: one cannot be written. ExaminerDied: the examiner is gone.
    """
    made = []
    for release, manifest in wanted:
        try:
            finish(release, manifest)
            made.append(release)
        except InputError:
            log.info("the sample of release %s is one already", release)
        except ExamineError as error:
            log.warning("the sample of release %s was not kept as a release: %s", release, error)
    return made
