"""The results of a breach at its real size without examining one: findings with hits of any number of clients.

The counts come from a vectorised generator; events are built from the findings by the code that builds all events.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from crawler.alerts.events import PostContext, build_event, event_of_announcement, event_of_change, events_of_post
from crawler.alerts.preview_verdict import (
    Preview,
    assess_preview,
    event_of_correction,
    event_of_preview,
    facts_after_examination,
)
from data.model import Event, EventKind, Finding, Hit, Lineage, Origin, Parent
from data.store.file_fingerprints import KnownBody
from data.store.states import LastingState
from scheduler.delivery.lasting_states import channel_test_event, recovery_event

KINDS = ("name_dob", "nir", "email", "phone", "name_phone", "name_email", "surname_nir")
HOSTILE_NAMES = (
    "@everyone",
    "@here <!channel> <@U123> <#C123>",
    "<https://evil.example|Cabinet des Lilas>",
    "[Cabinet](https://evil.example) ![x](http://evil.example/x.png)",
    "https://evil.example/?a=b www.evil.example evil.example",
    "mailto:a@evil.example matrix:r/room:evil.example #room:evil.example",
    "\x1b[31mred\x1b]8;;http://evil.example\x07link\x1b\\ \x00\x07\x08",
    "\u202egnp.exe\u202c \u2066hidden\u2069 \u200bzero\u200dwidth\ufeff",
    "\u2028second line\u2029third\r\nfourth\nfifth\tsixth",
    "*bold* _italic_ ~gone~ `code` ```block``` ||spoiler|| > quote",
    "</li></ul><script>alert(1)</script><img src=http://evil.example>",
    "Z\u0336\u0335\u0334\u0333\u0332\u0331a\u0336\u0335\u0334\u0333lgo",
    "\u3164\u2800\u115f",
    "&lt;!channel&gt; &amp; {{template}} ${env:TOKEN} %s %n",
    "\ud83d\ude00 smile \U0001f600 :smile: \u0627\u0644\u0639\u064a\u0627\u062f\u0629",
)
# Parts of hostile strings: what a chat, a terminal, a page or a log may understand as a command, and what stands around.
_PAYLOADS = (
    "@everyone",
    "@channel",
    "@all",
    "@here",
    "@user:evil.example",
    "<@U0123>",
    "<!here|x>",
    "<#C01|x>",
    "<@&99>",
    "#all",
    "https://evil.example/?q=1",
    "HTTP://EVIL.EXAMPLE",
    "//evil.example/x",
    "www.evil.example",
    "evil.example",
    "evil.example:8443/a",
    "ftp://evil.example",
    "mailto:a@evil.example",
    "tel:+33123456789",
    "javascript:alert(1)",
    "matrix:u/a:evil.example",
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<https://evil.example|click>",
    "<a href='//evil.example'>x</a>",
)
_AROUND = (
    "{}", "x\r\n{}", "\u202e{}\u202c", "\x1b[2K\x1b[1A{}\x07", "\u200b{}\u2060\ufeff", "`{}`", "*{}*||{}||", "\ud800{}\udc00", "<!--{}-->",
)  # fmt: skip


def hostile_strings() -> list[str]:
    """225 strings, each of which would ping, link, hide or break something in some chat."""
    return [around.replace("{}", payload) for around in _AROUND for payload in _PAYLOADS]


def client_ids(count: int) -> list[str]:
    """Ids of the longest kind that is allowed."""
    return [f"practice-{number:05}.{'x' * 40}_{number % 97:02}" for number in range(count)]


def client_names(count: int, *, hostile: bool = False) -> dict[str, str]:
    """Long display names by id; if hostile, each holds what a chat, a terminal or a page may understand as a command."""
    made = {}
    for number, client in enumerate(client_ids(count)):
        name = f"Maison de santé pluriprofessionnelle Docteur Élisabeth Grand-Dubois {number}, Saint-Étienne"
        made[client] = f"{HOSTILE_NAMES[number % len(HOSTILE_NAMES)]} {name}" if hostile else name
    return made


def breach(
    clients: int = 1_500, people: int = 150_000, known: int = 0, *, verdict: str = "overlap", seed: int = 1
) -> Finding:
    """A finding of a dump of people, spread unevenly over the clients, of whom some were released before."""
    random = np.random.default_rng(seed)
    shares = random.pareto(1.2, clients) + 0.05
    records = np.maximum(1, np.floor(shares / shares.sum() * people)).astype(int)
    canaries = np.maximum(1, (records * random.uniform(0.9, 1.0, clients)).astype(int))
    order = random.permutation(clients)
    hits = tuple(
        Hit(client, int(canaries[at]), int(records[at]), KINDS)
        for client, at in zip(client_ids(clients), order, strict=True)
    )
    new = people - known
    lineage = Lineage(
        verdict, people, known, new, (int(new * 0.995), int(new * 1.001)), confidence=0.9999, mistyped=new // 1000,
        parents=(Parent("part-1", 0.6, known / people),) if known else (), added={"note": 1_690} if known else {},
    )  # fmt: skip
    return Finding(
        path="dump.sql", sha256="0" * 64, bytes=2_000_000_000, format="sql_dump", rows=people, records=people,
        hits=hits, lineage=lineage, fingerprint="f" * 32,
    )  # fmt: skip


def events_of_every_kind(clients: int = 1_500, *, source: str = "board-x", text: str = "") -> list[Event]:
    """At least one event of each kind, as the code that meets them builds them, at the size of the breach.

    Args:
        clients: number of clients that are hit.
        source: name of the source.
        text: stands in every place of an event that may hold text which others wrote.
    """
    at = datetime(2026, 11, 1, 3, tzinfo=UTC)
    post = PostContext(source, "p" * 32, "http://leaks…onion/posts/[2ee95c].zip", "vendor-2026", at)
    further, first = breach(clients, known=60_000), breach(clients, verdict="new")
    again = breach(clients, known=150_000, verdict="re-post")
    repost = replace(again, lineage=again.lineage and replace(again.lineage, added={}))
    others = replace(
        further,
        hits=(),
        lineage=further.lineage and replace(further.lineage, origin=Origin("another's", 0.01), added={}),
    )
    cut = replace(
        first, complete=False, problems=("timeout: it took too long", "wall: it was ended"), hits=(), lineage=None
    )
    files = np.array([[1, 2, 3_000_000], [4, 5, 1_000_000]], np.uint64)
    preview = Preview("zip", True, files, 70_000, 4_000_000)
    body = KnownBody("release", "part-1", 1, 1, frozenset({1}))
    early = event_of_preview(post, preview, assess_preview(preview, [body]))
    wrong = event_of_correction(early, facts_after_examination(early.facts, breach(3, verdict="new")), at)
    changed = {f"field {number}": f"{text or 'links'} {number} → {number + 1}" for number in range(12)}
    deadlines = [(at + timedelta(days=days), 60 * 24 * days, None) for days in (1, 3)]
    states = [
        (EventKind.GAP, {"subject": "listing", "rows": 40}),
        (
            EventKind.SOURCE_SILENT,
            {"subject": "listing", "code": "refused", "reason": f"the site refused access {text}"},
        ),
        (EventKind.SOURCE_SILENT, {"subject": "new posts", "age_seconds": 300_000, "max_age_seconds": 86_400}),
        (EventKind.SOURCE_CHANGED, {"subject": "rows", "rows": 3, "min_rows": 20}),
        (EventKind.UNEXAMINED, {"subject": "posts", "posts": 7, "codes": {"timeout": 5, "wall": 2}}),
        (EventKind.TOR_DOWN, {"subject": "tor", "reason": f"tor does not answer {text}"}),
        (
            EventKind.DELIVERY_FAILED,
            {"channel": "team", "reason": f"https://hooks.example/… responded with 404 {text}"},
        ),
        (EventKind.SELFTEST_FAILED, {"subject": "examiner", "reason": f"a planted canary was not found {text}"}),
        (
            EventKind.UNACKNOWLEDGED,
            {
                "subject": "unacknowledged alerts",
                "events": 12,
                "oldest": "e" * 32,
                "began": at.isoformat(),
                "escalated": False,
            },
        ),
        (
            EventKind.DIGEST,
            {
                "channel": "team",
                "events": 1_000,
                "severities": {"critical": 900, "warning": 100},
                "kinds": {"canary_hit": 600, "further_release": 300, "source_silent": 100},
                "sources": {f"forum-{number} {text}": 50 for number in range(20)},
                "incidents": {f"vendor {text}": 900},
                "worst": [],
                "clients": [{"client": "practice-1", "canaries": 3, "records": 4, "kinds": ["email"]}],
            },
        ),
        (EventKind.SELFTEST_FAILED, {"subject": f"source file board-x.yaml {text}", "reason": "line 3: unknown field"}),
        (
            EventKind.HEARTBEAT,
            {
                "fine": 198,
                "late": 1,
                "blind": 1,
                "examined": 3412,
                "since": at.isoformat(),
                "waiting": 2,
                "refused": 1,
                "failing": [f"delivery {text}"],
            },
        ),
    ]
    began = LastingState(source, EventKind.SOURCE_SILENT, "listing", at - timedelta(days=1), at, "e" * 32)
    return [
        *(event for finding in (further, first, again, repost, others, cut) for event in events_of_post(post, [finding])),
        early,
        wrong,
        event_of_change(post, changed, changed),
        event_of_announcement(post, [f"word base santé {text}", "expression part \\d"], deadlines),
        *(
            build_event(kind, at, number, source="" if kind in INSTALLATION else source, incident="vendor-2026", facts=facts)
            for number, (kind, facts) in enumerate(states)
        ),
        build_event(EventKind.GAP, at, "r", source=source, facts={"subject": "listing", "began": "2026-10-31T03:00:00+00:00", "reminder": True}),
        recovery_event(began),
        channel_test_event(at),
    ]  # fmt: skip


# These are about the installation, not about one source.
INSTALLATION = frozenset(
    {
        EventKind.TOR_DOWN,
        EventKind.DELIVERY_FAILED,
        EventKind.SELFTEST_FAILED,
        EventKind.UNACKNOWLEDGED,
        EventKind.DIGEST,
        EventKind.HEARTBEAT,
    }
)
