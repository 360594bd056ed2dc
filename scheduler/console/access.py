"""Who may use the console: named people with a role, their one-time sign-in links, tokens for programs, and sessions.

Only SHA-256 digests of the secrets are stored, so that a copy of the database signs nobody in. All that a person has is
revoked by the person's name. What happens here is recorded in the audit chain.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from data.errors import InputError
from data.store.database import stamp
from data.store.store import Store
from scheduler.delivery.decisions import checked_owner

LINK_LASTS = timedelta(minutes=15)
SESSION_LASTS = timedelta(hours=12)
TOKEN_LASTS = timedelta(days=365)
# Rows that ended so long ago are deleted when the next one is made.
_FORGOTTEN_AFTER = timedelta(days=30)


class Role(StrEnum):
    """What a person may do; each role may do what those before it may."""

    VIEW = "view"
    TRIAGE = "triage"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """0 for view up to 2 for admin."""
        return list(Role).index(self)

    def may(self, needed: Role) -> bool:
        """Whether this role is at least the one that is needed."""
        return self.rank >= needed.rank


class Credential(StrEnum):
    """How a person shows who it is."""

    LINK = "link"
    SESSION = "session"
    TOKEN = "token"  # noqa: S105 - a word, no secret


_LASTS = {Credential.LINK: LINK_LASTS, Credential.SESSION: SESSION_LASTS, Credential.TOKEN: TOKEN_LASTS}


@dataclass(frozen=True, slots=True)
class Person:
    """Who makes a request: `id` of the session or token, `name`, and `role`."""

    id: str
    name: str
    role: Role


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def grant(store: Store, name: str, role: Role, kind: Credential, by: str, now: datetime) -> str:
    """Make a link or a token; returns its secret, which is stored nowhere.

    Args:
        store: of the home.
        name: of the person or program; it signs all that is done with it.
        role: what it may do.
        kind: a link signs in once, a token with every request.
        by: who grants it.
        now: aware UTC.

    Raises:
        InputError: the name is no name.
    """
    with store.together():
        secret = _insert(store, checked_owner(name), role, kind, now)
        store.audit.record(by, f"console {kind}", f"for {name} as {role}", now)
    return secret


def sign_in(store: Store, secret: str, now: datetime) -> str | None:
    """Use a one-time link; returns the secret of a new session, or None if the link is unknown, used, old or revoked."""
    with store.together():
        row = _valid(store, secret, (Credential.LINK,), now)
        if row is None:
            return None
        store.database.execute("update console_access set used = ? where id = ?", (stamp(now), row["id"]))
        session = _insert(store, row["name"], Role(row["role"]), Credential.SESSION, now)
        store.audit.record(row["name"], "signed in", f"to the console as {row['role']}", now)
    return session


def person_of(store: Store, secret: str, kind: Credential, now: datetime) -> Person | None:
    """The person whose session or token this is; None for nobody. Only reads."""
    row = _valid(store, secret, (kind,), now)
    return None if row is None else Person(row["id"], row["name"], Role(row["role"]))


def sign_out(store: Store, person: Person, now: datetime) -> None:
    """End a session."""
    with store.together():
        store.database.execute("update console_access set revoked = ? where id = ?", (stamp(now), person.id))
        store.audit.record(person.name, "signed out", "of the console", now)


def revoke(store: Store, name: str, by: str, now: datetime) -> int:
    """Revoke all links, tokens and sessions of a person; returns how many there were."""
    with store.together():
        count = store.database.execute(
            "update console_access set revoked = ?1 where name = ?2 and revoked is null and expires > ?1"
            " and (kind <> 'link' or used is null)",
            (stamp(now), name),
        ).rowcount
        if count:
            store.audit.record(by, "console revoked", f"{count} of {name}", now)
    return int(count)


def granted(store: Store, now: datetime) -> list[dict[str, Any]]:
    """What is valid: `name`, `role`, `kind`, `made` and `expires` of each link, token and session, newest first."""
    return store.database.rows(
        "select name, role, kind, made, expires from console_access where revoked is null and expires > ?"
        " and (kind <> 'link' or used is null) order by made desc, id",
        stamp(now),
    )


def require_granted(store: Store, name: str, now: datetime) -> None:
    """Raise InputError unless the person has anything that can be revoked."""
    names = sorted({row["name"] for row in granted(store, now)})
    if name not in names:
        raise InputError(
            f"nobody called '{name}' may use the console; those who may: {', '.join(names) or 'nobody'}",
            hint="see: tocsin console people",
        )


def _insert(store: Store, name: str, role: Role, kind: Credential, now: datetime) -> str:
    secret = secrets.token_urlsafe(32)
    store.database.execute("delete from console_access where expires < ?", (stamp(now - _FORGOTTEN_AFTER),))
    store.database.insert(
        "console_access",
        {
            "id": secrets.token_hex(8),
            "name": name,
            "role": role.value,
            "kind": kind.value,
            "digest": _digest(secret),
            "made": stamp(now),
            "expires": stamp(now + _LASTS[kind]),
        },
    )
    return secret


def _valid(store: Store, secret: str, kinds: tuple[Credential, ...], now: datetime) -> dict[str, Any] | None:
    row = store.database.first_row(
        "select id, name, role, kind, expires, used, revoked from console_access where digest = ?", _digest(secret)
    )
    if row is None or row["kind"] not in kinds or row["revoked"] is not None or row["expires"] <= stamp(now):
        return None
    return None if row["kind"] == Credential.LINK and row["used"] is not None else row
