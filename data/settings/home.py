"""The home folder: where it is, and the paths of everything in it. Its settings are `data.settings.settings`."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import HomeError, KeyFileError
from data.locked_memory import LockedBytes
from data.settings.credentials import read_locked, read_secret_credential
from data.settings.key_keeper import DESCRIPTOR_VARIABLE, VARIABLE, KeyKeeper, frame_descriptor, read_frame
from data.settings.permissions import repair_command, writable_by_others

if TYPE_CHECKING:
    from data.settings.settings import Settings


def default_home(environ: Mapping[str, str]) -> Path:
    """`$TOCSIN_HOME`, else the platform's user data folder."""
    if chosen := environ.get("TOCSIN_HOME"):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_data_dir("tocsin"))


class Home:
    """The folder that contains everything an operator owns."""

    def __init__(self, path: Path, environ: Mapping[str, str] | None = None, keeper: KeyKeeper | None = None) -> None:
        """A folder, whether or not it is a home.

        Args:
            path: of the folder.
            environ: the environment; that of this process by default.
            keeper: holds the match key that came by the environment.
        """
        self.path = path.expanduser().absolute()
        self._keeper = keeper
        self.environ = dict(os.environ if environ is None else environ)

    @property
    def config_path(self) -> Path:
        """`tocsin.toml`."""
        return self.path / "tocsin.toml"

    @property
    def sources_dir(self) -> Path:
        """`sources`."""
        return self.path / "sources"

    @property
    def keys_dir(self) -> Path:
        """`keys`."""
        return self.path / "keys"

    @property
    def match_key_path(self) -> Path:
        """`keys/match.key`."""
        return self.path / "keys" / "match.key"

    @property
    def enrol_key_path(self) -> Path:
        """`keys/enrol.key`."""
        return self.path / "keys" / "enrol.key"

    @property
    def evidence_key_path(self) -> Path:
        """`keys/evidence.pub`."""
        return self.path / "keys" / "evidence.pub"

    def onion_key_path(self, source: str) -> Path:
        """`keys/onion/SOURCE.auth_private`: the key for an onion service that requires client authorisation."""
        return self.path / "keys" / "onion" / f"{source}.auth_private"

    def cookies_path(self, source: str) -> Path:
        """`keys/cookies/SOURCE.txt`: the operator's own cookies for a source."""
        return self.path / "keys" / "cookies" / f"{source}.txt"

    @property
    def db_path(self) -> Path:
        """`tocsin.db`."""
        return self.path / "tocsin.db"

    @property
    def watchlist_dir(self) -> Path:
        """`watchlist`."""
        return self.path / "watchlist"

    @property
    def releases_dir(self) -> Path:
        """`releases`."""
        return self.path / "releases"

    @property
    def evidence_dir(self) -> Path:
        """`evidence`."""
        return self.path / "evidence"

    def require(self) -> Home:
        """This home, after checking that it is one.

        Raises:
            HomeError: the folder is not a home, or other users can write it or read its keys.
        """
        if not self.config_path.is_file():
            raise HomeError(
                f"{self.path} is not a Tocsin home: it contains no tocsin.toml",
                hint=f"create one:  tocsin init {self.path}",
            )
        if writable_by_others(self.path):
            raise HomeError(f"{self.path} can be written by other users", hint=repair_command(self.path))
        for path in (self.keys_dir, self.match_key_path):
            if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
                raise HomeError(f"{path} can be read by other users", hint=f"run:  chmod go-rwx {path}")
        return self

    def settings(self) -> Settings:
        """The settings of this home; see `load_settings`."""
        # imported here because it takes a tenth of a second, which processes without settings save
        from data.settings.settings import load_settings

        return load_settings(self.config_path, self.environ)

    def match_key_text(self) -> LockedBytes:
        """The text of the match key in locked memory.

        It comes from `$TOCSIN_MATCH_KEY`, else from the systemd credential `match.key`, else from its file.

        Raises:
            KeyFileError: the file `keys/match.key` is needed, but is missing, damaged or unreadable.
        """
        if (descriptor := self.match_key_descriptor()) is not None:
            return read_frame(descriptor)
        folder = self.environ.get("CREDENTIALS_DIRECTORY")
        if folder and (Path(folder) / "match.key").is_file():
            return read_secret_credential("match.key", self.environ)
        try:
            return read_locked(self.match_key_path)
        except OSError as error:
            raise KeyFileError(
                f"the match key {self.match_key_path} cannot be read: {error.strerror}",
                hint="restore it from the team's backup, or set TOCSIN_MATCH_KEY: nothing can be matched without it",
            ) from error

    def match_key_descriptor(self) -> int | None:
        """A descriptor from which `read_frame` reads the key that came by the environment; None if none came that way.

        The caller passes it to the process that needs the key, or reads it, and closes it.
        """
        if self._keeper is not None:
            return self._keeper.descriptor()
        if text := self.environ.pop(DESCRIPTOR_VARIABLE, ""):
            # it gives the key once
            return int(text)
        if key := self.environ.get(VARIABLE):
            return frame_descriptor(key.encode())
        return None

    @property
    def match_key_came_from_its_file(self) -> bool:
        """Whether `match_key_text` reads the file of the home, not the environment or a systemd credential."""
        folder = self.environ.get("CREDENTIALS_DIRECTORY")
        by_environment = self._keeper is not None or VARIABLE in self.environ
        return not by_environment and not (folder and (Path(folder) / "match.key").is_file())

    @property
    def match_key_is_at_rest(self) -> bool:
        """Whether the home itself holds the match key as a file."""
        return self.match_key_path.exists()
