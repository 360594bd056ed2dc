"""The incidents of a home, in `incidents.toml`: reading, adding and extending them.

An operator may edit the file by hand: commands add to it and leave everything else, including comments, as it was. The
baselines of an incident are not listed here: the manifest of each release names its incident.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from data.durable_files import file_errors_as_ours, locked_folder, replace_file
from data.errors import ConfigError, InputError
from data.model import Incident
from data.settings.permissions import is_special, repair_command, writable_by_others
from data.sources.expression_checks import check_expression

INCIDENTS_FILE = "incidents.toml"
_LIST_FIELDS = ("clients", "sources", "words", "expressions", "yara")
_ALWAYS_WRITTEN = ("clients", "sources", "words")
RULES_FOLDER = "rules"
"""Folder of the home that holds the YARA files of incidents."""
_RULE_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.yara?")
_FILE_HEADER = (
    "# The incidents that the team works on, one table for each: [incidents.ID]. See: tocsin incident --help\n"
)


def slug(name: str) -> str:
    """The id for a name: at most 64 lower-case ASCII letters, digits and dashes; raises InputError if none remain."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    result = re.sub(r"[^a-z0-9]+", "-", plain)[:64].strip("-")
    if not result:
        raise InputError("a name must contain at least one letter or digit", hint="choose a name like part-1")
    return result


