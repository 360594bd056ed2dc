"""Turns pages into HTML, JSON or CSV. Everything that a template prints is freed of control characters and escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from crawler.alerts.plain_text import defang
from data.plural import counted
from data.printable import CONTROLS, without_controls
from scheduler.console.addresses import address
from scheduler.console.pages import WebPage, csv_text

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"
# How often the live parts of a page are fetched again, in seconds.
LIVE_SECONDS = 10
# The address of each section, its name, and the key of a letter that leads there.
SECTIONS = (
    ("/", "Now"),
    ("/alerts", "Alerts"),
    ("/incidents", "Incidents"),
    ("/sources", "Sources"),
    ("/releases", "Releases"),
    ("/delivery", "Delivery"),
    ("/about", "About"),
)
SEVERITY_MARKS = {"critical": "◆", "warning": "▲", "notice": "●", "info": "○"}


# An onion address that others wrote is never shown so that a click or a copy leads there.
_ONION = re.compile(r"\.onion\b", re.IGNORECASE)


def _shown(value: Any) -> Any:
    """Whatever a template prints: Markup is made by us, everything else is text that others may have written."""
    if value is None:
        return ""
    if isinstance(value, Markup):
        return value
    return _ONION.sub("[.]onion", without_controls(str(value)))


def exact_text(value: object) -> Markup:
    """Text that a form sends back: escaped and without control characters, but otherwise as it is."""
    return escape(without_controls(str(value)))


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "age": age_text,
        "time": time_text,
        "number": number_text,
        "defang": defang,
        "exact": exact_text,
        "part": lambda text: Markup(quote(str(text), safe="")),  # noqa: S704 - nothing is left to escape
    }
    made.globals |= {
        "sections": SECTIONS,
        "counted": counted,
        "marks": SEVERITY_MARKS,
        "live_seconds": LIVE_SECONDS,
        "address": lambda *given, **changed: escape(address(*given, **changed)),
    }
    return made


def number_text(value: float | None) -> str:
    """`1,500`; a dash for none."""
    return "–" if value is None else f"{value:,}"


def time_text(value: datetime | str | None) -> Markup | str:
    """A time as people read it, in UTC to the minute, inside an element that holds it exactly; a dash for none."""
    if not value:
        return "–"
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    at = at.astimezone(UTC)
    return Markup('<time datetime="{0}">{1}</time>').format(
        at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M} UTC"
    )


def age_text(seconds: float | None) -> str:
    """`3 min`, `2 h`, `5 d`; `never` for None."""
    if seconds is None:
        return "never"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


_ENVIRONMENT = _environment()


def load_templates() -> None:
    """Compile all templates, which takes longer than to fill them."""
    for name in _ENVIRONMENT.list_templates():
        _ENVIRONMENT.get_template(name)


def json_response(value: Any, status: int = 200) -> Response:
    """JSON in which no control character stands, as that of the commands."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z, default=str).decode()
    text = CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return Response(text + "\n", status, media_type="application/json")


def respond(request: Request, page: WebPage, form: str, shared: Mapping[str, Any]) -> Response:
    """A page as `html`, `json` or `csv`; `shared` is what every template needs."""
    if form == "json":
        return json_response(page.data, page.status)
    if form == "csv":
        name = page.template.removesuffix(".html")
        disposition = {"content-disposition": f'attachment; filename="tocsin-{name}.csv"'}
        return Response(
            csv_text(page.columns, page.rows), page.status, disposition, media_type="text/csv; charset=utf-8"
        )
    template = _ENVIRONMENT.get_template(page.template)
    values = {**page.data, **page.more, **shared, "page": page, "nonce": request.scope["state"]["nonce"]}
    text = template.render(values)
    return HTMLResponse(text, page.status)
