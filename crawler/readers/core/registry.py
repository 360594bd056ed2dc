"""The readers: what each offers, how they are found by their files, and which one reads a member."""

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
    """What a module of `crawler.readers` offers: by itself, or once for each entry of its `READERS`."""

    FORMAT: str

    def sniff(self, head: bytes, name: str) -> float:
        """How sure it is that this is its format, 0..1, from the first `HEAD` bytes and the member's name."""
        ...

    def read(self, source: Source, out: Output, limits: Limits) -> None:
        """Read the source and say what it holds; the member is begun and ended by the caller."""
        ...


EMPTY = "empty"
UNKNOWN = "unknown"
Choice = Callable[[bytes, str], Reader | None]
"""What chooses the reader of a member from its first bytes and its name."""


@cache
def readers() -> tuple[Reader, ...]:
    """The readers of all modules of all families.

    Where two are equally sure of a sample, the first reads it: modules are in the order of their names, whatever family
    they are in.
    """
    found = [each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    modules = [importlib.import_module(name) for name in sorted(found, key=lambda name: name.rpartition(".")[2])]
    return tuple(reader for module in modules for reader in _offered(module))


def _offered(module: ModuleType) -> Sequence[Reader]:
    if hasattr(module, "FORMAT"):
        return (cast("Reader", module),)
    return cast("Sequence[Reader]", getattr(module, "READERS", ()))


def choose(head: bytes, name: str) -> Reader | None:
    """The reader that is surest of itself; None where none claims the bytes."""
    score, reader = max(((each.sniff(head, name), each) for each in readers()), key=lambda pair: pair[0])
    return reader if score > 0 else None


@cache
def fallback_reader() -> Reader:
    """The reader of what no other claims."""
    return next(reader for reader in readers() if reader.FORMAT == UNKNOWN)
