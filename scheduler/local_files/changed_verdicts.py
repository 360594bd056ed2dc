"""What a newly registered baseline changes: earlier leaks whose people it holds are known from now on."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from crawler.alerts.events import build_event
from crawler.lineage.probability import poisson_tail
from data.hashing.tags import RECORD_KINDS
from data.model import Event, EventKind, Severity
from data.releases.known_releases import KnownReleases
from data.releases.stored_release import StoredRelease
from data.store.store import Store
from data.tagsets.elias_fano import EliasFanoSet
from data.tagsets.tagset import TagSet

# A smaller share of known people changes no verdict.
MIN_SHARE = 0.01
# From this share on, typing errors and truncated tags aside, all people are known.
WHOLE = 0.99
# Matches that chance would explain more often than this show nothing.
BY_CHANCE = 1e-6


def changed_verdicts(releases: KnownReleases, baseline: str, store: Store, now: datetime) -> list[Event]:
    """The events that tell, in the threads of earlier leaks, how many of their people a baseline holds.

    Args:
        releases: of the home, with the baseline.
        baseline: its id.
        store: of the home.
        now: aware UTC.
    """
    events: list[Event] = []
    registered = releases.active.get(baseline)
    if registered is None:
        return events
    for release in releases.active.values():
        first = store.events.of_release(release.id)
        if release.id == baseline or first is None or "people" not in first.facts:
            continue
        share = _share_of(release, registered)
        if share < MIN_SHARE:
            continue
        facts = {
            "baseline": baseline,
            "share": round(share, 3),
            "whole": share >= WHOLE,
            "verdict_before": str(first.facts.get("verdict", "")),
        }
        events.append(
            build_event(
                EventKind.REPOST,
                now,
                "baseline",
                baseline,
                first.id,
                severity=Severity.NOTICE,
                source=first.source,
                incident=first.incident,
                post=first.post,
                address=first.address,
                thread=first.id,
                facts=facts,
            )
        )
    return events


def _share_of(release: StoredRelease, other: StoredRelease) -> float:
    """About the share of a release's people that another one holds, by the kind of record key that most of them have.

    A person may have several keys of a kind (names in two orders, married names), so this counts keys and not people.
    """
    common = [kind for kind in RECORD_KINDS if kind in release.sets and kind in other.sets]
    if not common:
        return 0.0
    kind = max(common, key=release.key_count)
    return share_of_tags(release.sets[kind], other.sets[kind])


def share_of_tags(one: TagSet | EliasFanoSet, two: TagSet | EliasFanoSet) -> float:
    """About the share of the tags of a set that another one holds; 0 if chance explains the matches.

    A small set keeps so few bits of its tags that one of a hundred may agree with those of 15 million strangers.
    """
    # the sets keep different numbers of bits, of which the fewer can be compared
    bits = min(one.kept_bits, two.kept_bits)
    unused = np.uint64(64 - bits)
    tags, theirs = one.to_array() >> unused, two.to_array() >> unused
    if not len(tags) or not len(theirs):
        return 0.0
    places = np.minimum(np.searchsorted(theirs, tags), len(theirs) - 1)
    matches = int(np.count_nonzero(theirs[places] == tags))
    by_chance = poisson_tail(len(tags) * len(theirs) / 2**bits, matches)
    return matches / len(tags) if by_chance <= BY_CHANCE else 0.0
