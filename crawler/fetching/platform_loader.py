"""Finds the platforms: modules of `spiders/`, and definitions in `spiders/platforms/`.

A broken module is noted by name, and all others can be used. A definition is read when it is asked for.
"""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import hashlib
import importlib
import json
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from data.errors import ConfigError
from data.sources.platform_files import platform_file, platform_file_names
from data.sources.source_files import SourceFile, front_page, merge

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.settings import BaseSettings

    from crawler.fetching.spider import SourceSpider

PACKAGE = "spiders"
# Seconds that the process which imports the platforms may take; a busy machine needs ten.
_TIMEOUT = 120
# Descriptions of so many installations and versions are kept in the cache.
_MAX_REMEMBERED = 8


class PlatformLoader:
    """Scrapy's spider loader for platforms (`SPIDER_LOADER_CLASS`).

    Attributes:
        broken: module name -> class of the exception that its import raised; its text is left out, as it may contain
            anything.
    """

    def __init__(self, packages: list[str] | None = None) -> None:
        self.broken: dict[str, str] = {}
        self._platforms: dict[str, type[SourceSpider]] = {}
        for package in packages or [PACKAGE]:
            self._load(package)

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Self:
        """As Scrapy makes it, from the packages of `SPIDER_MODULES`."""
        return cls(settings.getlist("SPIDER_MODULES"))

    def _load(self, package: str) -> None:
        from crawler.fetching.spider import SourceSpider

        folder = importlib.import_module(package)
        for found in pkgutil.iter_modules(folder.__path__):
            try:
                module = importlib.import_module(f"{package}.{found.name}")
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the other platforms can be used
                self.broken[found.name] = type(error).__name__
                continue
            for value in vars(module).values():
                if (
                    isinstance(value, type)
                    and issubclass(value, SourceSpider)
                    and value.__module__ == module.__name__
                    and value.name
                ):
                    self._platforms[value.name] = value

    def load(self, spider_name: str) -> type[SourceSpider]:
        """The class of a platform; raises KeyError if there is none, as Scrapy requires."""
        return self._platforms[spider_name]

    def list(self) -> builtins.list[str]:
        """Names of all platforms, sorted: modules that are not broken, and definitions, which are not read for this."""
        return sorted({*self._platforms, *platform_file_names()})

    def find_by_request(self, request: Request) -> builtins.list[str]:  # noqa: ARG002 - Scrapy's protocol
        """An empty list: a source names its platform, and the platform never follows from an address."""
        return []

    def platform(self, name: str) -> type[SourceSpider]:
        """The class of a platform.

        The platform of a definition is the class that its `base` names.

        Raises:
            ConfigError: there is no platform of this name, or its module is broken.
            SourceError: its definition cannot be used.
        """
        if (shipped := platform_file(name)) is not None:
            name = shipped.base
        if name in self._platforms:
            return self._platforms[name]
        raise unusable(name, self.list(), self.broken)

    def defaults_for(self, source: SourceFile) -> Mapping[str, Any]:
        """What its platform adds to the definition of a source; errors as of `Platforms.defaults_for`."""
        return self.described().defaults_for(source)

    def described(self) -> Platforms:
        """Names, defaults and errors of the platforms, for processes that run none."""
        return Platforms({name: platform.defaults for name, platform in self._platforms.items()}, self.broken)


@dataclass(frozen=True, slots=True)
class Platforms:
    """What is known about the platforms in processes that run none.

    Attributes:
        defaults: name -> what the platform adds to a definition.
        broken: module name -> class of the exception that its import raised.
    """

    defaults: Mapping[str, Mapping[str, Any]]
    broken: Mapping[str, str]

    @classmethod
    def read(cls) -> Self:
        """From a separate process: importing Scrapy, lxml and what the platforms need takes 25 MB.

        Raises:
            ConfigError: the process failed.
        """
        # -P: nothing is imported from the current folder, as with the command line itself
        command = [sys.executable, "-P", "-m", "crawler.fetching.platform_loader"]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_TIMEOUT)
            return cls(**json.loads(done.stdout))
        except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
            raise ConfigError(
                f"the platforms could not be read ({type(error).__name__})",
                hint="to see the error, run: python -m crawler.fetching.platform_loader",
            ) from error

    @classmethod
    def remembered(cls, folder: Path) -> Self:
        """As `read`, or what an earlier call wrote into a cache folder if no platform has changed since.

        Broken platforms are not remembered, since what is wrong may be mended elsewhere than in their modules.
        """
        path = folder / f"platforms-{_sources_digest()}.json"
        known = cls._load(path)
        if known is None:
            known = cls.read()
            if not known.broken:
                # without a cache every command reads the platforms anew, which takes a second and changes no answer
                with contextlib.suppress(OSError):
                    known._save(path)
        return known

    @classmethod
    def _load(cls, path: Path) -> Self | None:
        try:
            return cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _save(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # those of a few other installations of the same user stay, or each would make the other one read them anew
        remembered = sorted(path.parent.glob("platforms-*.json"), key=lambda each: each.stat().st_mtime_ns)
        for outdated in remembered[: 1 - _MAX_REMEMBERED]:
            outdated.unlink(missing_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix="platforms-", delete=False) as file:
            json.dump(dataclasses.asdict(self), file)
        Path(file.name).replace(path)

    def defaults_for(self, source: SourceFile) -> Mapping[str, Any]:
        """What its platform adds to the definition of a source.

        Raises:
            ConfigError: as `PlatformLoader.platform`.
            SourceError: the definition of the platform cannot be used, or does not fit the address of the source.
        """
        name = source.platform
        if (shipped := platform_file(name)) is not None:
            name = shipped.base
        if name not in self.defaults:
            raise unusable(name, {*self.defaults, *platform_file_names()}, self.broken)
        # a site without a listing is named by its host alone
        front = {"url": page} if name == "linked" and (page := front_page(source.raw)) else {}
        source = dataclasses.replace(source, raw={**source.raw, **front})
        keys = self.defaults[name] if shipped is None else merge(self.defaults[name], shipped.defaults_for(source))
        return {**keys, **front}


def _sources_digest() -> str:
    """16 hex digits that change whenever a platform or the interpreter changes."""
    # of the package itself, without importing it
    package = PathFinder.find_spec(PACKAGE)
    folders = [*(package.submodule_search_locations or () if package else ()), Path(__file__).parent]
    parts = [sys.version, sys.executable]
    for path in sorted(path for folder in folders for path in Path(folder).glob("*.py")):
        found = path.stat()
        parts.append(f"{path} {found.st_mtime_ns} {found.st_size}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def unusable(name: str, known: Iterable[str], broken: Mapping[str, str]) -> ConfigError:
    """The error that says why a platform cannot be used."""
    if name in broken:
        return ConfigError(
            f"the platform '{name}' cannot be used: spiders/{name}.py fails with {broken[name]}",
            hint=f"to see the error, run: python -c 'import spiders.{name}'",
        )
    return ConfigError(
        f"there is no platform '{name}'", hint=f"platforms: {', '.join(sorted(known))}; correct `platform`"
    )


if __name__ == "__main__":
    answer = sys.stdout
    # text that a module prints while it is imported must not mix with the answer
    sys.stdout = sys.stderr
    json.dump(dataclasses.asdict(PlatformLoader().described()), answer)
