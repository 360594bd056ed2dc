"""Findings as they are stored: without names, plain digests, sealed proofs and bulk data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from data.model import Finding
from data.store.database import Database, stamp
from data.store.posts import PostRow


def finding_id(post: PostRow, number: int) -> str:
    """Id of a finding: the same sample of the same version of a post always gives the same id.

    A thread is read in parts: another reading of the same version has findings of its own.
    """
    reading = f"\0{post.reading}" if post.reading else ""
    return hashlib.sha256(f"finding\0{post.id}\0{post.version}\0{number}{reading}".encode()).hexdigest()[:32]


# So many posts of each source are never forgotten, and so many are in one transaction.
KEPT, PRUNED_TOGETHER = 200, 500


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
                self._database.execute(
                    "insert or replace into finding (id, evidence, post, crawl, at, body, fingerprint)"
                    " values (?, coalesce(nullif(?, ''), (select evidence from finding where id = ?), ''), ?, ?, ?, ?, ?)",
                    (
                        name,
                        (evidence or {}).get(name) or "",
                        name,
                        post.id,
                        crawl,
                        stamp(now),
                        orjson.dumps(self._stored_form(finding).to_json()).decode(),
                        finding.fingerprint,
                    ),
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
            seen="",
            members=tuple(self._stored_form(member) for member in finding.members),
        )

    def evidence(self) -> dict[str, str]:
        """Id of each finding -> digest of its sealed evidence; '' if it has none or an older version stored it."""
        return {row["id"]: row["evidence"] for row in self._database.rows("select id, evidence from finding")}

    def prune(self, before: datetime) -> Iterator[int]:
        """Delete posts that no listing has shown since a time and that nothing was told of, with their findings, in steps.

        Posts with hits, evidence or events stay, as do those that are due, and the newest of each source: with them a
        walk finds its end. One that is forgotten and listed again is examined once more, which tells nothing new. Yields
        how many posts each step deleted.
        """
        for row in self._database.rows("select name from source"):
            source, last = row["name"], ""
            [newest] = self._database.rows(
                "select min(first_seen) as first, count(*) as n from (select first_seen from post where source = ?"
                " order by first_seen desc limit ?)",
                source,
                KEPT,
            )
            if newest["n"] < KEPT:
                continue
            while True:
                with self._database.transaction():
                    # the conditions that come first are those of the index
                    ids = [
                        each["id"]
                        for each in self._database.rows(
                            "select id from post where source = ? and settled in (0, 1) and handed in (0, 1)"
                            " and first_seen < ? and last_seen < ? and id > ? and due is null and not hit"
                            " and not exists (select 1 from event where event.post = post.id and event.post <> '')"
                            " and not exists (select 1 from finding where finding.post = post.id and evidence <> '')"
                            " order by id limit ?",
                            source,
                            min(newest["first"], stamp(before)),
                            stamp(before),
                            last,
                            PRUNED_TOGETHER,
                        )
                    ]
                    for table, column in (("finding", "post"), ("part", "post"), ("post", "id")):
                        self._database.execute(
                            f"delete from {table} where {column} in (select value from json_each(?))",  # noqa: S608 - fixed text
                            (json.dumps(ids),),
                        )
                if not ids:
                    break
                last = ids[-1]
                yield len(ids)

    def latest(self, *, post: str = "", crawl: str = "", limit: int = 100) -> list[dict[str, Any]]:
        """The latest findings in their stored form, newest first; of one post or crawl unless that is ''."""
        rows = self._database.rows(
            "select * from finding where ? in ('', post) and ? in ('', crawl) order by at desc limit ?",
            post,
            crawl,
            limit,
        )
        return [{**row, "body": json.loads(row["body"])} for row in rows]
