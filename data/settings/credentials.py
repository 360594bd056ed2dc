"""Reads credentials that systemd passes to a service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from data.errors import ConfigError


def read_credential(name: str, environ: Mapping[str, str]) -> str:
    """The text of a systemd credential, without surrounding white space.

    Raises:
        ConfigError: systemd did not pass this credential, or it cannot be read.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder or "/" in name:
        raise ConfigError(
            f"the setting needs the credential '{name}', but systemd passed no credentials",
            hint="run under systemd with LoadCredential=, or write the value into the setting itself",
        )
    try:
        return (Path(folder) / name).read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"the credential '{name}' cannot be read: {error.strerror}", hint="check LoadCredential= of the service"
        ) from error
