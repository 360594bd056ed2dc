"""A source's whole definition: what its file says over what its platform brings."""

from __future__ import annotations

import functools

from crawler.fetching.platform_loader import Platforms
from data.errors import ConfigError
from data.sources.definition import Definition
from data.sources.source_files import SourceFile, build_definition


@functools.cache
def platforms() -> Platforms:
    """All platforms, read once by this process."""
    return Platforms.read()


def complete_definition(source: SourceFile) -> Definition:
    """The whole definition of a source: what its file says over what its platform brings.

    Raises:
        SourceError: the platform is unknown or broken, or both together make no definition.
    """
    try:
        defaults = platforms().defaults_of(source.platform)
    except ConfigError as error:
        raise source.error("platform", str(error), error.hint) from error
    return build_definition(source, defaults)
