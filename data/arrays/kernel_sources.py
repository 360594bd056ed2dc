"""Which source files define kernels, and a digest of them that names the folder of their machine code."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder that contains the packages."""
MAX_REMEMBERED = 4
"""So many installations of the same user remember their digest."""


def kernel_modules(root: Path = ROOT) -> list[Path]:
    """The source files of all modules that define kernels; all modules are read once for it."""
    return _kernel_modules(root)


@functools.cache
def _kernel_modules(root: Path) -> list[Path]:
    return [path for path, _ in sorted(_sources(root)) if _defines_kernels(path.read_bytes())]


def _sources(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The source files of all packages that may define kernels, in no order."""
    for layer in ("crawler", "data"):
        for folder, _, names in os.walk(root / layer):
            for name in names:
                if name.endswith(".py"):
                    path = Path(folder, name)
                    yield path, path.stat()


def _defines_kernels(source: bytes) -> bool:
    # nearly all modules are ruled out by searches that take a tenth of the expression's time
    has_word = b"@kernel" in source or b"@inlined" in source or b"intrinsic" in source
    return has_word and re.search(rb"^@(kernel|inlined)$|intrinsic\(", source, re.MULTILINE) is not None


def sources_digest(root: Path = ROOT) -> str:
    """16 hex digits that change whenever a module that defines kernels changes.

    numba recompiles a function when its own file changes, but not when the file of a function that it calls changes.
    Tags made by outdated code would silently match nothing.
    """
    digest = hashlib.sha256()
    for path in kernel_modules(root):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def remembered_sources(folder: Path, root: Path = ROOT) -> tuple[str, list[Path]]:
    """The digest and the modules, or what an earlier call wrote of them into a cache folder if no source has changed since.

    To read all modules takes 40 ms of each start. Whether one was changed, added or replaced shows in its place, size,
    number and both times; no program can set back the time at which a file was last changed in any way (ctime).
    """
    path = folder / f"sources-{_stamp(root)}.json"
    try:
        known = json.loads(path.read_bytes())
        return str(known["digest"]), [root / str(each) for each in known["modules"]]
    except (OSError, ValueError, TypeError, KeyError):
        digest, modules = sources_digest(root), kernel_modules(root)
    # without a cache every start reads the modules anew, which changes no answer
    with contextlib.suppress(OSError):
        _save(path, {"digest": digest, "modules": [str(each.relative_to(root)) for each in modules]})
    return digest, modules


def _stamp(root: Path) -> str:
    digest = hashlib.sha256(os.fsencode(root))
    for path, found in sorted(_sources(root)):
        entry = f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
        digest.update(b"\0" + os.fsencode(path) + b"\0" + entry.encode())
    return digest.hexdigest()[:16]


def _save(path: Path, value: object) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    remembered = sorted(path.parent.glob("sources-*.json"), key=lambda each: each.stat().st_mtime_ns)
    for outdated in remembered[: 1 - MAX_REMEMBERED]:
        outdated.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix="sources-", delete=False) as file:
        json.dump(value, file)
    Path(file.name).replace(path)
