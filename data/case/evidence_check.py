"""Checks the sealed evidence of a home: its files against its chain, and the chain against the database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from data.case.evidence import SUFFIX
from data.case.evidence_chain import EMPTY_CHAIN_HEAD, KeyCheck, digest_of, lines_of, read_chain
from data.durable_files import read_file
from data.errors import StoreError
from data.hashing.chain_keys import ChainKey

# Evidence is kept before its finding is committed; a commit waits for other commits no longer than this.
COMMIT_TIME = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Known:
    """What the database says of the evidence.

    Attributes:
        findings: id of every finding -> digest of its evidence, '' if it has none or an older version stored it.
        recorded: id of evidence -> its digest, as the audit chain recorded it when it was kept.
        pages: id of an event -> digest of the page that shows why it was made, as the audit chain recorded it.
        begun: the same for pages that were about to be kept; a crawl that was killed then made no event.
    """

    findings: Mapping[str, str] = field(default_factory=dict)
    recorded: Mapping[str, str] = field(default_factory=dict)
    pages: Mapping[str, str] = field(default_factory=dict)
    begun: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class EvidenceCheck:
    """The result of a check.

    Attributes:
        problems: one sentence each; empty if nothing is wrong.
        lines, keyed: how many lines the chain has, and how many of them are keyed.
        digests: of the lines, in order.
    """

    problems: list[str] = field(default_factory=list)
    lines: int = 0
    keyed: int = 0
    digests: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Kept:
    digest: str
    at: datetime
    gone: bool = False


def verify(
    folder: Path, key: ChainKey | None = None, known: Known | None = None, now: datetime | None = None
) -> list[str]:
    """The problems that `check` finds, one sentence each; empty if there is none."""
    return check(folder, key, known, now).problems


def check(
    folder: Path, key: ChainKey | None = None, known: Known | None = None, now: datetime | None = None
) -> EvidenceCheck:
    """Every problem of the evidence.

    Args:
        folder: the `evidence` folder of a home; it need not exist.
        key: of the first entry of the chain; without it macs are not checked.
        known: what the database says; without it nothing is compared with the database.
        now: aware UTC, needed with `known`: evidence younger than `COMMIT_TIME` may wait for its finding.
    """
    result = EvidenceCheck()
    try:
        raw = read_chain(folder)
    except StoreError as error:
        result.problems.append(str(error))
        return result
    problems = result.problems
    if raw and not raw.endswith(b"\n"):
        problems.append("the last line of the chain is truncated; it is removed when the next evidence is kept")
    kept = _read_lines(lines_of(raw), key, result)
    for name, entry in kept.items():
        problems.extend(_file_problems(folder / (name + SUFFIX), name, entry.digest, entry.gone))
    files = {name + SUFFIX for name in kept}
    problems.extend(
        f"{file.name} is in the folder but not in the chain"
        for file in sorted(folder.glob("*" + SUFFIX))
        if file.name not in files
    )
    if known is not None and now is not None:
        problems.extend(_database_problems(kept, known, now))
        if result.lines and not result.keyed and (known.recorded or any(known.findings.values())):
            problems.append("no line of the chain is keyed, but the database says that lines were: their keys are gone")
    return result


def _read_lines(lines: list[bytes], key: ChainKey | None, result: EvidenceCheck) -> dict[str, _Kept]:
    previous, kept = EMPTY_CHAIN_HEAD, dict[str, _Kept]()
    keys = KeyCheck(key.copy() if key is not None else None)
    problems = result.problems
    for number, line in enumerate(lines):
        link, previous = previous, digest_of(line)
        result.digests.append(previous)
        try:
            value = orjson.loads(line)
            what, name, seq, stated = str(value["do"]), str(value["id"]), value["seq"], value["prev"]
            at = datetime.fromisoformat(value["at"])
            digest = str(value["sha256"]) if what == "keep" else ""
            wrong_key = keys.problem(line, value, number)
        except (ValueError, KeyError, TypeError):
            problems.append(f"line {number} of the chain cannot be read")
            continue
        if seq != number:
            problems.append(f"line {number} of the chain has the number {seq}: lines are missing or were added")
        if stated != link:
            problems.append(f"line {number} of the chain does not match the digest of the line before it")
        if wrong_key:
            problems.append(f"line {number} of the chain {wrong_key}")
        if what == "key":
            if keys.keyed != 1:
                problems.append(f"line {number} of the chain begins keyed lines a second time")
        elif what == "keep" and name not in kept:
            kept[name] = _Kept(digest, at)
        elif what == "expire" and name in kept:
            kept[name].gone = True
        else:
            problems.append(f"line {number} of the chain keeps an id a second time, or expires one that was never kept")
    result.lines, result.keyed = len(lines), keys.keyed
    return kept


def _file_problems(file: Path, name: str, digest: str, gone: bool) -> Iterator[str]:
    try:
        found = hashlib.sha256(read_file(file)).hexdigest()
    except FileNotFoundError:
        if not gone:
            yield f"the sealed file of {name} is missing"
        return
    except OSError as error:
        yield f"the sealed file of {name} cannot be read: {error.strerror}"
        return
    if gone:
        yield f"{name} has expired, but its file still exists; the next expiry deletes it"
    elif found != digest:
        yield f"the sealed file of {name} was altered"


def _database_problems(kept: Mapping[str, _Kept], known: Known, now: datetime) -> Iterator[str]:
    of_findings = {**known.recorded, **{name: each for name, each in known.findings.items() if each}}
    for what, names in (("finding", of_findings), ("event", known.pages)):
        for name, digest in names.items():
            if name not in kept:
                yield f"the evidence of the {what} {name} was kept, but the chain does not hold it"
            elif digest != kept[name].digest:
                yield f"the evidence of the {what} {name} is not the one that the database names"
    for name, entry in kept.items():
        is_known = name in known.findings or name in known.pages or known.begun.get(name) == entry.digest
        if not is_known and not entry.gone and entry.at < now - COMMIT_TIME:
            yield f"the evidence {name} belongs to no finding in the database: findings were removed, or a scan was killed"
