"""Draws the lineage of the posts of an incident as an SVG: an arc diagram, one row for each body of data, oldest first.

Colours stand in the drawing as those of paper, for programs that make PDF of it; the style of the page replaces them with those of
the screen. Rows do not move sideways with the depth of the lineage, so that a chain of forty posts is as readable as one of three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup, escape

from scheduler.reports.document.words import Words

WIDTH, ROW, LOW_ROW, TOP = 760, 78, 46, 14
AXIS = 150
"""Where the marks of the rows stand; the arcs are to the left of it, the words to the right."""
MAX_ROWS = 30
"""The graph has so many rows, those with new data first; the table below it has all. So it fits on a sheet of paper."""
_MANY = 12
"""With more rows than this, each is lower: name and counts, verdict and parent."""
_MARK = 8.0
_INK, _SOFT, _RULE, _CALM, _ACCENT = "#16191d", "#4d555e", "#d3d6da", "#6b7785", "#9b1c31"
_TEXTS = {
    "label": f'font-weight="bold" font-size="14.5" fill="{_INK}"',
    "when": f'font-weight="normal" font-size="13" fill="{_SOFT}"',
    "verdict": f'font-size="13.5" fill="{_INK}"',
    "counts": f'font-size="13.5" fill="{_INK}"',
    "relation": f'font-size="13" fill="{_SOFT}"',
    "legend": f'font-size="12" fill="{_SOFT}"',
}

# Of the legend: pixels of a letter of 12 pixels in DejaVu Sans, on the average of words, and from line to line.
_LEGEND_LETTER, _LEGEND_LINE = 7.0, 20


@dataclass(frozen=True, slots=True)
class GraphRow:
    """One body of data in the graph.

    Attributes:
        key: of the body. label: its name. when: a date in words. lines: what is said of it, one to three lines.
        state: `baseline`, `new`, `known` or `open`, which decides the form of its mark.
        parents: key and share of each body from which people of it come.
    """

    key: str
    label: str
    when: str
    lines: tuple[str, ...]
    state: str
    parents: tuple[tuple[str, float], ...]


def draw_lineage(rows: Sequence[GraphRow], words: Words) -> Markup:
    """The SVG of some rows, with a title and a legend; all colours are CSS variables of the page."""
    shown = _chosen(rows)
    step = ROW if len(shown) <= _MANY else LOW_ROW
    place = {row.key: TOP + step * number + step / 2 for number, row in enumerate(shown)}
    legend = _legend(words)
    height = TOP + step * len(shown) + 34 + _LEGEND_LINE * (len(legend) - 1)
    parts = [
        (
            f'<svg class="lineage" role="img" aria-labelledby="lineage-title" viewBox="0 0 {WIDTH} {height}"'
            f' width="{WIDTH}" height="{height}" xmlns="http://www.w3.org/2000/svg"'
            " font-family=\"'Liberation Sans', Arial, sans-serif\">"
        ),
        f'<title id="lineage-title">{escape(words("lineage_title"))}</title>',
    ]
    parts += [_arc(place[parent], place[row.key], share, row.state) for row in shown
              for parent, share in row.parents if parent in place]  # fmt: skip
    if len(shown) > 1:
        first, last = place[shown[0].key], place[shown[-1].key]
        parts.insert(
            2,
            f'<line class="axis" stroke="{_RULE}" stroke-width="1.5" x1="{AXIS}" x2="{AXIS}" y1="{first:g}" y2="{last:g}"/>',
        )
    parts += [_row(row if step == ROW else _low(row), place[row.key]) for row in shown]
    parts.append(_draw_legend(legend, TOP + step * len(shown) + 20))
    parts.append("</svg>")
    return Markup("".join(parts))  # noqa: S704 - every text in it is escaped


def _chosen(rows: Sequence[GraphRow]) -> list[GraphRow]:
    """The rows that are drawn, in their order: if there are too many, those that repeat known data are left out first."""
    kept = sorted(range(len(rows)), key=lambda at: (rows[at].state == "known", at))[:MAX_ROWS]
    return [rows[at] for at in sorted(kept)]


def _low(row: GraphRow) -> GraphRow:
    """The row in one line and its name."""
    return replace(row, lines=(" · ".join((row.lines[0], *row.lines[-1:][: len(row.lines) - 1])),))


def _arc(start: float, end: float, share: float, state: str) -> str:
    """A curve on the left from one row down to a later one, thicker for a larger share."""
    bend = min(AXIS - 14.0, 26 + (end - start) * 0.42)
    x, colour = AXIS - _MARK, _ACCENT if state == "new" else _CALM
    return (
        f'<path class="arc {state}" fill="none" stroke="{colour}" opacity=".55" stroke-width="{1.2 + 4.8 * share:.1f}"'
        f' d="M{x:g} {start:g}C{x - bend:g} {start:g} {x - bend:g} {end:g} {x - 5:g} {end:g}"/>'
        f'<path class="tip {state}" fill="{colour}" d="M{x:g} {end:g}l-8 -4.5v9z"/>'
    )


def _mark(state: str, x: float, y: float) -> str:
    if state == "baseline":
        return f'<rect class="mark baseline" fill="{_INK}" x="{x - 6:g}" y="{y - 6:g}" width="12" height="12" rx="2"/>'
    colour, inside = (_ACCENT, _ACCENT) if state == "new" else (_CALM, "#ffffff")
    dashes = ' stroke-dasharray="3 2.4"' if state == "open" else ""
    return (
        f'<circle class="mark {state}" fill="{inside}" stroke="{colour}" stroke-width="2"{dashes}'
        f' cx="{x:g}" cy="{y:g}" r="6.5"/>'
    )


def _row(row: GraphRow, y: float) -> str:
    left = AXIS + 22
    lines = row.lines[:3]
    top = y - 9 - 8 * (len(lines) - 1)
    names = ("verdict", "relation", "relation") if len(lines) < 3 else ("verdict", "counts", "relation")
    texts = [
        (
            f'<text class="label" {_TEXTS["label"]} x="{left}" y="{top + 4:g}">{escape(_cut(row.label, 46))}</text>'
            f'<text class="when" {_TEXTS["when"]} text-anchor="end" x="{WIDTH - 2}" y="{top + 4:g}">'
            f"{escape(row.when)}</text>"
        )
    ]
    texts += [
        f'<text class="{name}" {_TEXTS[name]} x="{left}" y="{top + 21 + 16 * number:g}">{escape(_cut(line, 92))}</text>'
        for number, (name, line) in enumerate(zip(names, lines, strict=False))
    ]
    return f"<g>{_mark(row.state, AXIS, y)}{''.join(texts)}</g>"


def _legend(words: Words) -> list[list[tuple[str, str, float]]]:
    """The state, text and place of each entry of the legend, in the lines that they take."""
    lines: list[list[tuple[str, str, float]]] = [[]]
    x = 12.0
    for state in ("baseline", "new", "known", "open"):
        text = words(f"legend_{state}")
        # where Liberation Sans and Arial are missing, a wider font stands in for them
        width = 34 + _LEGEND_LETTER * len(text)
        if lines[-1] and x + width > WIDTH:
            lines.append([])
            x = 12.0
        lines[-1].append((state, text, x))
        x += width
    return lines


def _draw_legend(lines: Sequence[Sequence[tuple[str, str, float]]], y: float) -> str:
    parts = []
    for number, entries in enumerate(lines):
        at = y + _LEGEND_LINE * number
        for state, text, x in entries:
            parts.append(_mark(state, x + 6, at - 4))
            parts.append(f'<text class="legend" {_TEXTS["legend"]} x="{x + 18:g}" y="{at:g}">{escape(text)}</text>')
    return "".join(parts)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
