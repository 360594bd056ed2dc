"""The format-blind pass over raw bytes: finds values of the watch-list in whatever clothes; confirming is left to the caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.tags import Kind

U64 = NDArray[np.uint64]


class WatchProbe(Protocol):
    """What the scanner asks of a watch-list: which of these probe tags are on it."""

    def lookup(self, tags: U64) -> NDArray[np.bool_]:
        """True per tag that is on the list."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value of the sample whose probe tag is on the watch-list; a hit only once its confirm digest agrees.

    Attributes:
        kind: which normal form `value` is. tag: its probe tag. value: the normal form.
        offset: where the value begins in the sample's bytes, from 0.
    """

    kind: Kind
    tag: int
    value: bytes = field(repr=False)
    offset: int


class ByteScanner:
    """One pass over the bytes of one sample; cheap to make, bounded in memory, indifferent to how chunks are cut."""

    def __init__(self, probe_key: bytes, watch: WatchProbe, *, collect: bool = False) -> None:
        raise NotImplementedError

    def feed(self, chunk: bytes | bytearray | memoryview) -> list[Candidate]:
        """Take the next bytes; candidates come once enough of what follows them is known."""
        raise NotImplementedError

    def finish(self) -> list[Candidate]:
        """The candidates of what was still held back; the scanner is then done."""
        raise NotImplementedError

    def values(self) -> dict[Kind, U64]:
        """Sorted distinct tags of all values found per kind (`collect` only); tokens are left out: every long word is one."""
        raise NotImplementedError


def warm_up() -> None:
    """Compile the kernels, or load them from the cache."""
    raise NotImplementedError


def is_compiled() -> bool:
    """True if `warm_up` would find compiled kernels and take well under a second."""
    raise NotImplementedError
