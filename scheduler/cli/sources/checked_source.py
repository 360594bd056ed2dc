"""How the result of `tocsin source check` is shown: the posts of a listing, and what was read of two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from data.plural import counted
from data.printable import printable
from scheduler.cli.common import console, note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawler.process.control_frames import OpenedPost
    from data.sources.definition import Definition
    from scheduler.crawls.source_check import CheckResult

_HINTS = {
    "empty": "the page was read, but the rules find nothing on it: compare `list.each`, or `item`, with the page as it is now",
    "blocked": "the site refuses access (log-in, captcha, limit): open it in a browser; lower `rate`",
    "absent": "the site has no page at this address: correct `url`",
}


def hint_of(state: str) -> str:
    """What to do about a check that ended in this state."""
    from scheduler.crawls.crawl_tally import HINTS

    return _HINTS.get(state) or HINTS.get(state) or "see the problems above"


def unread_files_notes(definition: Definition) -> list[str]:
    """What a person must know of a source whose posts may link to files that no rule of it finds."""
    has_rules = definition.item or definition.raw or definition.list.fields.attachments
    if has_rules or definition.platform not in ("declared", "feed"):
        return []
    told = (
        "the page of each post is examined, and so are archives, tables and databases on the hosts of this source to"
        " which it links; files behind other addresses are not read: name them with `item` (docs/sources.md: Files that"
        " posts link to)"
        if definition.linked_files
        else "files to which posts link are not read: `linked_files` is off"
    )
    return [told]


def checked_json(result: CheckResult) -> dict[str, Any]:
    """The result as `--json` prints it."""
    return {
        "state": result.state,
        "posts": result.posts,
        "opened": [post.model_dump() for post in result.opened],
        "problems": list(result.problems),
        "requests": result.requests,
        "refused": result.refused,
        "hosts": dict(result.hosts),
    }


def show_check(result: CheckResult) -> None:
    """Print the posts, the opened posts and the problems."""
    if result.posts:
        print_table(
            ["id", "title", "time", "fields", "address"],
            [
                [
                    str(post.get("native", "")),
                    str(post.get("title", "")),
                    str(post.get("time", "")),
                    _fields_text(post),
                    str(post.get("raw") or post.get("url", "")),
                ]
                for post in result.posts
            ],
        )
    if result.opened:
        click.echo()
        print_table(
            ["opened", "state", "page", "parts", "characters", "files", "next page"],
            [row for post in result.opened for row in _opened_rows(post)],
        )
    click.echo(
        f"{counted(len(result.posts), 'post')}, {len(result.opened)} opened, state {result.state},"
        f" {counted(result.requests, 'request')}, {result.refused} refused; nothing was stored"
    )
    if not result.posts and result.is_good:
        click.echo("the site answers; its posts are those to which other sources link")
    for host, count in result.hosts.items():
        note(f"refused: {counted(count, 'request')} to {printable(host)}, a host that the source does not declare")
    for problem in result.problems:
        note(f"problem: {printable(problem)}")


def _opened_rows(post: OpenedPost) -> list[list[str]]:
    name = post.native or post.url
    if not post.pages:
        return [[name, post.state, "", "", f"{post.size:,} bytes" if post.size else "", "", ""]]
    return [
        [
            "" if number else name,
            "" if number else post.state,
            str(number + 1),
            f"{page.parts:,}",
            f"{page.characters:,}",
            str(page.files),
            "yes" if page.next else "no",
        ]
        for number, page in enumerate(post.pages)
    ]


def _fields_text(post: Mapping[str, Any]) -> str:
    parts = [f"{name} {text}" for name, text in (post.get("fields") or {}).items()]
    if attachments := post.get("attachments"):
        parts.append(f"{len(attachments)} attachments")
    if body := post.get("body"):
        parts.append(f"{len(body)} characters of text")
    return ", ".join(parts)


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print rows of text of a site as a table."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*(Text(printable(cell if len(cell) <= 200 else cell[:199] + "…")) for cell in row))
    console().print(table)
