"""What a reader is, and how the reader of a member is found.

To add a format, write one module in the folder of its family (`crawler/readers/<family>/`). The module has

- `FORMAT`, the name of the format in findings,
- `sniff(head, name)`, which tells how sure it is that a file is of this format,
- `read(source, out, limits)`, which reads a file of this format.

A module that reads several formats has `READERS`, a tuple of objects with these three, instead. Nothing else needs to
be registered: the modules are found by their files. The new format gets a line in `docs/formats.md`, its name in the
list of `tests/crawler/readers/core/test_registry.py`, and a sound file in `tests/synth/every_format.py`.

`source.Source` holds the bytes, `output.Output` takes what the reader finds, `limits.Limits` bounds both. A container
passes each of its members to `members.read_member`, which chooses the reader of that member.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Protocol, cast

import crawler.readers as package
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source


class Reader(Protocol):
    """One reader: a module of `crawler.readers`, or an entry of the `READERS` of such a module.

    A reader may also have `EMBEDDED_SEARCH`. With it, all bytes of the member are searched for embedded archives while
    the reader reads: `"raw"` for archives as they are, `"encoded"` for archives written as text (base64, hexadecimal,
    SQL strings), `"all"` for both. Formats that hold text set it, because their readers read over such archives. A
    reader of a container searches the parts that it does not use by itself, with `members.read_embedded`.
    `ENCODED_VALUES` asks for long values written as hexadecimal digits or base64 as well: `"all"`, `"sql"` if the
    reader decodes hexadecimal text itself, `"markup"` if attributes are no content but pictures (`core/encoded_values.py`). Formats
    that say themselves which values are files do not set it.
    """

    FORMAT: str

    def sniff(self, head: bytes, name: str) -> float:
        """How sure this reader is that a file is of its format, from 0 (it is not) to 1.

        Args:
            head: the first `limits.HEAD` bytes.
            name: of the member, '' for the sample itself.
        """
        ...

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Read the source and send what it holds to `out`.

        The caller has begun the member and ends it. Bytes left in the source are examined as following the end of the
        format.

        Raises:
            Damaged: the bytes end early or are wrong. The caller reports it and marks the member incomplete.
        """
        ...


EMPTY = "empty"
UNKNOWN = "unknown"
Choice = Callable[[bytes, str], Reader | None]
"""Chooses the reader of a member from its first bytes and its name; None if no reader recognises them."""


@cache
def readers() -> tuple[Reader, ...]:
    """The readers of all modules of all families, in the order of the modules' names.

    Where two readers are equally sure of a file, the first of them reads it, whatever its family.
    """
    found = [each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    modules = [importlib.import_module(name) for name in sorted(found, key=lambda name: name.rpartition(".")[2])]
    return tuple(reader for module in modules for reader in _readers_of(module))


def _readers_of(module: ModuleType) -> Sequence[Reader]:
    if hasattr(module, "FORMAT"):
        return (cast("Reader", module),)
    return cast("Sequence[Reader]", getattr(module, "READERS", ()))


def choose(head: bytes, name: str) -> Reader | None:
    """The reader that is surest of a file, from its first bytes and its name; None if no reader recognises them."""
    surest, best = None, 0.0
    for reader in readers():
        # of equally sure readers the first one
        if (score := reader.sniff(head, name)) > best:
            surest, best = reader, score
    return surest


@cache
def fallback_reader() -> Reader:
    """The reader of files that no other reader recognises."""
    return next(reader for reader in readers() if reader.FORMAT == UNKNOWN)
