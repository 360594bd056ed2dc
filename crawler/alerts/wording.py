"""The text of alerts, for a tired person at three in the morning: ids, counts, names, and never text of a sample.

The order is that of a person's questions: what happened, whose data and how sure (the title), the verdict and its numbers,
the clients hit worst, where, what to do, and how to see everything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.alerts.advice import advice_of, show_command
from crawler.alerts.events import KNOWN_VERDICTS
from crawler.alerts.headlines import (
    authentic_text,
    best_estimate,
    changed_text,
    deadline_text,
    full_verdict_text,
    headline_of,
    problem_text,
    rule_text,
    subject_text,
    verdict_text,
)
from crawler.alerts.hit_totals import HitTotals, client_text
from crawler.alerts.message import Field, Message
from crawler.alerts.phrases.catalogue import Phrases, phrases_in
from crawler.alerts.plain_text import defang, sanitize
from data.model import Event, EventKind, Severity

# Subjects of lasting states that the title already speaks of.
_SAID_BY_TITLE = frozenset(
    {"listing", "rows", "posts", "new posts", "lost posts", "tor", "examiner", "unacknowledged alerts"}
)
WORST_CLIENTS = 10
"""So many clients are named in a message; the command in it lists all of them."""
# Fewer canaries than this say that a person's data is there, but hardly whose system it comes from.
FEW_CANARIES = 3
# Entries of any other list in a message.
MAX_LINES = 10
# Characters of a title: the shortest limit of a chat's title is Slack's, 150 with the mark.
MAX_TITLE = 145


def message_of(
    event: Event,
    *,
    clients: Mapping[str, str],
    case: str = "",
    link: str = "",
    incident: str = "",
    head: str = "",
    language: str = "en",
    listed: Sequence[Event] = (),
) -> Message:
    """The message about an event.

    Args:
        event: what happened.
        clients: display names by client id, of all clients on the watch-list.
        case: name of the case, '' for none.
        link: base address of the web pages that show events; with '' the message names the command that shows this one.
        incident: name of the event's incident, '' for none.
        head: of the evidence and audit chains of the home, as text; '' for none.
        language: code of the language of all words.
        listed: of a digest, the most severe events that it tells.
    """
    phrases = phrases_in(language)
    fields = _Fields(phrases).of(event, clients, listed, incident=incident, case=case)
    return Message(
        event=event.id,
        kind=event.kind.value,
        severity=event.severity,
        title=sanitize(headline_of(event, clients, phrases), MAX_TITLE),
        at=event.at.isoformat(timespec="seconds"),
        fields=tuple(field for field in fields if field.lines),
        advice=advice_of(event, phrases),
        link=f"{link.rstrip('/')}/{event.id}"
        if link and event.kind is not EventKind.HEARTBEAT
        else show_command(event),
        facts=event.facts,
        head=head,
        source=event.source,
        case=case,
        language=language,
    )


@dataclass(frozen=True, slots=True)
class _Fields:
    """Makes the fields of a message in one language."""

    phrases: Phrases

    def of(
        self, event: Event, clients: Mapping[str, str], listed: Sequence[Event], *, incident: str, case: str
    ) -> list[Field]:
        """All fields about an event, the most important ones first; those without lines are left out later."""
        facts = event.facts
        return [
            *self._digest(event, clients, listed),
            *(self._preview(facts) if facts.get("early") else self._lineage(facts)),
            *self._completeness(event),
            *self._clients(facts, clients),
            *self._state(facts),
            *self._post(facts),
            self.retro(facts),
            self.line("address", defang(event.address)),
            self.line("source", event.source),
            self.line("incident", incident),
            self.line("case", case),
            self._sample(event),
        ]

    def line(self, key: str, text: str) -> Field:
        """A field of one line; without lines for an empty text."""
        shown = sanitize(text)
        return Field(self.phrases(f"label.{key}"), (shown,) if shown else (), language=self.phrases.language)

    def lines(self, key: str, texts: Iterable[str]) -> Field:
        """A field of at most `MAX_LINES` lines."""
        shown = [sanitize(text) for text in texts if text]
        more = max(0, len(shown) - MAX_LINES)
        return Field(self.phrases(f"label.{key}"), tuple(shown[:MAX_LINES]), more, self.phrases.language)

    def retro(self, facts: Mapping[str, Any]) -> Field:
        """When canaries were enrolled that stand in data which was seen before."""
        if (retro := facts.get("retro")) is None:
            return Field("", ())
        enrolled, seen = (self.phrases.time(str(retro.get(key, ""))) for key in ("enrolled", "seen"))
        return self.line("retro", self.phrases("retro.field", enrolled=enrolled, seen=seen))

    def _digest(self, event: Event, clients: Mapping[str, str], listed: Sequence[Event]) -> list[Field]:
        """Of a digest: how many events of which severity, kind, source and incident, and the most severe ones."""
        if event.kind is not EventKind.DIGEST:
            return []
        phrases, facts = self.phrases, event.facts

        def counts(key: str, numbers: Mapping[str, int], prefix: str = "") -> Field:
            ordered = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
            texts = [
                phrases("digest.count", what=phrases.get(f"{prefix}{name}", name), n=number) for name, number in ordered
            ]
            return self.lines(key, texts)

        severities = [
            phrases("digest.count", what=phrases(f"severity.{each.value}"), n=facts["severities"][each.value])
            for each in sorted(Severity, key=lambda each: -each.rank)
            if each.value in facts.get("severities", {})
        ]
        worst = [phrases("digest.event", title=headline_of(each, clients, phrases), id=each.id[:12]) for each in listed]
        return [
            self.line("severities", ", ".join(severities)),
            self.lines("worst_events", worst),
            counts("kinds", facts.get("kinds", {}), "kind."),
            counts("sources", facts.get("sources", {})),
            counts("incidents", facts.get("incidents", {})),
        ]

    def _clients(self, facts: Mapping[str, Any], names: Mapping[str, str]) -> list[Field]:
        """Totals, and the clients hit worst; no kinds of keys, which nobody can act on."""
        totals, phrases = HitTotals.of_facts(facts, names), self.phrases
        if not totals.hits:
            return []
        found = phrases(
            "clients.found",
            share=totals.share_text(phrases),
            canaries=phrases.count("canary", totals.canaries),
            records=phrases.count("record", totals.records),
        )
        found += phrases("clients.retro" if "retro" in facts else "clients.confirmed")
        if totals.canaries < FEW_CANARIES and facts.get("origin", {}).get("answer") != "ours":
            found += phrases("clients.few")
        worst = tuple(
            phrases(
                "clients.hit",
                client=client_text(hit["client"], names),
                records=phrases.count("record", hit["records"]),
                canaries=phrases.count("canary", hit["canaries"]),
            )
            for hit in totals.hits[:WORST_CLIENTS]
        )
        return [
            self.line("clients", found),
            Field(phrases("label.worst"), worst, len(totals.hits) - len(worst), phrases.language),
        ]

    def _preview(self, facts: Mapping[str, Any]) -> list[Field]:
        """What a preview found, and whether the full examination agrees."""
        phrases = self.phrases
        if facts["how"] == "7z, locked":
            files = phrases("files.locked")
        else:
            files = phrases(
                "files.known",
                known=facts["files_known"],
                files=phrases.count("file", facts["files"]),
                known_bytes=facts["bytes_known"],
                bytes=phrases.count("byte", facts["bytes"]),
            )
            if facts["by_name"]:
                files += phrases("files.by_name", n=facts["by_name"])
            if facts.get("complete") is False:
                files += phrases("files.incomplete")
        if facts["how"] == "torrent":
            outcome = phrases("outcome.torrent")
        elif facts["outcome"] == "corrected":
            outcome = phrases("outcome.corrected", verdict=full_verdict_text(facts, phrases))
        else:
            outcome = phrases("outcome.confirmed" if facts["outcome"] == "confirmed" else "outcome.open")
        parents = ", ".join(phrases(f"parent.{each['kind']}", ref=each["ref"][:16]) for each in facts["parents"][:3])
        return [
            self.line("preview", verdict_text(facts["verdict"], phrases)),
            self.line("files", files),
            self.line("parents", parents),
            self.line("outcome", outcome),
        ]

    def _lineage(self, facts: Mapping[str, Any]) -> list[Field]:
        """What the full examination found about the people in the data."""
        if "verdict" not in facts:
            return []
        phrases = self.phrases
        added = [
            f"{phrases.get(f'added.{kind}', kind)} ({phrases.number(people)})"
            for kind, people in facts.get("added", {}).items()
        ]
        parents = [
            phrases("parent.share", release=self._release(each["release"]), share=phrases.percent(each["share"]))
            for each in facts.get("parents", ())
        ]
        more = phrases("and_more", n=len(parents) - 3) if parents[3:] else ""
        return [
            self.line("verdict", self._verdict(facts) + self._confidence(facts)),
            self.line("people", self._people(facts)),
            self.line("genuine", authentic_text(facts["authentic"], phrases) if "authentic" in facts else ""),
            self.line("added", ", ".join(added)),
            self.line("parents", ", ".join(parents[:3]) + more),
        ]

    def _release(self, name: str) -> str:
        """The name of a release; of one that no person registered, with what it is."""
        return self.phrases("parent.sighted", release=name) if name.startswith("sighted-") else name

    def _verdict(self, facts: Mapping[str, Any]) -> str:
        """The verdict in words; that all people are known does not say that all data about them is."""
        if facts.get("added") and facts["verdict"] in KNOWN_VERDICTS:
            return self.phrases("verdict.new_data")
        return verdict_text(facts["verdict"], self.phrases)

    def _confidence(self, facts: Mapping[str, Any]) -> str:
        """`, 99.9 % sure`, rounded down; nothing for a verdict without a probability."""
        confidence = facts.get("confidence", 0.0)
        if not confidence or facts["verdict"] == "undecided":
            return ""
        shown = math.floor(confidence * 1000) / 10
        share = f"{min(shown, 99.9):g}".replace(".", self.phrases.decimal)
        return self.phrases("verdict.very_sure" if shown >= 99.9 else "verdict.sure", share=share)

    def _people(self, facts: Mapping[str, Any]) -> str:
        phrases = self.phrases
        best = best_estimate(facts)
        low, high = facts["interval"]
        mistyped = facts["new"] - best
        return phrases(
            "people.counts",
            people=facts["people"],
            new=phrases.count("unseen", best),
            bounds="" if low == high == best else phrases("people.bounds", low=low, high=high),
            known=phrases.count("known", facts["known"]),
            mistyped=phrases("people.mistyped", mistyped=phrases.count("mistyped", mistyped)) if mistyped else "",
        )

    def _state(self, facts: Mapping[str, Any]) -> list[Field]:
        subject = str(facts.get("subject", ""))
        return [
            self.line("reason", self._reason(facts)),
            self.line("about", "" if subject in _SAID_BY_TITLE else subject_text(subject, self.phrases)),
            self.line("channel", str(facts.get("channel", ""))),
            self.line("began" if "of" in facts else "since", self.phrases.time(str(facts.get("began", "")))),
        ]

    def _reason(self, facts: Mapping[str, Any]) -> str:
        """The reason that a program gave, which is English; in other languages after the words of its code."""
        reason, code = str(facts.get("reason", "")), str(facts.get("code", ""))
        if facts.get("trial"):
            return self.phrases("reason.trial")
        if "samples" in facts and "codes" in facts:
            # the same in words is what was not examined
            return ""
        if reason and (own := self.phrases.get(f"lost.{facts.get('subject')}", "")):
            return own
        if self.phrases.language == "en" or not reason or f"problem.{code}" not in self.phrases.catalogue:
            return reason
        return self.phrases("reason.coded", said=problem_text(code, self.phrases), reason=reason)

    def _post(self, facts: Mapping[str, Any]) -> list[Field]:
        """What a post announces, what changed in it, and the verdicts of earlier previews of it."""
        phrases = self.phrases
        previews = [
            f"{verdict_text(str(each['verdict']), phrases)}"
            f" ({phrases.get('outcome.short.' + each['outcome'], each['outcome'])})"
            for each in facts.get("early_looks", ())
        ]
        return [
            self.lines("deadlines", (deadline_text(each, phrases) for each in facts.get("deadlines", ()))),
            self.lines("rules", (rule_text(each, phrases) for each in facts.get("rules", ()))),
            self.lines("changed", (changed_text(each, phrases) for each in facts.get("changed", ()))),
            self.lines("previews", previews),
        ]

    def _completeness(self, event: Event) -> list[Field]:
        """What was not examined: it stands before the numbers of clients, which are then the least there are."""
        facts, phrases = event.facts, self.phrases
        codes = facts.get("codes", {})
        reasons = [
            f"{problem_text(code, phrases)} ({phrases.number(codes[code])})"
            for code in sorted(codes, key=lambda code: (-codes[code], code))
        ] or [problem_text(code, phrases) for code in facts.get("problems", ())]
        more = phrases("and_more", n=len(reasons) - MAX_LINES) if reasons[MAX_LINES:] else ""
        shown = phrases("semicolon").join(reasons[:MAX_LINES]) + more
        if event.kind is EventKind.UNEXAMINED:
            return [self.line("unexamined", shown)]
        if facts.get("complete") is False and not facts.get("early"):
            reason = shown or phrases("incomplete.no_reason")
            return [self.line("incomplete", phrases("incomplete.higher", reasons=reason))]
        return []

    def _sample(self, event: Event) -> Field:
        facts, phrases = event.facts, self.phrases
        if not facts.get("format"):
            return Field("", ())
        size, rows = phrases.count("byte", facts["bytes"]), phrases.count("row", facts.get("rows", 0))
        return self.line("sample", f"{facts['format']}, {size}, {rows}")
