"""The numbered migrations that bring a database to the schema that `data.store` expects."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from data.exact_numbers import round_stored_numbers

if TYPE_CHECKING:
    from sqlite_utils import Database

    Step = Callable[[Database], None]

STEPS: dict[str, Step] = {}
"""The migrations by name, in order."""
_SET = "tocsin"
# Migrations that remove what must not rest on a disk: no copy is kept of a database that still needs one of them.
REMOVING = frozenset({"0011"})


def applied(connection: sqlite3.Connection) -> list[str]:
    """The names of the migrations that a database has had, in their order.

    sqlite_utils keeps them; it is not loaded for this, since it takes as long as all else that `tocsin status` does.
    """
    if not connection.execute("select 1 from sqlite_master where name = '_sqlite_migrations'").fetchone():
        return []
    rows = connection.execute("select name from _sqlite_migrations where migration_set = ? order by rowid", (_SET,))
    return [name for (name,) in rows]


def apply(connection: sqlite3.Connection, *, stop_before: str | None = None) -> None:
    """Bring a database up to date, each migration in a transaction; `stop_before` names the first that is left out."""
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(_SET)
    for name, step in STEPS.items():
        migrations(name=name)(step)
    migrations.apply(Database(connection, recursive_triggers=False), stop_before=stop_before)


def _step(name: str) -> Callable[[Step], Step]:
    def add(function: Step) -> Step:
        STEPS[name] = function
        return function

    return add


@_step("0001")
def first(db: Database) -> None:
    """Sources, crawls, posts, findings, events, alerts, states, incidents and the audit chain."""
    for statement in FIRST.split(";\n"):
        if statement.strip():
            db.execute(statement)


@_step("0002")
def handed(db: Database) -> None:
    """Mark posts that came by a link from another source and that no listing of their own source has shown."""
    db.execute("alter table post add column handed integer not null default 0")
    db.execute("create index post_handed on post (source) where handed = 1 and seen_version = ''")


@_step("0003")
def selftests(db: Database) -> None:
    """The latest result of each self-test: without one, the state is unknown, not good."""
    db.execute("create table selftest (name text primary key, at text not null, passed integer not null) strict")


@_step("0004")
def traits(db: Database) -> None:
    """Fields of posts, to find what changed, and how often each field of a source changes by itself."""
    for column in ("traits", "seen_traits", "page_traits", "examined"):
        db.execute(f"alter table post add column {column} text not null default ''")
    db.execute(
        "create table look (source text not null, field text not null, looks integer not null,"
        " changes integer not null, primary key (source, field)) strict"
    )


@_step("0005")
def deadlines(db: Database) -> None:
    """Times that posts announce. Incidents are kept in incidents.toml; their table was never used."""
    db.execute(
        "create table deadline (post text not null, phrase text not null, source text not null, at text not null,"
        " exact integer not null, first_seen text not null, primary key (post, phrase)) strict"
    )
    db.execute("create index deadline_source on deadline (source, at)")
    db.execute("drop table incident")


@_step("0006")
def sightings(db: Database) -> None:
    """Which canaries were sighted at which source, with the first and the last post and time."""
    db.execute(
        "create table sighting (source text not null, bundle text not null, canaries blob not null,"
        " first_seen text not null, first_post text not null, first_address text not null,"
        " last_seen text not null, last_post text not null, last_address text not null,"
        " primary key (source, bundle)) strict"
    )


@_step("0007")
def prints(db: Database) -> None:
    """Fingerprints of the files of known bodies of data."""
    db.execute(
        "create table body (id integer primary key, kind text not null, ref text not null, part integer not null,"
        " at text not null, files integer not null, whole integer not null, unique (kind, ref, part)) strict"
    )
    db.execute(
        "create table print (print integer not null, body integer not null references body (id) on delete cascade,"
        " primary key (print, body)) strict, without rowid"
    )
    db.execute("create index print_body on print (body)")


@_step("0008")
def keyed_audit(db: Database) -> None:
    """Macs of the audit chain, its keyed head, and the digest of the sealed evidence of each finding."""
    db.execute("alter table audit add column key integer not null default -1")
    db.execute("alter table audit add column mac text not null default ''")
    db.execute(
        "create table audit_head (seq integer not null, key integer not null, digest text not null, mac text not null)"
        " strict"
    )
    db.execute("alter table finding add column evidence text not null default ''")


@_step("0009")
def parts_of_posts(db: Database) -> None:
    """Replies and files of threads that were examined, and the number of the last page of a thread that was read."""
    db.execute("create table part (id text primary key, version text not null, post text not null) strict")
    db.execute("alter table post add column last_page integer not null default 0")


@_step("0010")
def releases(db: Database) -> None:
    """Which releases the home should hold; the next command that compares samples adds those that are there."""
    db.execute("create table release (id text primary key) strict")


@_step("0011")
def rounded_numbers(db: Database) -> None:
    """Numbers of findings, events and posts that earlier versions stored exactly keep three digits."""
    round_stored_numbers(db)


@_step("0012")
def indexes(db: Database) -> None:
    """Posts by source and alerts that are not sent: no query about them reads the other rows of these tables."""
    db.execute("create index post_source on post (source, settled, handed, first_seen)")
    db.execute("create index alert_open on alert (state, event) where state <> 'sent'")


@_step("0013")
def revisits(db: Database) -> None:
    """Sealed posts whose own page is read again, and whether they had hits."""
    db.execute("alter table post add column visit blob")
    db.execute("alter table post add column hit integer not null default 0")
    db.execute("create index post_visit on post (source, examined) where visit is not null")


@_step("0016")
def triage(db: Database) -> None:
    """What people decided about events. Events that were acknowledged stay so."""
    db.execute(
        "create table triage (event text primary key references event (id) on delete cascade, state text not null,"
        " owner text not null, who text not null, at text not null, reason text not null, note text not null,"
        " until text, head text not null) strict"
    )
    db.execute("create index triage_head on triage (head) where head <> ''")
    db.execute("create index event_post on event (post) where post <> ''")
    db.execute("create index event_critical on event (at) where severity = 'critical'")
    db.execute(
        "insert into triage select id, 'acknowledged', '', '', acked, '', '', null, '' from event where acked is not null"
    )


@_step("0017")
def robots(db: Database) -> None:
    """robots.txt files of a source, sealed, which are learned once a day."""
    db.execute("create table robots (source text primary key, sealed blob not null) strict")


@_step("0018")
def copies(db: Database) -> None:
    """A copy of all rows in indexes, with which SQLite's integrity check compares them."""
    tables = db.execute("select name from sqlite_master where type = 'table' and name not like '%sqlite_%'").fetchall()
    for (table,) in tables:
        if table != "print":
            copy_rows(db, table)


