"""The posts of an incident in which leaked data was found, and how they follow from each other: the lineage graph.

Plain functions over the store. A post holds data of the incident if a canary hit in it, or if it shares people with a
release; what the post is called is not known here, because titles are never stored.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crawler.alerts.events import most_important
from crawler.alerts.headlines import best_estimate
from data.model import Finding, Hit, Lineage
from data.store.store import Store
from scheduler.reports.incident_scope import IncidentScope, of_sources

# Events that a post with data of the incident has, or that one without a hit has if it shares people with a release.
_LEAK_KINDS = ("further_release", "shared_people", "repost", "canary_hit")
_WITHOUT_LINEAGE = "seen"
"""The verdict of a post of which only hits are known: nobody was described in a form that can be compared."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A release that the team registered itself. `created`: ISO 8601. `retired`: a time, or None."""

    id: str
    name: str
    people: int
    created: str
    retired: str | None

    @property
    def key(self) -> str:
        """What relations call it."""
        return f"release {self.id}"


@dataclass(frozen=True, slots=True)
class Relation:
    """That a post holds people of an earlier body of data.

    Attributes:
        parent: `key` of a baseline or of a post; '' if the release came from elsewhere, for example another incident.
        release: id of the release. coverage: share of it that the post holds, 0..1. share: share of the post that it holds.
    """

    parent: str
    release: str
    coverage: float
    share: float


@dataclass(frozen=True, slots=True)
class LeakPost:
    """One version of a post that holds data of the incident.

    Attributes:
        number: its number in this incident, from 1, in order of time. version: 1, or more if the post changed since.
        post: keyed id. address: masked, '' for a file.
        at: when it was examined, aware UTC. release: id of the release that it became, '' for none.
        verdict: one of `data.model.VERDICTS`, or `seen` if only hits are known.
        people, known: of the post. new: the best estimate. interval: bounds for `new`.
        added: new data about known people: kind of value -> of how many people.
        origin, authentic: the answers, '' where nothing was judged. confidence: of the verdict.
        complete: whether every sample was examined to its end. problems: codes.
        hits: by client, the largest numbers of any of its samples. relations: the closest first.
    """

    number: int
    version: int
    post: str
    source: str
    address: str
    at: datetime
    release: str
    format: str
    bytes: int
    rows: int
    verdict: str
    people: int
    known: int
    new: int
    interval: tuple[int, int]
    added: Mapping[str, int]
    origin: str
    authentic: str
    confidence: float
    complete: bool
    problems: tuple[str, ...]
    hits: Mapping[str, Hit]
    relations: tuple[Relation, ...]

    @property
    def key(self) -> str:
        """What relations call it."""
        return f"post {self.number}"

    @property
    def is_known(self) -> bool:
        """Whether all of it was known before: a copy or a part."""
        return self.verdict in {"re-post", "re-packaged", "subset"} and not self.new and not self.added


@dataclass(frozen=True, slots=True)
class LeakGraph:
    """The baselines of an incident and its posts, both in order of time."""

    baselines: tuple[Baseline, ...]
    posts: tuple[LeakPost, ...]

    @property
    def new_people(self) -> tuple[int, int, int]:
        """The people in the posts that were not known before: best estimate, and bounds.

        Each post was compared with all releases there were, those of earlier posts among them, so that the numbers add up.
        """
        of_posts = [(each.new, *each.interval) for each in self.posts if each.origin != "another's"]
        return (
            sum(new for new, _, _ in of_posts),
            sum(low for _, low, _ in of_posts),
            sum(high for *_, high in of_posts),
        )


