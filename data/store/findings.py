"""Findings as they are stored: without names, plain digests, sealed proofs and bulk data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from data.model import Finding
from data.store.database import Database, stamp
from data.store.posts import PostRow


def finding_id(post: PostRow, number: int) -> str:
    """Id of a finding: the same sample of the same version of a post always gives the same id.

    A thread is read in parts: another reading of the same version has findings of its own.
    """
    reading = f"\0{post.reading}" if post.reading else ""
    return hashlib.sha256(f"finding\0{post.id}\0{post.version}\0{number}{reading}".encode()).hexdigest()[:32]


class Findings:
    """The findings in table `finding`."""

    def __init__(self, database: Database, seal_key: bytes | None) -> None:
        self._database, self._seal_key = database, seal_key

    def add(
        self,
        post: PostRow,
        crawl: str,
        findings: Sequence[Finding],
        now: datetime,
        evidence: Mapping[str, str] | None = None,
    ) -> None:
        """Store the findings of a post, one per sample, in place of those of the same version of the post.

        Args:
            post: as it was examined.
            crawl: that examined it.
            findings: of its samples, in order.
            now: aware UTC.
            evidence: id of a finding -> digest of its sealed file. Evidence is kept once, so that a finding that
                replaces an earlier one still has the evidence of that one.
        """
        with self._database.transaction():
            for number, finding in enumerate(findings):
                name = finding_id(post, number)
                old = self._database.first_row("select evidence from finding where id = ?", name)
                self._database.insert(
                    "finding",
                    {
                        "id": name,
                        "evidence": (evidence or {}).get(name) or (old["evidence"] if old else ""),
                        "post": post.id,
                        "crawl": crawl,
                        "at": stamp(now),
                        "body": json.dumps(self._stored_form(finding).to_json()),
                        "fingerprint": finding.fingerprint,
                    },
                    replace=True,
                )

    def _stored_form(self, finding: Finding) -> Finding:
        """The finding without names and with a keyed digest of the sample.

        Its sealed proof, its sighted canaries and its file fingerprints are stored elsewhere.
        """
        # it loads numpy, which commands that only read the store do without
        from data.hashing.tags import keyed_sha256

        digest = ""
        if self._seal_key is not None and finding.sha256:
            digest = keyed_sha256(self._seal_key, finding.sha256)
        return replace(
            finding,
            path="",
            sha256=digest,
            sealed="",
            sighted={},
            prints="",
            members=tuple(self._stored_form(member) for member in finding.members),
        )

    def evidence(self) -> dict[str, str]:
        """Id of each finding -> digest of its sealed evidence; '' if it has none or an older version stored it."""
        return {row["id"]: row["evidence"] for row in self._database.rows("select id, evidence from finding")}

    def latest(self, *, post: str = "", crawl: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """The latest findings in their stored form, newest first; of one post or crawl unless that is ''."""
        rows = self._database.rows(
            "select * from finding where ? in ('', post) and ? in ('', crawl) order by at desc limit ?",
            post,
            crawl,
            limit,
        )
        return [{**row, "body": json.loads(row["body"])} for row in rows]
