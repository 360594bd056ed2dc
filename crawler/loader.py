"""Finds the platforms in `spiders/`, file by file: one broken module is noted by name, all others run."""

from __future__ import annotations

import builtins
import importlib
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from data.errors import ConfigError

if TYPE_CHECKING:
    from scrapy import Request
    from scrapy.settings import BaseSettings

    from crawler.spider import SourceSpider

PACKAGE = "spiders"


class PlatformLoader:
    """Scrapy's spider loader for platforms (`SPIDER_LOADER_CLASS`).

    Attributes:
        broken: module name -> class of the exception that its import raised; no text, for that could hold anything.
    """

    def __init__(self, packages: list[str] | None = None) -> None:
        self.broken: dict[str, str] = {}
        self._platforms: dict[str, type[SourceSpider]] = {}
        for package in packages or [PACKAGE]:
            self._load(package)

    @classmethod
    def from_settings(cls, settings: BaseSettings) -> Self:
        """As Scrapy makes it: the packages of `SPIDER_MODULES`."""
        return cls(settings.getlist("SPIDER_MODULES"))

    def _load(self, package: str) -> None:
        from crawler.spider import SourceSpider

        folder = importlib.import_module(package)
        for found in pkgutil.iter_modules(folder.__path__):
            try:
                module = importlib.import_module(f"{package}.{found.name}")
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever one platform does, the others run
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
        """The class of a platform; raises KeyError, as Scrapy asks."""
        return self._platforms[spider_name]

    def list(self) -> builtins.list[str]:
        """Names of all platforms that work, in order."""
        return sorted(self._platforms)

    def find_by_request(self, request: Request) -> builtins.list[str]:  # noqa: ARG002 - Scrapy's protocol
        """Nothing: a source names its platform, an address never does."""
        return []

    def platform(self, name: str) -> type[SourceSpider]:
        """The class of a platform.

        Raises:
            ConfigError: there is none of that name, or its module is broken.
        """
        if name in self._platforms:
            return self._platforms[name]
        if name in self.broken:
            raise ConfigError(
                f"the platform '{name}' cannot be used: spiders/{name}.py fails with {self.broken[name]}",
                hint=f"see what is wrong with it: python -c 'import spiders.{name}'",
            )
        raise ConfigError(
            f"there is no platform '{name}'", hint=f"platforms: {', '.join(self.list())}; correct `platform`"
        )

    def defaults(self, name: str) -> Mapping[str, Any]:
        """What a platform brings to a definition; raises ConfigError as `platform` does."""
        return self.platform(name).defaults
