"""Draws the last crawls of a source as a bar: one stroke for each, whose height is how it ended and whose title says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from data.printable import printable

STEP, HEIGHT = 6, 26
# A crawl that did not end well is a short stroke, so that the colour is not all that tells.
_TOP = {"done": 2, "leased": 8, "queued": 8, "failed": 14, "expired": 14}
_WORDS = {"done": "read", "leased": "runs now", "queued": "waits", "failed": "failed", "expired": "was given up"}


def draw_crawls(crawls: Sequence[Mapping[str, Any]], places: int) -> Markup:
    """The SVG of crawls that come newest first, with the newest on the right.

    Args:
        crawls: with `state`, `started`, `new` and `error`.
        places: how many there may be; free places are to the left.
    """
    shown = list(reversed(crawls[:places]))
    done = sum(each["state"] == "done" for each in shown)
    title = f"{done} of the last {len(shown)} crawls read the source" if shown else "never crawled"
    strokes = []
    for place, each in enumerate(shown, places - len(shown)):
        top = _TOP.get(each["state"], 14)
        said = f"{str(each['started'] or '')[:16].replace('T', ' ')}: {_WORDS.get(each['state'], each['state'])}"
        said += f", {each['new']:,} new" if each["new"] else ""
        said += f": {printable(str(each['error']))[:120]}" if each["error"] else ""
        strokes.append(
            f'<rect class="{escape(each["state"])}" x="{place * STEP}" y="{top}" width="4" height="{HEIGHT - top}" rx="1">'
            f"<title>{escape(said)}</title></rect>"
        )
    free = places - len(shown)
    rest = f'<rect class="none" x="0" y="{HEIGHT - 2}" width="{free * STEP - 2}" height="2"/>' if free else ""
    return Markup(  # noqa: S704 - every text in it is escaped
        f'<svg class="bar-chart" viewBox="0 0 {places * STEP} {HEIGHT}" role="img" aria-label="{escape(title)}"'
        f' preserveAspectRatio="none">{rest}{"".join(strokes)}</svg>'
    )
