"""The sentences of the report, made from figures by rules: what is said in its summary, of each event and of each post."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from crawler.alerts.headlines import best_estimate
from crawler.alerts.plain_text import defang, visible_text
from data.model import Event, Severity
from scheduler.reports.clocks import EVERYBODY
from scheduler.reports.document.lineage_drawing import GraphRow
from scheduler.reports.document.words import MAX_NAME, Words
from scheduler.reports.incident_figures import IncidentFigures
from scheduler.reports.leak_posts import LeakPost, Relation
from scheduler.reports.timeline import LEAK_KINDS

_OPEN_VERDICTS = frozenset({"undecided", "seen", "unrelated"})
_TOLD = 8
"""So many posts or sources are told one by one in a list; the others are counted."""


def shown(text: str, limit: int = MAX_NAME) -> str:
    """A name that others chose, without control and direction characters, at most `limit` characters long."""
    kept = visible_text(str(text)[: 4 * limit])
    return kept if len(kept) <= limit else kept[: limit - 1] + "…"


def address(text: str) -> str:
    """An address in a form that nothing turns into a link."""
    return defang(shown(text, 200))


class Sentences:
    """Says in one language what the figures of one incident mean.

    Args:
        figures: of the incident.
        words: of the language.
        client: id of the one client that the report is about; '' for all. Then numbers of other clients, names of releases
            and totals over several clients are not told.
    """

    def __init__(self, figures: IncidentFigures, words: Words, client: str = "") -> None:
        self._figures, self._words, self.client = figures, words, client
        names = {each.key: shown(each.name) for each in figures.graph.baselines}
        if client:
            names = {key: words("known_release", n=number) for number, key in enumerate(names, 1)}
        # that hold data of the incident, or of the client
        self.posts = [each for each in figures.graph.posts if not client or client in each.hits]
        self._names = names | {each.key: self.post_name(each) for each in figures.graph.posts}
        self._posts: dict[str, list[LeakPost]] = {}
        for each in self.posts:
            self._posts.setdefault(each.post, []).append(each)

    @property
    def aware(self) -> bool:
        """Whether a person entered since when the controller is aware."""
        return self._figures.clocks.of(self.client or EVERYBODY).aware is not None

    @property
    def outside(self) -> list[Mapping[str, Any]]:
        """The clients, or the one client, whose canaries were seen at sources that are not of the incident."""
        return [each for each in self._figures.shown["outside"] if not self.client or each["client"] == self.client]

    @property
    def own_posts(self) -> list[LeakPost]:
        """The posts that are not probably another organisation's breach."""
        return [post for post in self.posts if post.origin != "another's"]

    def concerns(self, event: Event) -> bool:
        """Whether an event belongs into the timeline: of a report for one client, one about its data or about a source."""
        hits = event.facts.get("clients", ())
        return not self.client or not event.post or any(hit["client"] == self.client for hit in hits)

    def post_name(self, post: LeakPost) -> str:
        """`Post 3`."""
        key = "post_number" if post.version == 1 else "post_version"
        return (
            self._words(key, n=post.number, version=post.version)
            if post.version > 1
            else self._words(key, n=post.number)
        )

    def verdict(self, post: LeakPost) -> str:
        """The verdict in a few words."""
        return self._words(f"v_{post.verdict}")

    def relation(self, relation: Relation) -> str:
        """`38 % of it from part-1, 25 % of which it holds`."""
        words = self._words
        parent = self._names.get(relation.parent) or words("rel_elsewhere")
        share, coverage = (words.percent(each) for each in (relation.share, relation.coverage))
        return words("rel_all" if relation.share >= 1 else "rel_share", share=share, parent=parent, coverage=coverage)

    def relations(self, post: LeakPost) -> list[str]:
        """From which releases a post comes, the closest first; one sentence if from none."""
        if post.relations:
            return [self.relation(each) for each in post.relations]
        return [self._words("rel_unknown" if post.verdict in {"seen", "undecided"} else "rel_none")]

    def remarks(self, post: LeakPost) -> list[str]:
        """What else is to be said of a post: whose breach, whether genuine, new data, what was not examined."""
        words = self._words
        found = []
        if post.confidence and post.verdict not in _OPEN_VERDICTS:
            found.append(words("confidence", share=words.percent(post.confidence)))
        found += [words(f"auth_{post.authentic}")] if post.authentic not in {"", "open"} else []
        found += [words("origin_another")] if post.origin == "another's" else []
        found += [words("origin_open")] if post.origin == "open" and not post.is_known else []
        if post.added:
            found.append(words("ev_added", kinds=self.kinds(post.added)))
        found += [] if post.complete else [words("incomplete")]
        return found

    def kinds(self, kinds: Mapping[str, Any]) -> str:
        """Kinds of values in words."""
        known = {"note", "nir", "email", "phone", "iban", "professional", "token"}
        return ", ".join(self._words(f"kind_{kind}") for kind in sorted(kinds) if kind in known)

    def counts(self, post: LeakPost) -> str:
        """The people of a post in one line; of a report for one client that client's own canaries."""
        words = self._words
        if self.client:
            own = post.hits[self.client].canaries if self.client in post.hits else 0
            return words("ev_own", n=own)
        if not post.people:
            return ""
        return self._people(post.people, post.known, post.new, post.interval)

    def _people(self, people: int, known: int, new: int, interval: tuple[int, int]) -> str:
        """How many people are in some data, and how many of them were known."""
        words = self._words
        if known == people and interval == (0, 0):
            return words("ev_people_known", n=people)
        if not known and interval == (people, people):
            return words("ev_people_new", n=people)
        told = {"people": words("people", n=people), "new": words.estimate(new, *interval)}
        return words("ev_people", known=known, **told) if known else words("ev_people_some", **told)

    def graph_rows(self) -> list[GraphRow]:
        """The rows of the lineage graph, oldest first."""
        words, made = self._words, []
        wanted = {relation.parent for post in self.posts for relation in post.relations}
        for each in self._figures.graph.baselines:
            if self.client and each.key not in wanted:
                continue
            at = datetime.fromisoformat(each.created) if each.created else None
            people = "" if self.client else f", {words('people', n=each.people)}"
            made.append(
                ((at or datetime.min.replace(tzinfo=UTC)).isoformat(), GraphRow(
                    each.key, self._names[each.key], words.short(at) if at else "",
                    (words("baseline") + people,), "baseline", ()))
            )  # fmt: skip
        for post in self.posts:
            counts = self.counts(post)
            lines = (self.verdict(post), *([counts] if counts else []), *self.relations(post)[:1])
            parents = tuple((each.parent, each.share) for each in post.relations if each.parent)
            label = f"{self.post_name(post)} · {shown(post.source, 40)}"
            made.append(
                (post.at.isoformat(), GraphRow(
                    post.key, label, words.short(post.at), lines, state_of(post), parents))
            )  # fmt: skip
        return [row for _, row in sorted(made, key=lambda pair: pair[0])]

    def event(self, event: Event) -> str:
        """The first words about an event."""
        words, facts = self._words, event.facts
        kind = event.kind.value
        if kind == "listing_changed":
            return words("ev_listing_changed", fields=", ".join(shown(each, 30) for each in facts.get("fields", ())))
        if kind == "announcement" and facts.get("deadlines"):
            return words("ev_announcement_at", at=datetime.fromisoformat(facts["deadlines"][0]["at"]))
        if kind == "shared_people" and facts.get("origin", {}).get("answer") == "another's":
            return words("ev_shared_another")
        if kind == "recovered":
            of = str(facts.get("of", ""))
            return words("ev_recovered", what=words(f"ev_{of}") if f"ev_{of}" in _RECOVERABLE else words("none"))
        return words(f"ev_{kind}")

    def event_details(self, event: Event) -> list[str]:
        """The numbers of an event, each a short phrase."""
        words, facts = self._words, event.facts
        found = [words("ev_dismissed")] if event.id in self._figures.dismissed else []
        hits = facts.get("clients", ())
        if self.client:
            own = sum(hit["canaries"] for hit in hits if hit["client"] == self.client)
            return [*found, words("ev_own", n=own)] if own else found
        if "people" in facts:
            low, high = facts["interval"]
            found.append(self._people(facts["people"], facts["known"], best_estimate(facts), (low, high)))
        if facts.get("added"):
            found.append(words("ev_added", kinds=self.kinds(facts["added"])))
        if hits:
            canaries = words("canaries_n", n=sum(hit["canaries"] for hit in hits))
            found.append(words("ev_clients", clients=words("clients_n", n=len(hits)), canaries=canaries))
        problems = facts.get("problems") or facts.get("codes") or ()
        if problems:
            found.append(words("ev_reasons", codes=", ".join(shown(each, 30) for each in sorted(problems)[:6])))
        return found

    def where(self, event: Event) -> str:
        """The number of the event's post, as the lineage gives it; '' if it has none."""
        versions = self._posts.get(event.post, [])
        fitting = [each for each in versions if each.at <= event.at] or versions
        return self.post_name(fitting[-1]) if fitting else ""

    def summary(self) -> list[str]:
        """The summary in plain words, one sentence each."""
        words, figures = self._words, self._figures
        posts = self.posts
        found = []
        if not posts:
            found.append(words("lead_outside" if self.outside else "lead_nothing"))
        else:
            told_of = [post for post in posts if post.hits] or posts
            told = {
                "posts": words("posts", n=len({post.post for post in told_of})),
                "first": min(post.at for post in told_of),
                "last": max(post.at for post in told_of),
            }
            if figures.seen:
                share = words("of_clients", n=len(figures.seen), all=len(figures.shown["blast_radius"]))
                found.append(words("lead_seen", share=share, **told))
            else:
                found.append(words("lead_posts_only", **told))
            new, low, high = figures.graph.new_people
            if new or high:
                what = words("sum_new", n=posts_of(self.new_posts))
                found.append(words("sum_new_people", what=what, n=new, bounds=words.bounds(new, low, high)))
            elif not self.open_posts and len(self.own_posts) == len(posts):
                found.append(words("sum_new_none"))
            if known := posts_of(post for post in posts if post.is_known):
                found.append(words("sum_known", n=known))
            found += self.open_questions()
        return [*found, *self.warnings()]

    @property
    def new_posts(self) -> list[LeakPost]:
        """The posts with people or data that were not known before."""
        return [post for post in self.own_posts if post.new or post.added]

    @property
    def open_posts(self) -> list[LeakPost]:
        """The posts of which nobody can say whether what they hold was known before, as nobody in them was compared."""
        return [post for post in self.own_posts if not post.is_known and not post.new and not post.added]

    def open_questions(self) -> list[str]:
        """Sentences about posts of which it is not decided whether they are new, and about those of another's breach."""
        words, found = self._words, []
        if number := posts_of(self.open_posts):
            found.append(words("sum_open", n=number))
        if number := posts_of(post for post in self.posts if post.origin == "another's" and post.hits):
            found.append(words("sum_another", n=number))
        return found

    def warnings(self) -> list[str]:
        """Sentences of the summary that hold for one client as for all: secrecy, announced times, blind spots."""
        words, figures = self._words, self._figures
        found = []
        if not self.client and any(_has_notes(post) for post in self.own_posts):
            found.append(words("sum_notes"))
        if self.client and self.outside:
            found.append(words("c_outside", n=len(self.outside[0]["sources"])))
        elif self.outside:
            found.append(words("sum_outside", n=len(self.outside)))
        if figures.shared:
            found.append(words("sum_shared", n=len(figures.shared)))
        told = [each for each in figures.events.events if each.id in figures.dismissed and self.concerns(each)]
        if dismissed := sum(each.kind.value in LEAK_KINDS for each in told):
            found.append(words("sum_dismissed", n=dismissed))
        if figures.announced:
            found.append(words("sum_announced", at=figures.announced[0][0]))
        if blind := sum(bool(each.gap_count) or (each.enabled and not each.done) for each in figures.coverage):
            found.append(words("sum_blind", n=blind))
        return found

    def known(self) -> list[str]:
        """What is known, one sentence each."""
        words, figures, posts = self._words, self._figures, self.posts
        found = []
        if figures.seen and not self.client:
            share = words("of_clients", n=len(figures.seen), all=len(figures.shown["blast_radius"]))
            found.append(words("k_clients", share=share))
        if not posts and not self.outside:
            found.append(words("k_nothing"))
        if (baselines := figures.graph.baselines) and not self.client:
            people = words("people", n=sum(each.people for each in baselines))
            found.append(words("k_baselines", n=len(baselines), people=people))
        if copies := posts_of(post for post in posts if post.is_known):
            found.append(words("k_copies", n=copies))
        fresh = [post for post in self.own_posts if post.new and not self.client]
        found += [
            words(
                "k_new",
                post=self.post_name(post),
                source=shown(post.source),
                n=post.new,
                bounds=words.bounds(post.new, *post.interval),
            )
            for post in sorted(fresh, key=lambda post: -post.new)[:_TOLD]
        ]  # fmt: skip
        found += [words("k_new_more", n=len(fresh) - _TOLD)] if fresh[_TOLD:] else []
        judged = [post for post in posts if post.authentic not in {"", "open"}]
        for post in judged[:_TOLD]:
            if post.authentic == "genuine":
                found.append(words("k_genuine", post=self.post_name(post)))
            else:
                found.append(words("k_fake", post=self.post_name(post), answer=words(f"auth_{post.authentic}")))
        return found

    def unknown(self) -> list[str]:
        """What is not known, one sentence each; never empty."""
        words, figures, posts = self._words, self._figures, self.posts
        found = []
        if cut := sum(not post.complete for post in posts):
            found.append(words("u_unexamined", n=cut))
        if unread := sum(event.kind.value == "unexamined" for event in figures.events.events):
            found.append(words("u_events", n=unread))
        if figures.waiting:
            found.append(words("u_waiting", n=figures.waiting))
        blind = sorted(
            (each for each in figures.coverage if each.gap_count or not each.done), key=lambda each: -each.unwatched
        )
        for each in blind[:_TOLD]:
            name = shown(each.source)
            found.append(
                words("u_blind", source=name, span=words.span(each.unwatched))
                if each.done
                else words("u_never", source=name)
            )
        found += [words("u_blind_more", n=len(blind) - _TOLD)] if blind[_TOLD:] else []
        if kept := [each.kept_since for each in figures.coverage if each.kept_since is not None]:
            found.append(words("u_not_kept", n=len(kept), begin=max(kept)))
        untagged = sum(not each["tagged"] for each in figures.shown["blast_radius"])
        if untagged and not self.client:
            found.append(words("u_untagged", n=untagged))
        undecided = sum(state_of(post) == "open" and post.origin != "another's" for post in posts)
        found += [words("u_undecided", n=undecided)] if undecided else []
        if not self.aware:
            found.append(words("u_aware"))
        return [*found, words("u_elsewhere"), words("u_person")]


_RECOVERABLE = frozenset(
    f"ev_{kind}"
    for kind in (
        "gap", "source_silent", "source_changed", "tor_down", "delivery_failed", "selftest_failed", "unacknowledged", "unexamined",
    )
)  # fmt: skip


def posts_of(versions: Iterable[LeakPost]) -> int:
    """How many posts there are among some versions of posts."""
    return len({each.post for each in versions})


def _has_notes(post: LeakPost) -> bool:
    """Whether free text is new in a post, or stands in a row of somebody who was recognised."""
    return "note" in post.added or any((hit.data or {}).get("note") for hit in post.hits.values())


def state_of(post: LeakPost) -> str:
    """The mark of a post in the graph: `new`, `known` or `open`."""
    if post.verdict in _OPEN_VERDICTS or post.origin == "another's" or (post.origin == "open" and not post.is_known):
        return "open"
    return "known" if post.is_known else "new"


def is_ringing(event: Event) -> bool:
    """Whether an event is one that wakes people."""
    return event.severity.rank >= Severity.WARNING.rank
