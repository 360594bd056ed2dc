"""The first line of each alert: what happened, whose data it is and how sure that is, in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from crawler.alerts.hit_totals import HitTotals
from crawler.alerts.plain_text import sanitize
from data.model import Event, EventKind
from data.plural import counted

VERDICTS = {
    "re-post": "a re-post: all of it was known before",
    "re-packaged": "known data in another packaging",
    "subset": "a part of known data",
    "superset": "known data together with data that was not known before",
    "overlap": "partly known, partly new",
    "new": "not in any known release",
    "padded": "known people mixed with invented ones",
    "unrelated": "other people, without a connection to the known releases",
    "undecided": "not decided",
}
ADDED_DATA = {
    "note": "medical notes or other free text",
    "nir": "social security numbers",
    "email": "e-mail addresses",
    "phone": "telephone numbers",
    "iban": "bank accounts",
    "professional": "professional numbers",
}
# Names in a first line are shorter than in the fields, so that the numbers stay in sight.
MAX_NAME = 40

Headline = Callable[[Event, Mapping[str, str]], str]


def headline_of(event: Event, names: Mapping[str, str]) -> str:
    """The first line of the message about an event; `names` are the display names of all clients by id."""
    text = _HEADLINES[event.kind](event, names)
    if not event.facts.get("reminder"):
        return text
    began = time_text(event.facts.get("began", ""))
    return f"Still so since {began}: {text}" if began else f"Still so: {text}"


def time_text(iso: str) -> str:
    """A time in ISO 8601 as people read it, in UTC to the minute; '' for no time."""
    try:
        return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return ""


def best_estimate(facts: Mapping[str, Any]) -> int:
    """The most probable number of people who were not seen before.

    That is the number of unmatched people without those who are probably known people with typing errors, and never
    outside of the interval.
    """
    low, high = facts["interval"]
    return int(max(low, min(high, facts["new"] - facts.get("mistyped", 0))))


def new_people_text(facts: Mapping[str, Any]) -> str:
    """`150,000 people not seen before (149,200 to 150,400)`, without the bounds if they are the number itself."""
    best = best_estimate(facts)
    low, high = facts["interval"]
    bounds = "" if low == high == best else f" ({low:,} to {high:,})"
    return f"{counted(best, 'person', 'people')} not seen before{bounds}"


def _name(text: str) -> str:
    return sanitize(text, MAX_NAME)


def _whose(event: Event, names: Mapping[str, str]) -> str:
    """`1,500 of 1,500 clients`; the name of a client that is the only one."""
    totals = HitTotals.of_facts(event.facts, names)
    if len(totals.hits) == 1:
        client = totals.hits[0]["client"]
        return f"client {_name(names.get(client, '') or client)}"
    return totals.share_text if totals.hits else "no client's canary in it"


def _at(event: Event, otherwise: str) -> str:
    return _name(event.source) or otherwise


def _added_text(facts: Mapping[str, Any]) -> str:
    people = max(facts["added"].values())
    kinds = ", ".join(ADDED_DATA.get(kind, kind) for kind in facts["added"])
    return f"new data about {counted(people, 'known person', 'known people')} ({kinds})"


def _leak(what: str) -> Headline:
    def headline(event: Event, names: Mapping[str, str]) -> str:
        facts, whose = event.facts, _whose(event, names)
        if "verdict" not in facts:
            records = HitTotals.of_facts(facts, names).records
            return f"{what}: {counted(records, 'record')}, {whose}"
        if facts.get("added") and not best_estimate(facts):
            return f"{what}: {_added_text(facts)}, {whose}"
        return f"{what}: {new_people_text(facts)}, {whose}; {facts['known']:,} known"

    return headline


def _shared_people(event: Event, names: Mapping[str, str]) -> str:
    facts = event.facts
    if "verdict" not in facts:
        return f"Known patients in data of open origin: {_whose(event, names)}"
    people = f"{facts['known']:,} of {counted(facts['people'], 'person', 'people')} are in a registered release"
    whose = (
        "another organisation's data" if facts.get("origin", {}).get("answer") == "another's" else "data of open origin"
    )
    further = f"{new_people_text(facts)}"
    if facts.get("added"):
        further += f", {_added_text(facts)}"
    return f"Known patients in {whose}: {people}, {_whose(event, names)}; {further}"


def _repost(event: Event, names: Mapping[str, str]) -> str:
    facts = event.facts
    if "verdict" not in facts:
        return f"Known data was posted again: {_whose(event, names)}"
    known = f"{facts['known']:,} of {counted(facts['people'], 'person', 'people')} known"
    return f"Known data was posted again: {known}, {_whose(event, names)}; {new_people_text(facts)}"


def _preview(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - a preview knows no client
    facts = event.facts
    if facts.get("of_event"):
        full = VERDICTS.get(facts.get("full_verdict", ""), "the data holds no records")
        return f"Correction: an earlier preview was wrong; the full examination says: {full}"
    if facts.get("how") == "7z, locked":
        return "Preview only: an archive whose file names are encrypted; nothing is known about its content yet"
    if "files" not in facts:
        return "Preview of a file list; the data itself is not examined yet"
    known = f"{facts['files_known']:,} of {counted(facts['files'], 'file')} known"
    return f"Preview only, data not examined yet: {known}; {VERDICTS.get(facts['verdict'], facts['verdict'])}"


def _listing_changed(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - as all do
    changed = [_name(each) for each in event.facts.get("changed", ())]
    if not changed:
        return "A known post changed"
    more = f" and {len(changed) - 3:,} more" if changed[3:] else ""
    return f"A known post changed: {', '.join(changed[:3])}{more}"


def deadline_text(value: Mapping[str, Any]) -> str:
    """An announced time as exactly as it is known, and what was announced before."""
    exact = int(value["exact_minutes"])
    time = str(value["at"]).replace("T", " ").replace("+00:00", " UTC")
    if exact == 1440:
        time = f"{time[:10]} (exact to the day)"
    elif exact > 1440:
        time = f"{time[:10]} (exact to {exact // 1440} days)"
    return time + (f", before: {str(value['before'])[:16].replace('T', ' ')}" if value.get("before") else "")


def _announcement(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - as all do
    deadlines, rules = event.facts.get("deadlines", ()), event.facts.get("rules", ())
    about = f"; the post matches {counted(len(rules), 'rule')} of the incident" if rules else ""
    if deadlines:
        return f"A release was announced for {deadline_text(deadlines[0])}{about}"
    return f"A post speaks of the incident: {', '.join(_name(rule) for rule in rules[:3])}" if rules else (
        "A release was announced"
    )  # fmt: skip


def _unexamined(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - as all do
    facts, source = event.facts, _at(event, "a source")
    if "posts" in facts:
        number = counted(facts["posts"], "post")
    elif "samples" in facts:
        number = counted(
            facts["samples"], *(("part of a post", "parts of posts") if "reason" in facts else ("sample",))
        )
    else:
        number = "Some data"
    return f"{number} from {source} could not be examined: client data there cannot be ruled out"


def _gap(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - as all do
    return f"Posts of {_at(event, 'a source')} may have been missed: its listing was not read back to a known post"


def _source_silent(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - as all do
    if "age_seconds" in event.facts or event.facts.get("subject") == "new posts":
        age = event.facts.get("age_seconds")
        return f"{_at(event, 'A source')} shows no new post" + (f" for {age / 86400:.1f} days" if age else "")
    return f"{_at(event, 'A source')} cannot be read: new posts there are not seen"


def _source_changed(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - as all do
    facts = event.facts
    rows = f": {counted(facts['rows'], 'row')}, at least {facts['min_rows']:,} expected" if "min_rows" in facts else ""
    return f"{_at(event, 'A source')} is no longer read correctly, so posts may be missed{rows}"


def _tor_down(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - as all do
    return "Tor is down: the sources that need it are not watched"


def _delivery_failed(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - as all do
    channel = _name(str(event.facts.get("channel") or event.facts.get("subject") or ""))
    return f"Channel {channel} does not accept alerts: whoever reads it is not warned"


def _selftest_failed(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - as all do
    subject = _name(str(event.facts.get("subject", "")))
    if subject == "examiner":
        return "Tocsin may not recognise client data: its self-test failed"
    return "Tocsin itself needs attention" + (f": {subject}" if subject else "")


# A state that ended, by the kind of event with which it began.
_ENDED = {
    "gap": "the listing is read back to known posts",
    "source_silent": "the source can be read",
    "source_changed": "the source is read correctly",
    "tor_down": "Tor works",
    "delivery_failed": "the channel accepts alerts",
    "selftest_failed": "the problem is gone",
    "unexamined": "the posts were examined",
}


def _recovered(event: Event, names: Mapping[str, str]) -> str:  # noqa: ARG001 - as all do
    if event.facts.get("trial"):
        return "Test message: nothing happened"
    where = _name(event.source) or _name(str(event.facts.get("subject", "")))
    ended = _ENDED.get(str(event.facts.get("of", "")), "")
    return "Back to normal" + (f": {ended}" if ended else "") + (f" ({where})" if where else "")


_HEADLINES: Mapping[EventKind, Headline] = {
    EventKind.FURTHER_RELEASE: _leak("Further release"),
    EventKind.CANARY_HIT: _leak("Client data published"),
    EventKind.SHARED_PEOPLE: _shared_people,
    EventKind.REPOST: _repost,
    EventKind.EARLY_LOOK: _preview,
    EventKind.LISTING_CHANGED: _listing_changed,
    EventKind.ANNOUNCEMENT: _announcement,
    EventKind.UNEXAMINED: _unexamined,
    EventKind.GAP: _gap,
    EventKind.SOURCE_SILENT: _source_silent,
    EventKind.SOURCE_CHANGED: _source_changed,
    EventKind.TOR_DOWN: _tor_down,
    EventKind.DELIVERY_FAILED: _delivery_failed,
    EventKind.SELFTEST_FAILED: _selftest_failed,
    EventKind.RECOVERED: _recovered,
}
