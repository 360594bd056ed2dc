"""Verifies files whole when they are opened, but a large unchanged file only once until the machine restarts.

Reading all bytes of a large watch-list takes seconds. So `.verified`, beside the files, notes which files were verified
and what they looked like: inode, size, and times of the last change. Storage that decays under an unchanged file is
found by the self-test and by `doctor`, which always verify whole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import orjson

from data.errors import StoreError
from data.tagsets.tagset import write_atomically

NOTE = ".verified"
ALWAYS_VERIFIED = 128 * 2**20
"""Files of so many bytes together are verified at each opening; that takes about a tenth of a second."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def verify_changed_files(folder: Path, checks: Mapping[Path, Callable[[], None]]) -> None:
    """Call the check of each file that must be verified, and note that these files are verified.

    Args:
        folder: that gets the note.
        checks: by path within the folder; a check raises StoreError if its file is damaged.
    """
    seen = {str(path.relative_to(folder)): _identity(path) for path in checks}
    is_small = sum(identity[1] for identity in seen.values()) <= ALWAYS_VERIFIED
    known = {} if is_small else _read_note(folder)
    changed = [path for path in checks if known.get(name := str(path.relative_to(folder))) != seen[name]]
    for path in changed:
        checks[path]()
    if changed and not is_small:
        note_verified(folder, checks)


def note_verified(folder: Path, paths: Iterable[Path]) -> None:
    """Note that files were verified as they are now. Without the note they are verified again, which is slower."""
    files = {name: identity for name, identity in _read_note(folder).items() if (folder / name).exists()}
    # a home that this process may not write to, or a full disk, must not prevent the opening
    with contextlib.suppress(OSError, StoreError):
        files |= {str(path.relative_to(folder)): _identity(path) for path in paths}
        write_atomically(folder / NOTE, b"", [memoryview(orjson.dumps({"boot": _boot(), "files": files}))])


def _identity(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def _read_note(folder: Path) -> dict[str, list[int]]:
    try:
        note = orjson.loads((folder / NOTE).read_bytes())
        return dict(note["files"]) if note["boot"] == _boot() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _boot() -> str:
    """An id of the time since the machine started; without one, a new id for each process."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return f"process {os.getpid()}"