@_step("0024")
def linked_hosts(db: Database) -> None:
    """Hosts to which posts link and that no source declares; their names are sealed, those of public services readable."""
    db.execute("create table linked_host (id text primary key, name text not null, sealed blob not null) strict")
    db.execute(
        "create table host_link (source text not null, host text not null, post text not null, files integer not null,"
        " at text not null, primary key (source, host, post)) strict"
    )
    for table in ("linked_host", "host_link"):
        copy_rows(db, table)


@_step("0026")
def console(db: Database) -> None:
    """Who may use the console, and indexes of the events that nobody has decided about."""
    db.execute(
        "create table console_access (id text primary key, name text not null, role text not null, kind text not null,"
        " digest text not null unique, made text not null, expires text not null, used text, revoked text) strict"
    )
    copy_rows(db, "console_access")
    db.execute("create index event_undecided on event (at, kind, severity, incident, source) where acked is null")
    db.execute("create index triage_open on triage (state) where state in ('acknowledged', 'snoozed')")


@_step("0027")
def threads(db: Database) -> None:
    """Events that continue another one, what chats call their messages, and alerts that a digest tells."""
    db.execute("alter table event add column thread text not null default ''")
    # the id of the release that the sample of an event was registered as
    db.execute("alter table event add column release text not null default ''")
    db.execute("alter table alert add column remote text not null default ''")
    db.execute("alter table alert add column digest text not null default ''")
    db.execute("create index event_thread on event (thread) where thread <> ''")
    db.execute("create index event_release on event (release) where release <> ''")
    db.execute("create index alert_digest on alert (digest, channel) where digest <> ''")
    db.execute("create index alert_sent on alert (channel, sent) where sent is not null")
    copy_rows(db, "event")
    copy_rows(db, "alert")


@_step("0028")
def pace(db: Database) -> None:
    """How fast each source posts, how many rows its listing has, and its last crawl that did not end well."""
    db.execute(
        "create table pace (source text primary key, at text not null, days real not null, posts real not null,"
        " weight real not null, recent real not null, recent_weight real not null, rows integer not null) strict"
    )
    db.execute(
        "create table trouble (source text primary key, at text not null, code text not null, reason text not null)"
        " strict"
    )
    for table in ("pace", "trouble"):
        copy_rows(db, table)


@_step("0029")
def seen(db: Database) -> None:
    """Sealed tags of the values of samples that nothing tied to a client, for canaries that are enrolled later."""
    db.execute(
        "create table seen (post text not null, number integer not null, source text not null, address text not null,"
        " at text not null, sealed blob not null, primary key (post, number)) strict"
    )
    db.execute("create index seen_at on seen (at)")
    copy_rows(db, "seen")


@_step("0033")
def listing_shapes(db: Database) -> None:
    """Counts of the filled fields of listings, by which a redesigned site is noticed."""
    db.execute(
        "create table listing_shape (source text not null, field text not null, definition text not null,"
        " pages integer not null, filled integer not null, numbers integer not null, words integer not null,"
        " primary key (source, field)) strict"
    )
    copy_rows(db, "listing_shape")


