"""The numbered migrations that bring a database to the schema that `data.store` expects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlite_utils.migrations import Migrations

from data.exact_numbers import round_stored_numbers

if TYPE_CHECKING:
    from sqlite_utils import Database

MIGRATIONS = Migrations("tocsin")


@MIGRATIONS(name="0001")
def first(db: Database) -> None:
    """Sources, crawls, posts, findings, events, alerts, states, incidents and the audit chain."""
    for statement in FIRST.split(";\n"):
        if statement.strip():
            db.execute(statement)


@MIGRATIONS(name="0002")
def handed(db: Database) -> None:
    """Mark posts that came by a link from another source and that no listing of their own source has shown."""
    db.execute("alter table post add column handed integer not null default 0")
    db.execute("create index post_handed on post (source) where handed = 1 and seen_version = ''")


@MIGRATIONS(name="0003")
def selftests(db: Database) -> None:
    """The latest result of each self-test: without one, the state is unknown, not good."""
    db.execute("create table selftest (name text primary key, at text not null, passed integer not null) strict")


@MIGRATIONS(name="0004")
def traits(db: Database) -> None:
    """Fields of posts, to find what changed, and how often each field of a source changes by itself."""
    for column in ("traits", "seen_traits", "page_traits", "examined"):
        db.execute(f"alter table post add column {column} text not null default ''")
    db.execute(
        "create table look (source text not null, field text not null, looks integer not null,"
        " changes integer not null, primary key (source, field)) strict"
    )


@MIGRATIONS(name="0005")
def deadlines(db: Database) -> None:
    """Times that posts announce. Incidents are kept in incidents.toml; their table was never used."""
    db.execute(
        "create table deadline (post text not null, phrase text not null, source text not null, at text not null,"
        " exact integer not null, first_seen text not null, primary key (post, phrase)) strict"
    )
    db.execute("create index deadline_source on deadline (source, at)")
    db.execute("drop table incident")


@MIGRATIONS(name="0006")
def sightings(db: Database) -> None:
    """Which canaries were sighted at which source, with the first and the last post and time."""
    db.execute(
        "create table sighting (source text not null, bundle text not null, canaries blob not null,"
        " first_seen text not null, first_post text not null, first_address text not null,"
        " last_seen text not null, last_post text not null, last_address text not null,"
        " primary key (source, bundle)) strict"
    )


@MIGRATIONS(name="0007")
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


@MIGRATIONS(name="0008")
def keyed_audit(db: Database) -> None:
    """Macs of the audit chain, its keyed head, and the digest of the sealed evidence of each finding."""
    db.execute("alter table audit add column key integer not null default -1")
    db.execute("alter table audit add column mac text not null default ''")
    db.execute(
        "create table audit_head (seq integer not null, key integer not null, digest text not null, mac text not null)"
        " strict"
    )
    db.execute("alter table finding add column evidence text not null default ''")


@MIGRATIONS(name="0009")
def parts_of_posts(db: Database) -> None:
    """Replies and files of threads that were examined, and the number of the last page of a thread that was read."""
    db.execute("create table part (id text primary key, version text not null, post text not null) strict")
    db.execute("alter table post add column last_page integer not null default 0")


@MIGRATIONS(name="0010")
def releases(db: Database) -> None:
    """Which releases the home should hold; the next command that compares samples adds those that are there."""
    db.execute("create table release (id text primary key) strict")


@MIGRATIONS(name="0011")
def rounded_numbers(db: Database) -> None:
    """Numbers of findings, events and posts that earlier versions stored exactly keep three digits."""
    round_stored_numbers(db)


@MIGRATIONS(name="0012")
def indexes(db: Database) -> None:
    """Posts by source and alerts that are not sent: no query about them reads the other rows of these tables."""
    db.execute("create index post_source on post (source, settled, handed, first_seen)")
    db.execute("create index alert_open on alert (state, event) where state <> 'sent'")


@MIGRATIONS(name="0013")
def revisits(db: Database) -> None:
    """Sealed posts whose own page is read again, and whether they had hits."""
    db.execute("alter table post add column visit blob")
    db.execute("alter table post add column hit integer not null default 0")
    db.execute("create index post_visit on post (source, examined) where visit is not null")


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