def read_incidents(home: Path) -> list[Incident]:
    """All incidents, in the order of the file; none if the file does not exist.

    Raises:
        ConfigError: other users may write the file, it is not TOML, or an incident has unknown or invalid fields.
    """
    try:
        if writable_by_others(home / INCIDENTS_FILE):
            raise ConfigError(
                f"{INCIDENTS_FILE} can be written by other users, who could so decide what is reported",
                hint=repair_command(home / INCIDENTS_FILE),
            )
        if is_special(home / INCIDENTS_FILE):
            raise ConfigError(f"{INCIDENTS_FILE} is not a file", hint="delete it, or restore it from a backup")
        tree = tomllib.loads((home / INCIDENTS_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{INCIDENTS_FILE}: {error}", hint=f"correct {home / INCIDENTS_FILE}") from error
    except OSError as error:
        raise ConfigError(f"{INCIDENTS_FILE} cannot be read: {error.strerror}", hint="check its permissions") from error
    extra = tree.keys() - {"incidents"}
    if extra:
        raise ConfigError(
            f"{INCIDENTS_FILE}: {min(extra)}: unknown table", hint="write each incident as a table [incidents.ID]"
        )
    return [_parse_incident(name, value) for name, value in tree.get("incidents", {}).items()]


def _parse_incident(name: str, value: object) -> Incident:
    if not isinstance(value, dict):
        raise ConfigError(f"{INCIDENTS_FILE}: incidents.{name} is not a table", hint=f"write [incidents.{name}]")
    rest = dict(value)
    title = rest.pop("name", name)
    lists = {field: rest.pop(field, []) for field in _LIST_FIELDS}
    if rest:
        raise ConfigError(
            f"{INCIDENTS_FILE}: incidents.{name}.{min(rest)}: unknown field",
            hint=f"the fields are: name, {', '.join(_LIST_FIELDS)}",
        )
    for field, items in lists.items():
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ConfigError(
                f"{INCIDENTS_FILE}: incidents.{name}.{field} is not a list of texts", hint='write it as ["a", "b"]'
            )
    for item in lists["expressions"]:
        try:
            check_expression(item)
        except ValueError as error:
            raise ConfigError(
                f"{INCIDENTS_FILE}: incidents.{name}.expressions: {item}: {error}", hint="see docs/incidents.md"
            ) from error
    for item in lists["yara"]:
        if not _RULE_FILE.fullmatch(item):
            raise ConfigError(
                f"{INCIDENTS_FILE}: incidents.{name}.yara: {item} is not a valid name of a rule file",
                hint=f"use letters, digits, dots and dashes, ending in .yar, and put the file into {RULES_FOLDER}/",
            )
    if not isinstance(title, str):
        raise ConfigError(f"{INCIDENTS_FILE}: incidents.{name}.name is not a text", hint="put the name in quotes")
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
    """Add an incident, or add clients, sources, words and rules to the incident of this name; returns the result.

    Raises:
        InputError: the name gives no id, or an expression is invalid.
        ConfigError: the existing file is invalid.
        StoreFull: no space is left.
        StoreError: the file cannot be written.
    """
    key = slug(name)
    for item in expressions:
        try:
            check_expression(item)
        except ValueError as error:
            raise InputError(f"{item}: {error}", hint="see docs/incidents.md") from error
    with _write_lock(home):
        before = {incident.id: incident for incident in read_incidents(home)}
        path = home / INCIDENTS_FILE
        try:
            document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else _FILE_HEADER)
        except TOMLKitError as error:
            raise ConfigError(f"{INCIDENTS_FILE}: {error}", hint=f"correct {path}") from error
        tables = document.setdefault("incidents", tomlkit.table(is_super_table=True))
        table = tables.setdefault(key, tomlkit.table())
        table.setdefault("name", name)
        for field, given in zip(_LIST_FIELDS, (clients, sources, words, expressions, yara), strict=True):
            present = getattr(before[key], field) if key in before else ()
            added = [item for item in dict.fromkeys(given) if item not in present]
            if added or (field not in table and field in _ALWAYS_WRITTEN):
                table[field] = [*present, *added]
        replace_file(path, [tomlkit.dumps(document).encode()])
        return next(incident for incident in read_incidents(home) if incident.id == key)


def find_incident(incidents: Sequence[Incident], name: str) -> Incident:
    """The incident with this id or name; raises InputError if there is none."""
    for incident in incidents:
        if name in (incident.id, incident.name):
            return incident
    raise InputError(f"there is no incident {name}", hint="see: tocsin incident list")


def incident_of(incidents: Sequence[Incident], source: str) -> Incident | None:
    """The incident that lists the source; otherwise the only incident if there is just one; otherwise None."""
    for incident in incidents:
        if source in incident.sources:
            return incident
    return incidents[0] if len(incidents) == 1 else None


def tied_sources(incidents: Sequence[Incident]) -> frozenset[str]:
    """The sources that incidents name."""
    return frozenset(source for incident in incidents for source in incident.sources)


def store_rule_file(home: Path, file: Path, text: str) -> str:
    """Copy a YARA file into the home's `rules/`, replacing one of the same name; returns the name.

    Raises:
        InputError: the name of the file is not allowed.
        StoreFull: no space is left.
        StoreError: the file cannot be written.
    """
    if not _RULE_FILE.fullmatch(file.name):
        raise InputError(
            f"{file.name} is not a valid name for a rule file",
            hint="rename the file: use letters, digits, dots and dashes, ending in .yar",
        )
    with _write_lock(home):
        (home / RULES_FOLDER).mkdir(mode=0o700, exist_ok=True)
        replace_file(home / RULES_FOLDER / file.name, [text.encode()])
    return file.name


def read_rule_files(home: Path, incident: Incident) -> tuple[dict[str, str], dict[str, str]]:
    """The texts of an incident's YARA files by name, and for each file that cannot be read the reason."""
    found: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for name in incident.yara:
        try:
            if is_special(home / RULES_FOLDER / name):
                unreadable[name] = f"{RULES_FOLDER}/{name} is not a file"
                continue
            found[name] = (home / RULES_FOLDER / name).read_text(encoding="utf-8")
        except OSError as error:
            unreadable[name] = f"{RULES_FOLDER}/{name} cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            unreadable[name] = f"{RULES_FOLDER}/{name} is not UTF-8 text"
    return found, unreadable


@contextlib.contextmanager
def _write_lock(home: Path) -> Iterator[None]:
    """Keep other writers out; errors of the file system become StoreFull or StoreError."""
    with file_errors_as_ours("the incident", home), locked_folder(home):
        yield
