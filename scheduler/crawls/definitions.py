"""Builds the complete definition of a source: its file overrides the defaults of its platform."""

from __future__ import annotations

import functools
from pathlib import Path

import platformdirs

from crawler.fetching.platform_loader import Platforms
from data.errors import ConfigError
from data.sources.definition import Definition
from data.sources.source_files import SourceFile, build_definition


@functools.cache
def platforms() -> Platforms:
    """All platforms: read once per process, and once on this machine until one of them changes."""
    return Platforms.remembered(Path(platformdirs.user_cache_dir("tocsin")))


def complete_definition(source: SourceFile) -> Definition:
    """The complete definition of a source: the values of its file override the defaults of its platform.

    Raises:
        SourceError: the platform is unknown or broken, or both together are not a valid definition.
    """
    try:
        defaults = platforms().defaults_for(source)
    except ConfigError as error:
        raise source.error("platform", str(error), error.hint) from error
    return build_definition(source, defaults)
