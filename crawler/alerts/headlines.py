"""The first line of each alert: what happened, whose data it is and how sure that is, in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from crawler.alerts.hit_totals import HitTotals
from crawler.alerts.phrases.catalogue import Phrases
from crawler.alerts.plain_text import sanitize
from data.model import Event, EventKind, Severity

# Names in a first line are shorter than in the fields, so that the numbers stay in sight.
MAX_NAME = 40
# Kinds that the first line of a digest names.
MAX_KINDS = 3

Headline = Callable[[Event, Mapping[str, str], Phrases], str]


def headline_of(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:
    """The first line of the message about an event; `names` are the display names of all clients by id."""
    text = _HEADLINES[event.kind](event, names, phrases)
    if (retro := event.facts.get("retro")) is not None:
        seen = phrases.time(str(retro.get("seen", "")))
        return phrases("title.retro", seen=seen, title=text) if seen else phrases("title.retro_plain", title=text)
    if not event.facts.get("reminder"):
        return text
    began = phrases.time(event.facts.get("began", ""))
    return phrases("title.reminder_since", since=began, title=text) if began else phrases("title.reminder", title=text)


def best_estimate(facts: Mapping[str, Any]) -> int:
    """The most probable number of people who were not seen before.

    That is the number of unmatched people without those who are probably known people with typing errors, and never
    outside of the interval.
    """
    low, high = facts["interval"]
    return int(max(low, min(high, facts["new"] - facts.get("mistyped", 0))))


def verdict_text(verdict: str, phrases: Phrases) -> str:
    """What a verdict means, in words; a verdict of another version stays as it is."""
    return phrases.get(f"verdict.{verdict}", verdict)


def full_verdict_text(facts: Mapping[str, Any], phrases: Phrases) -> str:
    """What the full examination of data says that a preview was made of."""
    return phrases.get(f"verdict.{facts.get('full_verdict', '')}", phrases("verdict.no_records"))


def authentic_text(facts: Mapping[str, Any], phrases: Phrases) -> str:
    """`recombined: … (very likely, 50 rows; telephone numbers)`: whether a sample is genuine, in one line."""
    columns = ", ".join(phrases.get(f"column.{column}", column) for column in facts["columns"])
    likelihood = phrases.get(f"likelihood.{facts['likelihood']}", facts["likelihood"])
    how = f"{likelihood}, {phrases.count('row', facts['rows'])}{f'; {columns}' if columns else ''}"
    return f"{phrases('genuine.' + facts['answer'])} ({how})"


def new_people_text(facts: Mapping[str, Any], phrases: Phrases) -> str:
    """`150,000 people not seen before (149,200 to 150,400)`, without the bounds if they are the number itself."""
    best = best_estimate(facts)
    low, high = facts["interval"]
    bounds = "" if low == high == best else phrases("title.bounds", low=low, high=high)
    return phrases.count("new_person", best) + bounds


def deadline_text(value: Mapping[str, Any], phrases: Phrases) -> str:
    """An announced time as exactly as it is known, and what was announced before."""
    exact = int(value["exact_minutes"])
    time = phrases.time(str(value["at"])) or str(value["at"])
    day = time.partition(" ")[0]
    if exact == 1440:
        time = phrases("deadline.day", date=day)
    elif exact > 1440:
        time = phrases("deadline.days", date=day, n=exact // 1440)
    before = str(value.get("before") or "")
    return time + (
        phrases("deadline.before", time=(phrases.time(before) or before).removesuffix(" UTC")) if before else ""
    )


def problem_text(code: str, phrases: Phrases) -> str:
    """What the code of a problem means, in words; a code of another version stays as it is."""
    return phrases.get(f"problem.{code}", code)


def subject_text(subject: str, phrases: Phrases) -> str:
    """What a lasting state is about, in words; the name of a source, of a platform or of other work stays as it is."""
    return phrases.get(f"subject.{subject}", subject)


def rule_text(name: str, phrases: Phrases) -> str:
    """The name of a rule: `word 'base santé'`; expressions are called so in both languages."""
    shown = shown_rule(name)
    return phrases("rule.word", word=shown.removeprefix("word ")) if shown.startswith("word ") else shown


def shown_rule(name: str) -> str:
    r"""The name of a rule with its expression as somebody wrote it: names are made by `repr`, which doubles each `\`."""
    return name.replace("\\\\", "\\")


def changed_text(change: str, phrases: Phrases) -> str:
    """A phrase of `data.store.post_changes` about a change, in the language of the phrases."""
    return _CHANGE_WORDS.sub(lambda found: phrases(f"change.{found[0]}"), change)


_CHANGE_WORDS = re.compile(
    r"^the post, which had hits, is gone from the site$|^an exact number\b|\b(?:put off by|brought forward by|is gone)\b"
    r"|^(?:links|files|part|records|percent|price|state|timer|magnet|title|text|address|size|extra|page|countdown)\b"
    r"|\b(?:appeared|changed)$|\b(?:new|gone)(?=[:;)])"
)


def _name(text: str) -> str:
    return sanitize(text, MAX_NAME)


def _whose(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:
    """`1,500 of 1,500 clients`; the name of a client that is the only one."""
    totals = HitTotals.of_facts(event.facts, names)
    if len(totals.hits) == 1:
        client = totals.hits[0]["client"]
        return phrases("title.client", client=_name(names.get(client, "") or client))
    return totals.share_text(phrases) if totals.hits else phrases("title.no_canary")


def _at(event: Event, otherwise: str) -> str:
    return _name(event.source) or otherwise


def _added_text(facts: Mapping[str, Any], phrases: Phrases) -> str:
    people = phrases.count("known_person", max(facts["added"].values()))
    kinds = ", ".join(phrases.get(f"added.{kind}", kind) for kind in facts["added"])
    return phrases("title.added", people=people, kinds=kinds)


def _leak(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:
    facts, whose = event.facts, _whose(event, names, phrases)
    what = phrases(f"title.{(EventKind.CANARY_HIT if _follows_nothing(facts) else event.kind).value}")
    if "verdict" not in facts:
        records = phrases.count("record", HitTotals.of_facts(facts, names).records)
        return phrases("title.leak_records", what=what, records=records, whose=whose)
    if facts.get("added") and not best_estimate(facts):
        return phrases("title.leak_added", what=what, added=_added_text(facts, phrases), whose=whose)
    known = phrases.count("known", facts["known"])
    return phrases("title.leak_new", what=what, new=new_people_text(facts, phrases), whose=whose, known=known)


def _follows_nothing(facts: Mapping[str, Any]) -> bool:
    """Whether nobody in the data is known, so that it goes on with nothing that was released before as far as one sees."""
    return "verdict" in facts and not (facts["known"] or facts.get("parents") or facts.get("mistyped"))


def _shared_people(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:
    facts, whose = event.facts, _whose(event, names, phrases)
    if "verdict" not in facts:
        return phrases("title.shared_plain", whose=whose)
    is_others = facts.get("origin", {}).get("answer") == "another's"
    # the bounds are in the field about people, and the line is long
    further = phrases.count("new_person", best_estimate(facts))
    if facts.get("added"):
        further += f", {_added_text(facts, phrases)}"
    return phrases(
        "title.shared",
        origin=phrases("title.origin_other" if is_others else "title.origin_open"),
        known=facts["known"],
        people=phrases.count("person", facts["people"]),
        whose=whose,
        further=further,
    )


def _repost(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:
    facts, whose = event.facts, _whose(event, names, phrases)
    if "baseline" in facts:
        share, release = phrases.percent(facts["share"]), _name(str(facts["baseline"]))
        key = "title.all_registered" if facts.get("whole") else "title.part_registered"
        return phrases(key, share=share, release=release)
    if "verdict" not in facts:
        return phrases("title.repost_plain", whose=whose)
    people = phrases.count("person", facts["people"])
    return phrases(
        "title.repost", known=facts["known"], people=people, whose=whose, new=new_people_text(facts, phrases)
    )


def _preview(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - a preview knows no client
    facts = event.facts
    if facts.get("of_event"):
        return phrases("title.correction", verdict=full_verdict_text(facts, phrases))
    if facts.get("how") == "7z, locked":
        return phrases("title.preview_locked")
    if "files" not in facts:
        return phrases("title.preview_list")
    files, verdict = phrases.count("file", facts["files"]), verdict_text(facts["verdict"], phrases)
    return phrases("title.preview", known=facts["files_known"], files=files, verdict=verdict)


def _listing_changed(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    changed = [_name(changed_text(each, phrases)) for each in event.facts.get("changed", ())]
    if not changed:
        return phrases("title.changed_plain")
    more = phrases("and_more", n=len(changed) - 3) if changed[3:] else ""
    return phrases("title.changed", changes=", ".join(changed[:3]), more=more)


def _announcement(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    deadlines, rules = event.facts.get("deadlines", ()), event.facts.get("rules", ())
    about = phrases("title.announced_rules", rules=phrases.count("rule", len(rules))) if rules else ""
    if deadlines:
        return phrases("title.announced", time=deadline_text(deadlines[0], phrases), about=about)
    if rules:
        return phrases("title.words", rules=", ".join(_name(rule_text(rule, phrases)) for rule in rules[:3]))
    return phrases("title.announced_plain")


def _unexamined(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    facts, source = event.facts, _at(event, phrases("title.a_source"))
    if facts.get("subject") == "linked files":
        posts, files = phrases.count("post", facts["posts"]), phrases.count("file", facts["files"])
        return phrases("title.linked_files", posts=posts, source=source, files=files)
    if "posts" in facts:
        what = phrases.count("post", facts["posts"])
    elif "samples" in facts:
        what = phrases.count("part" if "reason" in facts else "sample", facts["samples"])
    else:
        what = phrases("title.some_data")
    walled = facts.get("problems") == ["walled"]
    if "samples" in facts and "reason" not in facts and not walled:
        return phrases("title.unexamined_part", what=what, source=source)
    return phrases("title.walled" if walled else "title.unexamined", what=what, source=source)


def _gap(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    lost = event.facts.get("subject") == "lost posts"
    return phrases("title.gap_lost" if lost else "title.gap", source=_at(event, phrases("title.a_source")))


def _source_silent(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    source, age = _at(event, phrases("title.the_source")), event.facts.get("age_seconds")
    if age:
        days = f"{age / 86400:.1f}".replace(".", phrases.decimal)
        return phrases("title.no_new_post_for", source=source, days=days)
    if age is not None or event.facts.get("subject") == "new posts":
        return phrases("title.no_new_post", source=source)
    return phrases("title.silent", source=source)


def _source_changed(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    facts, rows = event.facts, ""
    if "min_rows" in facts:
        rows = phrases("title.rows_expected", rows=phrases.count("row", facts["rows"]), least=facts["min_rows"])
    return phrases("title.source_changed", source=_at(event, phrases("title.the_source")), rows=rows)


def _tor_down(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    return phrases("title.tor_down")


def _delivery_failed(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    channel = _name(str(event.facts.get("channel") or event.facts.get("subject") or ""))
    return phrases("title.delivery_failed", channel=channel)


def _selftest_failed(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    subject = _name(subject_text(str(event.facts.get("subject", "")), phrases))
    if event.facts.get("subject") == "examiner":
        return phrases("title.selftest_examiner")
    return phrases("title.selftest_of", subject=subject) if subject else phrases("title.selftest")


def _unacknowledged(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    facts = event.facts
    if "events" not in facts:
        return phrases("title.unacknowledged_plain")
    alerts = phrases.count("critical_alert", facts["events"])
    return phrases("title.unacknowledged", alerts=alerts, since=phrases.time(facts["began"]))


def _digest(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    facts = event.facts
    kinds = sorted(facts.get("kinds", {}).items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(
        phrases("digest.count", what=phrases.get(f"kind.{kind}", kind), n=number) for kind, number in kinds[:MAX_KINDS]
    )
    return phrases(
        "title.digest",
        alerts=phrases.count("alert", facts.get("events", 0)),
        critical=facts.get("severities", {}).get(Severity.CRITICAL.value, 0),
        kinds=named,
    )


def _recovered(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    if event.facts.get("trial"):
        return phrases("title.trial")
    where = _name(event.source) or _name(str(event.facts.get("subject", "")))
    of = str(event.facts.get("of", ""))
    if of == EventKind.GAP and event.facts.get("subject") == "lost posts":
        of = "lost_posts"
    ended = phrases.get(f"ended.{of}", "")
    title = phrases("title.recovered_what", what=ended) if ended else phrases("title.recovered")
    return title + (f" ({where})" if where else "")


def _heartbeat(event: Event, names: Mapping[str, str], phrases: Phrases) -> str:  # noqa: ARG001 - as all do
    """`Watching: 199 sources fine, 1 late, 0 blind; 0 alerts waiting, 0 refused; 34 posts examined since …`."""
    facts = event.facts
    fine = phrases.count("fine_source", int(facts.get("fine", 0)))
    since = phrases.time(str(facts.get("since", "")))
    line = [
        phrases("title.heartbeat_sources", fine=fine, late=facts.get("late", 0), blind=facts.get("blind", 0)),
        phrases(
            "title.heartbeat_outbox",
            waiting=phrases.count("alert", int(facts.get("waiting", 0))),
            refused=facts.get("refused", 0),
        ),
        # the last one is cut first if a name of failing work is long
        phrases("title.heartbeat_posts", posts=phrases.count("post", int(facts.get("examined", 0))), since=since),
    ]
    wrong = facts.get("failing", ())
    begin = (
        phrases("title.heartbeat_failing", work=_name(", ".join(map(str, wrong))))
        if wrong
        else phrases("title.heartbeat")
    )
    return f"{begin} {phrases('semicolon').join(line)}"


_HEADLINES: Mapping[EventKind, Headline] = {
    EventKind.FURTHER_RELEASE: _leak,
    EventKind.CANARY_HIT: _leak,
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
    EventKind.UNACKNOWLEDGED: _unacknowledged,
    EventKind.DIGEST: _digest,
    EventKind.RECOVERED: _recovered,
    EventKind.HEARTBEAT: _heartbeat,
}