def leak_graph(store: Store, scope: IncidentScope, manifests: Sequence[Mapping[str, Any]]) -> LeakGraph:
    """The posts of an incident that hold its data, with what each shares with earlier ones.

    Args:
        store: of the home.
        scope: of the incident.
        manifests: of all releases, as `data.releases.folder.read_manifests` returns them.
    """
    baselines = tuple(
        sorted(
            (
                Baseline(
                    str(each["id"]),
                    str(each.get("name") or each["id"]),
                    int(each["people"]),
                    str(each.get("created", "")),
                    each["retired"],
                )
                for each in manifests
                if each.get("incident") == scope.incident.id and each.get("kind") != "sighted"
            ),
            key=lambda each: (each.created, each.id),
        )
    )
    # what was examined together, one version of a post, was stored at the same moment
    versions: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in _rows_of_posts(store, scope):
        versions.setdefault((row["at"], row["post"]), []).append(row)
    keys = {each.id: each.key for each in baselines}
    number_of: Counter[str] = Counter()
    posts: list[LeakPost] = []
    for (_, post), rows in sorted(versions.items()):
        findings = [Finding.from_json(json.loads(row["body"])) for row in rows]
        if any(each.hits or (each.lineage and each.lineage.parents) for each in findings):
            number_of[post] += 1
            made = _leak_post(len(posts) + 1, number_of[post], rows[0], findings, keys)
            posts.append(made)
            keys |= {each.release: made.key for each in findings if each.release}
    return LeakGraph(baselines, tuple(posts))


def _rows_of_posts(store: Store, scope: IncidentScope) -> list[dict[str, Any]]:
    """The findings of all posts with hits or with an event about a leak; both are found by an index."""
    sources = scope.sources_json
    return store.database.rows(
        "with leak (post) as ("  # noqa: S608 - fixed text
        "  select finding.post from finding where fingerprint <> ''"
        f"  union select post from event where post <> '' and kind in {_LEAK_KINDS})"
        " select finding.post, finding.at, finding.body, post.source, post.address from leak"
        " join finding on finding.post = leak.post join post on post.id = leak.post"
        f" where {of_sources('post.source')} order by finding.at, finding.id",
        sources,
        sources,
    )


def _leak_post(
    number: int, version: int, row: Mapping[str, Any], findings: Sequence[Finding], keys: Mapping[str, str]
) -> LeakPost:
    """One version of a post; `keys` are those of the baselines and of the posts before it, by the ids of their releases."""
    main = most_important(findings)
    lineage = main.lineage
    hits: dict[str, Hit] = {}
    for hit in (hit for finding in findings for hit in finding.hits):
        old = hits.get(hit.client, Hit(hit.client, 0, 0, ()))
        kinds = tuple(sorted({*old.kinds, *hit.kinds}))
        data = old.data
        if hit.data is not None:
            data = {kind: max((old.data or {}).get(kind, 0), count) for kind, count in hit.data.items()} | {
                kind: count for kind, count in (old.data or {}).items() if kind not in hit.data
            }
        hits[hit.client] = Hit(hit.client, max(old.canaries, hit.canaries), max(old.records, hit.records), kinds, data)
    return LeakPost(
        number=number,
        version=version,
        post=row["post"],
        source=row["source"],
        address=row["address"],
        at=datetime.fromisoformat(row["at"]),
        release=next((each.release for each in findings if each.release), ""),
        format=main.format,
        bytes=main.bytes,
        rows=main.rows,
        complete=all(each.complete for each in findings),
        problems=tuple(sorted({problem.partition(":")[0] for each in findings for problem in each.problems})),
        hits={client: hits[client] for client in sorted(hits)},
        relations=() if lineage is None else _relations(lineage, keys),
        **_numbers(lineage),
    )


def _numbers(lineage: Lineage | None) -> dict[str, Any]:
    if lineage is None:
        return {
            "verdict": _WITHOUT_LINEAGE, "people": 0, "known": 0, "new": 0, "interval": (0, 0), "added": {},
            "origin": "", "authentic": "", "confidence": 0.0,
        }  # fmt: skip
    low, high = lineage.interval
    facts = {"interval": (low, high), "new": lineage.new, "mistyped": lineage.mistyped}
    return {
        "verdict": lineage.verdict,
        "people": lineage.records,
        "known": lineage.known,
        "new": best_estimate(facts),
        "interval": (low, high),
        "added": dict(lineage.added),
        "origin": lineage.origin.answer if lineage.origin else "",
        "authentic": lineage.authentic.answer if lineage.authentic else "",
        "confidence": lineage.confidence,
    }


def _relations(lineage: Lineage, keys: Mapping[str, str]) -> tuple[Relation, ...]:
    return tuple(
        Relation(keys.get(each.release, ""), each.release, min(1.0, each.coverage), min(1.0, each.share))
        for each in sorted(lineage.parents, key=lambda each: -each.share)
    )
