"""Incidents of a home, in `incidents.toml`: what an attacker's threat is about; its releases name it themselves.

An operator may edit the file by hand: what is added by command leaves the rest of it, comments too, as it was.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from data.errors import ConfigError, InputError, StoreError, StoreFull
from data.model import Incident
from data.sources.expression_checks import check_expression

FILE = "incidents.toml"
_LISTS = ("clients", "sources", "words", "expressions", "yara")
_ALWAYS = ("clients", "sources", "words")
RULES = "rules"
"""Folder of the home that holds the YARA files of incidents."""
_RULE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.yara?")
_HEAD = "# What the team works on, one table each: [incidents.ID]. See: tocsin incident --help\n"


def slug(name: str) -> str:
    """A name as an id: lower-case ASCII letters, digits and dashes, at most 64; raises InputError if none is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9]+", "-", plain)[:64].strip("-")
    if not made:
        raise InputError("a name needs at least one letter or digit", hint="choose a name like part-1")
    return made


def read_incidents(home: Path) -> list[Incident]:
    """All incidents, in the order of the file; none where there is no file.

    Raises:
        ConfigError: the file is not TOML, or an incident has unknown or wrong fields.
    """
    try:
        tree = tomllib.loads((home / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{FILE}: {error}", hint=f"correct {home / FILE}") from error
    except OSError as error:
        raise ConfigError(f"{FILE} cannot be read: {error.strerror}", hint="check its permissions") from error
    extra = tree.keys() - {"incidents"}
    if extra:
        raise ConfigError(f"{FILE}: {min(extra)}: no such table", hint="incidents are tables [incidents.ID]")
    return [_incident(name, value) for name, value in tree.get("incidents", {}).items()]


def _incident(name: str, value: object) -> Incident:
    if not isinstance(value, dict):
        raise ConfigError(f"{FILE}: incidents.{name} is not a table", hint="write [incidents.ID]")
    rest = dict(value)
    title = rest.pop("name", name)
    lists = {field: rest.pop(field, []) for field in _LISTS}
    if rest:
        raise ConfigError(f"{FILE}: incidents.{name}.{min(rest)}: no such field", hint=f"name, {', '.join(_LISTS)}")
    for field, items in lists.items():
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{FILE}: incidents.{name}.{field} is not a list of texts", hint='write ["a", "b"]')
    for item in lists["expressions"]:
        try:
            check_expression(item)
        except ValueError as error:
            raise ConfigError(f"{FILE}: incidents.{name}.expressions: {item}: {error}") from error
    for item in lists["yara"]:
        if not _RULE_FILE.fullmatch(item):
            raise ConfigError(
                f"{FILE}: incidents.{name}.yara: {item} is no name of a rule file",
                hint=f"letters, digits, dots and dashes, ending in .yar; it lies in the home's {RULES}/",
            )
    if not isinstance(title, str):
        raise ConfigError(f"{FILE}: incidents.{name}.name is not a text", hint="put it in quotes")
    return Incident(name, title, **{field: tuple(items) for field, items in lists.items()})


def put_incident(
    home: Path,
    name: str,
    *,
    clients: Sequence[str] = (),
    sources: Sequence[str] = (),
    words: Sequence[str] = (),
    expressions: Sequence[str] = (),
    yara: Sequence[str] = (),
) -> Incident:
    """Add an incident, or add clients, sources, words and rules to the one of this name; returns what it is now.

    Raises:
        InputError: the name gives no id, or an expression is none. ConfigError: the file cannot be understood.
        StoreFull, StoreError: it cannot be written.
    """
    key = slug(name)
    for item in expressions:
        try:
            check_expression(item)
        except ValueError as error:
            raise InputError(f"{item}: {error}", hint="see docs/incidents.md") from error
    with _locked(home):
        before = {incident.id: incident for incident in read_incidents(home)}
        path = home / FILE
        try:
            document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else _HEAD)
        except TOMLKitError as error:
            raise ConfigError(f"{FILE}: {error}", hint=f"correct {path}") from error
        tables = document.setdefault("incidents", tomlkit.table(is_super_table=True))
        table = tables.setdefault(key, tomlkit.table())
        table.setdefault("name", name)
        for field, given in zip(_LISTS, (clients, sources, words, expressions, yara), strict=True):
            held = getattr(before[key], field) if key in before else ()
            added = [item for item in dict.fromkeys(given) if item not in held]
            if added or (field not in table and field in _ALWAYS):
                table[field] = [*held, *added]
        _write(path, tomlkit.dumps(document))
        return next(incident for incident in read_incidents(home) if incident.id == key)


def find_incident(incidents: Sequence[Incident], name: str) -> Incident:
    """The incident of an id or a name; raises InputError."""
    for incident in incidents:
        if name in (incident.id, incident.name):
            return incident
    raise InputError(f"there is no incident {name}", hint="see: tocsin incident list")


def incident_of(incidents: Sequence[Incident], source: str) -> Incident | None:
    """The incident that names a source, else the only one there is, else None."""
    for incident in incidents:
        if source in incident.sources:
            return incident
    return incidents[0] if len(incidents) == 1 else None


def keep_rules(home: Path, file: Path, text: str) -> str:
    """Copy a YARA file into the home's `rules/`, in the place of one of its name; returns the name.

    Raises:
        InputError: its name cannot be kept. StoreFull, StoreError: it cannot be written.
    """
    if not _RULE_FILE.fullmatch(file.name):
        raise InputError(
            f"{file.name} is no name for a rule file", hint="letters, digits, dots and dashes, ending in .yar"
        )
    with _locked(home):
        (home / RULES).mkdir(mode=0o700, exist_ok=True)
        _write(home / RULES / file.name, text)
    return file.name


def read_rules(home: Path, incident: Incident) -> tuple[dict[str, str], dict[str, str]]:
    """The YARA files of an incident by name, and those that cannot be read with the reason."""
    found: dict[str, str] = {}
    lost: dict[str, str] = {}
    for name in incident.yara:
        try:
            found[name] = (home / RULES / name).read_text(encoding="utf-8")
        except OSError as error:
            lost[name] = f"{RULES}/{name} cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            lost[name] = f"{RULES}/{name} is no UTF-8 text"
    return found, lost


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.new")
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:  # noqa: PTH123 - its mode
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    aside.replace(path)


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One writer at a time; errors of the file system become ours."""
    try:
        descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull("no space is left for the incident", hint="make room; nothing was changed") from error
        raise StoreError(f"{FILE} cannot be written: {error.strerror}", hint=f"check {home}") from error
