"""Credentials that systemd hands to a service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from data.errors import ConfigError


def read_credential(name: str, environ: Mapping[str, str]) -> str:
    """The text of a systemd credential, without surrounding white space."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder or "/" in name:
        raise ConfigError(
            f"the credential '{name}' is asked for, but systemd gave none",
            hint="run under systemd with LoadCredential=, or write the value into the setting",
        )
    try:
        return (Path(folder) / name).read_text().strip()
    except OSError as error:
        raise ConfigError(f"the credential '{name}' cannot be read: {error.strerror}") from error
