"""The list of all views and actions of the console; the modules `*_view` hold them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scheduler.console import alerts_view, incidents_view, now_view, sources_view, system_views
from scheduler.console.access import Person, Role
from scheduler.console.console import Console
from scheduler.console.pages import Asked, WebPage

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
    _prepare_incidents(asked.console, [each["id"] for each in page.data["incidents"]])
    return page


def prepare(console: Console) -> None:
    """Begin to work out what people look at first, beside everything else."""

    def work() -> None:
        console.status()
        console.names()
        _prepare_incidents(console, [each.id for each in now_view.open_ones(console)])

    console.prepare("first views", work)


def _prepare_incidents(console: Console, incidents: Sequence[str]) -> None:
    for name in [each for each in incidents[:PREPARED] if each]:
        console.prepare(incidents_view.kept_name(name), functools.partial(incidents_view.read, console, name))


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
