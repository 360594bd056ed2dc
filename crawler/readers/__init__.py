"""One module per container or format; here they are found by file, chosen by first bytes, and kept apart."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache
from typing import cast

from crawler.readers.base import HEAD, Damaged, Limits, Output, Reader, Source
from data.errors import LimitReached, WireError

EMPTY = "empty"
UNKNOWN = "unknown"
Choice = Callable[[bytes, str], Reader | None]
"""What chooses the reader of a member from its first bytes and its name."""


@cache
def readers() -> tuple[Reader, ...]:
    """Every module of this package that has a `FORMAT`, by name."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(cast("Reader", module) for module in modules if hasattr(module, "FORMAT"))


def choose(head: bytes, name: str) -> Reader | None:
    """The reader that is surest of itself; None where none claims the bytes."""
    score, reader = max(((each.sniff(head, name), each) for each in readers()), key=lambda pair: pair[0])
    return reader if score > 0 else None


@cache
def _unclaimed() -> Reader:
    """The reader of what no other claims."""
    return next(reader for reader in readers() if reader.FORMAT == UNKNOWN)


def read_sample(chunks: Iterator[bytes], send: Callable[[bytes, bytes], None], limits: Limits) -> None:
    """Read one sample to its end and send its frames, from the first `M` to `Z`, whatever the bytes are.

    Raises:
        WireError: only from `chunks` and `send`: there is nobody left to talk to.
    """
    out = Output(send, limits)
    # a limit ends the whole sample; each open member has said so on the way out
    try:
        read_member(Source(chunks), out)
    except LimitReached:
        out.finish()
    else:
        out.finish()


def read_member(source: Source, out: Output, pick: Choice = choose) -> None:
    """Read one member (or the sample itself) inside what is open: its frames from `M` to `E`.

    Whatever its bytes do to a reader, the member ends with honest problems, and its bytes all went to the byte pass.

    Raises:
        LimitReached: the sample is over.
        WireError: there is nobody left to talk to.
    """
    head = source.peek(HEAD)
    reader = (pick(head, source.name) or _unclaimed()) if head else None
    out.begin(source.name, reader.FORMAT if reader is not None else EMPTY)
    try:
        source.watch(out.raw if out.depth > 1 else out.took)
        if out.depth > out.limits.max_depth + 1:
            out.problem("depth", f"more than {out.limits.max_depth} containers inside each other", incomplete=True)
        elif reader is not None:
            _read(reader, source, out)
        source.drain()
        if source.damage is not None:
            out.problem(source.damage.code, str(source.damage), incomplete=True)
    except LimitReached as error:
        out.problem("limit", str(error), incomplete=True)
        out.end(source.bytes)
        raise
    out.end(source.bytes)


def _read(reader: Reader, source: Source, out: Output) -> None:
    depth = out.depth
    try:
        reader.read(source, out, out.limits)
    except (LimitReached, WireError):
        raise
    except Damaged as error:
        _close(out, depth)
        out.problem(error.code, str(error), incomplete=True)
    except MemoryError:
        _close(out, depth)
        out.problem("memory", "reading it needs more memory than the limit", incomplete=True)
    except Exception as error:  # noqa: BLE001 - hostile bytes meet many libraries; its text may hold content
        _close(out, depth)
        out.problem("reader", f"the {reader.FORMAT} reader failed with {type(error).__name__}", incomplete=True)


def _close(out: Output, depth: int) -> None:
    """End the members that a failed reader left open."""
    while out.depth > depth:
        out.problem("reader", "reading ended inside this member", incomplete=True)
        out.end(0)
