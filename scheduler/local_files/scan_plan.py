"""What is scanned by several machines, and the names of its pieces: each a digest of what the piece is about."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from crawler.process.examiner_limits import ExaminerLimits
from data.durable_files import read_file, replace_file
from data.errors import InputError
from data.settings.home import Home
from scheduler.local_files.divided_files import DividedFile
from scheduler.local_files.scanning import STDIN, content_of, expand_paths

_EDGE = 2**16


@dataclass(frozen=True, slots=True)
class Input:
    """One file of a scan, or the error that kept it from being read.

    Attributes:
        path: as it was given or found. parts: of a divided file, () for any other; together: as in `DividedFile`.
        missing: of a divided file.
        size: in bytes. edges: digest of its first and last bytes.
        error, hint: why it cannot be read, '' if it can.
    """

    path: str
    parts: tuple[str, ...] = ()
    together: bool = False
    missing: str = ""
    size: int = 0
    edges: str = ""
    error: str = ""
    hint: str = ""

    @property
    def content(self) -> str | DividedFile:
        """What `Scanner.examine` takes."""
        return DividedFile(self.path, self.parts, self.missing, self.together) if self.parts else self.path


@dataclass(frozen=True, slots=True)
class Plan:
    """What is scanned, and how.

    Attributes:
        inputs: in their order. chunk_bytes: about the size of a chunk. options: of each request to the examiner.
        compared: digest of what the home compares samples with, of limits and passwords, and of this version.
    """

    inputs: tuple[Input, ...]
    chunk_bytes: int
    options: Mapping[str, Any]
    compared: str

    @classmethod
    def of(
        cls,
        home: Home,
        paths: tuple[str, ...],
        chunk_bytes: int,
        options: Mapping[str, Any],
        passwords: Sequence[str] = (),
    ) -> Self:
        """The plan for some paths; `passwords` are tried on locked archives.

        Raises:
            InputError: standard input cannot be divided.
        """
        inputs = []
        for path in expand_paths(paths):
            if path == STDIN:
                raise InputError("standard input cannot be shared between machines", hint="write it into a file first")
            inputs.append(input_of(path))
        return cls(tuple(inputs), chunk_bytes, dict(options), _compared(home, passwords))

    @property
    def name(self) -> str:
        """A digest of the plan."""
        return _digest(to_bytes(self.to_json()))

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return {
            "inputs": [asdict(each) for each in self.inputs],
            "chunk_bytes": self.chunk_bytes,
            "options": dict(self.options),
            "compared": self.compared,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        inputs = tuple(Input(**{**each, "parts": tuple(each["parts"])}) for each in value["inputs"])
        return cls(inputs, value["chunk_bytes"], value["options"], value["compared"])

    def name_of(self, each: Input, kind: str, number: int = 0) -> str:
        """The name of the result of one piece."""
        about = [
            asdict(each),
            self.chunk_bytes if kind != "whole" else 0,
            dict(self.options),
            self.compared,
            kind,
            number,
        ]
        return _digest(to_bytes(about))

    def slots(self, each: Input) -> int:
        """Into how many pieces a file is divided at most."""
        return 0 if each.error else -(-each.size // self.chunk_bytes) if self.may_cut(each) else 1

    def may_cut(self, each: Input) -> bool:
        """Whether a file is large enough to be cut; whether its format allows it is found later."""
        return not each.error and not each.parts and bool(self.options["exact"]) and each.size > self.chunk_bytes


# --- the folder of the results ---------------------------------------------------------------------------------------


def record_part(folder: Path, plan: Plan, part: int, count: int) -> None:
    """Note that a part is done."""
    value = {"plan": plan.to_json(), "part": part, "of": count}
    try:
        replace_file(folder / f"part-{part}-of-{count}.json", [to_bytes(value)])
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}", hint="check the folder and its disk") from error


def planned(folder: Path) -> Plan:
    """The plan whose parts a folder holds.

    Raises:
        InputError: there is none, parts are missing, or parts are of different plans.
    """
    plans: dict[str, Plan] = {}
    done: dict[str, set[int]] = {}
    counts: dict[str, int] = {}
    try:
        for path in sorted(folder.glob("part-*-of-*.json")):
            value = json.loads(read_file(path))
            plan = Plan.from_json(value["plan"])
            plans[plan.name] = plan
            done.setdefault(plan.name, set()).add(int(value["part"]))
            counts[plan.name] = int(value["of"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder}: a file in it is damaged", hint="examine all parts again into an empty folder"
        ) from error
    if not plans:
        raise InputError(f"{folder}: no part of a scan is there", hint="tocsin scan --part 1/N --out DIR PATH…")
    if len(plans) > 1:
        raise InputError(
            f"{folder}: its parts are of different scans",
            hint="give all parts the same paths, options, tags and releases, and an empty folder",
        )
    (name,) = plans
    if missing := sorted(set(range(1, counts[name] + 1)) - done[name]):
        listed = ", ".join(map(str, missing[:10])) + (" …" if len(missing) > 10 else "")
        raise InputError(
            f"{folder}: parts are missing: {listed} of {counts[name]}", hint="examine them, then fold again"
        )
    return plans[name]


def input_of(path: str | DividedFile | InputError) -> Input:
    """A file as this machine sees it now, or the error that keeps it from being read."""
    if isinstance(path, InputError):
        return Input("", error=str(path), hint=path.hint)
    shown = str(path)
    parts = path.parts if isinstance(path, DividedFile) else ()
    edges, size = hashlib.sha256(), 0
    try:
        for part in parts or (shown,):
            size += _add_edges(part, edges)
    except InputError as error:
        return Input(shown, error=str(error), hint=error.hint)
    together, missing = (path.together, path.missing) if isinstance(path, DividedFile) else (False, "")
    return Input(shown, parts, together, missing, size, edges.hexdigest())


def _add_edges(path: str, digest: Any) -> int:
    """Add the first and the last bytes of a file to a digest; returns its size."""
    with contextlib.ExitStack() as opened:
        errors: list[str] = []
        content_of(path, opened, errors)
        try:
            with Path(path).open("rb") as stream:
                size = os.fstat(stream.fileno()).st_size
                digest.update(stream.read(_EDGE))
                stream.seek(max(0, size - _EDGE))
                digest.update(stream.read(_EDGE))
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}", hint="check the disk") from error
    return size


def _compared(home: Home, passwords: Sequence[str]) -> str:
    """A digest of what the home compares samples with, of limits and passwords, and of this version of the program."""
    digest = hashlib.sha256(version("tocsin").encode())
    digest.update(to_bytes([asdict(ExaminerLimits.of(home.settings().examine)), list(passwords)]))
    files = [home.watchlist_dir / "manifest.json", home.evidence_key_path]
    files += sorted(home.releases_dir.glob("*/manifest.json")) if home.releases_dir.is_dir() else []
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        digest.update(b"%d " % len(content) + content)
    return digest.hexdigest()


def to_bytes(value: Any) -> bytes:
    """JSON; unlike orjson it takes names of files that are no UTF-8."""
    return json.dumps(value, sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
