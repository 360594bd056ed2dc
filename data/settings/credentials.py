"""Reads credentials that systemd passes to a service."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from data.durable_files import require_file
from data.errors import ConfigError
from data.locked_memory import LockedBytes

# Bytes; the file of a match key has 65.
MAX_SECRET = 4096


def read_credential(name: str, environ: Mapping[str, str]) -> str:
    """The text of a systemd credential, without surrounding white space.

    Raises:
        ConfigError: systemd did not pass this credential, or it cannot be read.
    """
    path = _path(name, environ)
    try:
        return path.read_text().strip()
    except OSError as error:
        raise _unreadable(name, error) from error


def read_secret_credential(name: str, environ: Mapping[str, str]) -> LockedBytes:
    """A systemd credential in locked memory; errors as `read_credential`."""
    path = _path(name, environ)
    try:
        return read_locked(path)
    except OSError as error:
        raise _unreadable(name, error) from error


def read_locked(path: Path) -> LockedBytes:
    """The content of a small file, read into locked memory without a copy elsewhere; of a larger one, its beginning.

    Raises:
        OSError: it cannot be read.
    """
    found = LockedBytes(MAX_SECRET)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as stream:  # noqa: PTH123 - opened without waiting above
        require_file(stream.fileno())
        found.shrink(stream.readinto(found.view) or 0)
    return found


def _path(name: str, environ: Mapping[str, str]) -> Path:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder or "/" in name:
        raise ConfigError(
            f"the setting needs the credential '{name}', but systemd passed no credentials",
            hint="run under systemd with LoadCredential=, or write the value into the setting itself",
        )
    return Path(folder) / name


def _unreadable(name: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"the credential '{name}' cannot be read: {error.strerror}", hint="check LoadCredential= of the service"
    )