@_step("0034")
def groups_of_sources(db: Database) -> None:
    """Platform and road of each source: sources that share one may fail for one reason."""
    db.execute("alter table source add column platform text not null default ''")
    db.execute("alter table source add column via text not null default ''")
    copy_rows(db, "source")


@_step("0039")
def sources_alone(db: Database) -> None:
    """Why a source is crawled in a process of its own; '' for none."""
    db.execute("alter table source add column alone text not null default ''")
    copy_rows(db, "source")


@_step("0040")
def lists_of_events(db: Database) -> None:
    """Indexes for lists, searches and reports over many events: what they look at stands in an index of its own.

    A row of an event holds its facts, up to some hundred KiB, so that a look at all rows takes seconds.
    """
    db.execute("create index event_listed on event (at, acked, severity, kind, incident, source, address, id)")
    # text instead of JSON functions, which fail over a damaged row; what others wrote cannot hold an unescaped quote
    db.execute("create index event_reminder on event (at) where instr(facts, '\"reminder\": ') > 0")
    db.execute("create index alert_event on alert (event, sent)")
    db.execute("create index crawl_looked on crawl (source, started, state)")
    db.execute("create index crawl_lost on crawl (source) where instr(counts, '\"gap\": true') > 0")
    db.execute("create index audit_action on audit (action)")
    db.execute("create index audit_detail on audit (detail)")


@_step("0041")
def time_stamps(db: Database) -> None:
    """Time stamps of heads of the record (RFC 3161)."""
    db.execute("create table stamp (head text primary key, at text not null, token blob not null) strict")
    copy_rows(db, "stamp")


@_step("0047")
def take_links(db: Database) -> None:
    """One-time links of messages by which an alert is acknowledged; digests of their secrets alone."""
    db.execute(
        "create table take_link (digest text primary key, event text not null, channel text not null, expires text not null,"
        " used text) strict"
    )
    db.execute("create index take_link_event on take_link (event)")
    copy_rows(db, "take_link")


@_step("0048")
def surges(db: Database) -> None:
    """How much of what a source posts comes in surges, averaged as its usual rate."""
    db.execute("alter table pace add column surged real not null default 0")
    copy_rows(db, "pace")


# What is sealed is authenticated when it is read, and is most of a row.
SEALED = {"due", "visit", "sealed"}


def copy_rows(db: Database, table: str) -> None:
    """Keep a copy of the rows of a table in an index of all its columns; a migration that adds a column calls it again.

    A bit that flips in a row or in its copy makes the two differ, which SQLite's integrity check reports. Table `print`
    needs none: it has no row ids, so that each of its two orders holds all of its columns.
    """
    columns = [row[1] for row in db.execute(f"pragma table_info([{table}])") if row[1] not in SEALED]
    db.execute(f"drop index if exists [{table}_copy]")
    db.execute(f"create index [{table}_copy] on [{table}] ({', '.join(columns)})")


# Times are ISO 8601 in UTC with microseconds, so that text order is time order.
FIRST = """
create table source (
    name text primary key, digest text not null, enabled integer not null, added text not null,
    failures integer not null default 0
) strict;
create table crawl (
    id text primary key, source text not null, reason text not null, state text not null,
    queued text not null, started text, ended text, owner text, lease_until text, fence integer not null default 0,
    walked integer not null default 0, counts text not null default '{}', error text not null default ''
) strict;
create index crawl_source on crawl (source, queued);
create index crawl_state on crawl (state);
create table post (
    id text primary key, source text not null, address text not null, version text not null, seen_version text not null,
    settled integer not null default 0, due blob, first_seen text not null, last_seen text not null,
    first_crawl text not null, failures integer not null default 0
) strict;
create index post_due on post (source) where due is not null;
create table finding (
    id text primary key, post text not null, crawl text not null, at text not null, body text not null,
    fingerprint text not null
) strict;
create index finding_post on finding (post);
create index finding_fingerprint on finding (fingerprint) where fingerprint <> '';
create table event (
    id text primary key, kind text not null, severity text not null, at text not null, source text not null,
    incident text not null, post text not null, address text not null, facts text not null,
    sightings integer not null default 1, last_seen text not null, acked text
) strict;
create index event_at on event (at);
create table alert (
    id text primary key, event text not null references event (id), channel text not null, state text not null,
    attempts integer not null default 0, next_try text not null, last_status integer not null default 0,
    reason text not null default '', sent text
) strict;
create index alert_due on alert (next_try) where state in ('due', 'deferred');
create table state (
    source text not null, kind text not null, subject text not null, began text not null, told text not null,
    event text not null, primary key (source, kind, subject)
) strict;
create table incident (id text primary key, name text not null unique, body text not null, added text not null) strict;
create table audit (
    seq integer primary key, at text not null, actor text not null, action text not null, detail text not null,
    digest text not null
) strict
"""
