"""Builds the complete definition of a source: its file overrides the defaults of its platform."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from pydantic import BaseModel

from crawler.fetching.platform_loader import Platforms
from data.errors import ConfigError, SourceError, TocsinError
from data.settings.credentials import read_credential
from data.settings.home import Home
from data.settings.permissions import readable_by_others, writable_by_others
from data.sources.cookie_files import read_cookies, usable_cookies
from data.sources.definition import Definition, source_hosts
from data.sources.platform_files import boards_of, link_shapes, may_take_links
from data.sources.source_files import SourceFile, build_definition, load_source
from data.store.store import Store

if TYPE_CHECKING:
    from crawler.process.job_frame import JobCookie

_PLATFORM = re.compile(r"""\bplatform["']?\s*:\s*["']?([\w.-]+)""")


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
    definition = _with_shared_sections(build_definition(source, defaults))
    try:
        boards_of(definition)
    except SourceError as error:
        raise source.error("also", str(error), error.hint) from error
    return definition


_sections: dict[str, BaseModel] = {}
# Different sections that are kept; a source of known software has none of its own.
_MAX_SECTIONS = 4096


def _with_shared_sections(definition: Definition) -> Definition:
    """The definition, whose sections are the objects of earlier ones if they are equal.

    Definitions are frozen. Those of ten thousand sources of one software would take 200 MB.
    """
    shared = {}
    for name, section in definition:
        if isinstance(section, BaseModel):
            if len(_sections) >= _MAX_SECTIONS:
                _sections.clear()
            shared[name] = _sections.setdefault(f"{name} {section.model_dump_json()}", section)
    return definition.model_copy(update=shared)


def put_source(store: Store, definition: Definition, now: datetime) -> None:
    """Store a source, or what has changed of it."""
    store.sources.put(
        definition.name,
        definition.digest(),
        definition.enabled,
        now,
        platform=definition.platform,
        via=definition.via,
    )


def session_cookies(home: Home, definition: Definition) -> tuple[JobCookie, ...]:
    """The operator's own cookies for the hosts of a source; () if its definition asks for none.

    Raises:
        ConfigError: there are none, they are malformed or for other hosts, or all have expired.
    """
    if not definition.cookies:
        return ()
    name, hint = (
        definition.name,
        f"export them from your browser, and run: tocsin source cookies {definition.name} FILE",
    )
    if definition.cookies == "file":
        path = home.cookies_path(name)
        try:
            if readable_by_others(path):
                raise ConfigError(
                    f"other users can read the cookies of {name}; they are not used", hint=f"chmod 600 {path}"
                )
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"there are no cookies for {name}", hint=hint) from error
    else:
        text = read_credential(definition.cookies.removeprefix("cred:"), home.environ)
    # the frames of jobs are models that take a tenth of the time of `status`, which makes none
    from crawler.process.job_frame import JobCookie

    hosts = {host for host, _ in source_hosts(definition)}
    found = usable_cookies(read_cookies(text), hosts, datetime.now(UTC))
    if not found:
        raise ConfigError(f"no cookie of {name} is for its hosts, or all have expired", hint=hint)
    return tuple(
        JobCookie(name=each.name, value=each.value, domain=each.domain, path=each.path, secure=each.secure)
        for each in found
    )


@dataclass(frozen=True, slots=True)
class LinkTaker:
    """A source that takes links without a rule: its definition, and the shapes of the addresses that are its posts."""

    definition: Definition
    shapes: tuple[str, ...]


_takers: dict[str, tuple[tuple[int, int], LinkTaker | None]] = {}
# After a look at all files the next one waits so many times as long as it took: each crawl asks, and of ten thousand files
# a look takes 0.05 s of the daemon's time.
REST = 19
# Folder -> when it is looked at again (monotonic), and what was found.
_looks: dict[Path, tuple[float, list[LinkTaker]]] = {}


def link_takers(folder: Path) -> list[LinkTaker]:
    """The enabled sources of a folder that take links from all other sources; each file is read when it has changed.

    A file that cannot be used takes none: that it cannot is told by whatever crawls it. A change is seen at once in a small
    folder, and a second later in one of ten thousand files.
    """
    until, found = _looks.get(folder, (0.0, []))
    if time.monotonic() < until:
        return found
    began, found = time.thread_time(), []
    # a folder that is not there has no sources
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted((each for each in entries if each.name.endswith(".yaml")), key=lambda each: each.name):
            with contextlib.suppress(OSError, UnicodeDecodeError, TocsinError):
                status = entry.stat()
                digest = (status.st_mtime_ns, status.st_size)
                known = _takers.get(entry.path)
                if known is None or known[0] != digest:
                    known = _takers[entry.path] = (digest, None)
                    known = _takers[entry.path] = (digest, _link_taker(Path(entry.path)))
                if known[1] is not None:
                    found.append(known[1])
    _looks[folder] = time.monotonic() + REST * (time.thread_time() - began), found
    return found


def _link_taker(path: Path) -> LinkTaker | None:
    # reading YAML takes milliseconds, and most sources are none of these
    named = _PLATFORM.findall(path.read_text("utf-8-sig"))
    if not any(may_take_links(name) for name in named):
        return None
    if writable_by_others(path) or writable_by_others(path.parent):
        return None
    definition = complete_definition(load_source(path))
    shapes = link_shapes(definition)
    return LinkTaker(definition, shapes) if shapes and definition.enabled and definition.name == path.stem else None


def why_alone(definition: Definition, noted: str) -> str:
    """Why a source is crawled in a process of its own, a word; '' if it may share one once a first crawl has ended well.

    One with a session may not: whoever takes a process over has what all its crawls have, and could send the cookies to a
    site of its own. Neither may one with a browser, whose pages take their time, nor one over Tor.

    Args:
        definition: of the source.
        noted: what the store noted of its crawls (`Sources.alone`).
    """
    if definition.via != "direct":
        return definition.via
    if definition.cookies:
        return "session"
    return "browser" if definition.render else noted
