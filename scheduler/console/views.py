"""The list of all views and actions of the console; the modules `*_view` hold them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from data.errors import TocsinError
from scheduler.console import alerts_view, incidents_view, now_view, sources_view, system_views
from scheduler.console.access import Person, Role
from scheduler.console.console import STALE_SECONDS, Console
from scheduler.console.pages import Asked, WebPage
from scheduler.console.rendering import load_templates

_log = structlog.get_logger("console")
PREPARED = 3
Fields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class View:
    """A page with its twins.

    Attributes:
        path: its address; the twins have `.json` and `.csv` behind it.
        show: gives the page. role: who may see it.
    """

    path: str
    show: Callable[[Asked], WebPage]
    role: Role = Role.VIEW

    def addresses(self) -> Iterator[tuple[str, str]]:
        """Its addresses, each with its form; a twin comes first, because a variable part would take its ending too."""
        twin = "/now" if self.path == "/" else self.path
        yield from ((f"{twin}.json", "json"), (f"{twin}.csv", "csv"), (self.path, "html"))


@dataclass(frozen=True, slots=True)
class Action:
    """What a form does.

    Attributes:
        path: where it is sent. role: who may send it.
        do: does it with the fields of the form and the variable parts of the address; gives a page, or the address to
            which the browser goes next.
    """

    path: str
    do: Callable[[Console, Person, Fields, Mapping[str, str]], Awaitable[WebPage | str]]
    role: Role = Role.TRIAGE


def views() -> Sequence[View]:
    """All views; an address with a variable part stands behind those that it would match as well."""
    return (
        View("/", _now),
        View("/alerts", alerts_view.show),
        View("/alerts/{event}", alerts_view.show_one),
        View("/incidents", incidents_view.show),
        View("/incidents/{incident}", incidents_view.show_one),
        View("/sources", sources_view.show),
        View("/sources/+new", sources_view.show_new, Role.ADMIN),
        View("/sources/{name}", sources_view.show_one),
        View("/releases", system_views.releases),
        View("/delivery", system_views.delivery),
        View("/about", system_views.about),
    )


def _now(asked: Asked) -> WebPage:
    """The first page; the incidents that stand first on it are what people open next."""
    page = now_view.show(asked)
    for name in _first_incidents(asked.console):
        work = functools.partial(incidents_view.read, asked.console, name)
        asked.console.prepare(incidents_view.kept_name(name), work)
    return page


def prepare(console: Console) -> None:
    """Do what makes first looks slow: load templates and modules, read source files, and work out what all share."""
    load_templates()
    asked = Asked(console, console.reading(), Person("", "", Role.ADMIN), {}, {}, datetime.now(UTC))
    try:
        for view in views():
            if "{" not in view.path:
                view.show(asked)
        for name in _first_incidents(console):
            work = functools.partial(incidents_view.read, console, name)
            console.kept(incidents_view.kept_name(name), STALE_SECONDS / 2, work)
    except TocsinError as error:
        # whoever looks meets it, in words
        _log.warning("what people look at first could not be prepared", error=str(error))


def _first_incidents(console: Console) -> list[str]:
    """Ids of the incidents that stand first on the first page."""
    return [each.id for each in now_view.open_ones(console)[:PREPARED] if each.id]


def actions() -> Sequence[Action]:
    """All actions."""
    return (
        Action("/alerts/decide", alerts_view.decide_about),
        Action("/sources/+look", sources_view.look, Role.ADMIN),
        Action("/sources/+add", sources_view.add, Role.ADMIN),
        Action("/delivery/retry", system_views.retry),
        Action("/about/check", system_views.check, Role.ADMIN),
        Action("/about/invite", system_views.invite, Role.ADMIN),
        Action("/about/revoke", system_views.revoke, Role.ADMIN),
    )
