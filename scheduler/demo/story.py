"""The story of the demo: four practices, a leak site on loopback, and the alert that the team receives."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from data.errors import HomeError, TocsinError
from scheduler.canaries.invention import invent_people
from scheduler.demo.servers import Chat, FeedEntry, LeakSite

PRACTICES = {
    "practice-lilas": "Cabinet des Lilas",
    "practice-port": "Maison de santé du Port",
    "practice-nord": "Centre médical Nord",
    "practice-vieux-moulin": "Cabinet du Vieux Moulin",
}
PATIENTS, CANARIES = 400, 12
PART_1, PART_2 = 600, 240

SOURCE = """\
# The leak site of the demo: a grid of cards, read with selectors.
name: leak-site
platform: declared
url: {url}/
every: 15m
list:
  as: html
  each: ["css:div.card"]
  fields:
    id: "xpath:./@id"
    title: "css:h3::text"
    body: "css:p::text"
    link: "css:a.get::attr(href)"
    raw: "css:a.get::attr(href)"
    size: "css:.size::text"
"""

Row = dict[str, str]


class DemoError(TocsinError):
    """A step of the demo did not have the expected result."""


@dataclass
class DemoRun:
    """One run of the demo: its home, and the console that it prints on."""

    home: Path
    out: Console

    def run(self, *arguments: str, expect: Sequence[int] = (0,), show: bool = True) -> str:
        """Run one real command and return its output; print the command as a person would type it, and the output.

        Raises:
            DemoError: its exit status is not one of `expect`.
        """
        shown = " ".join(arguments).replace(str(self.home), "~/tocsin-demo")
        if show:
            self.out.print(f"[bold cyan]$ tocsin {escape(shown)}[/]")
        command = [sys.executable, "-m", "scheduler", "--home", str(self.home), *arguments]
        if arguments[0] == "init":
            command = [sys.executable, "-m", "scheduler", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "110"}
        )
        if done.returncode not in expect:
            raise DemoError(f"`tocsin {shown}` ended with exit status {done.returncode}:\n{done.stdout}{done.stderr}")
        if show and done.stdout.strip():
            self.out.print(escape(done.stdout.rstrip().replace(str(self.home), "~/tocsin-demo")), style="dim")
        return done.stdout

    def start_chapter(self, number: int, title: str, text: str) -> None:
        """Print the heading and the introduction of a chapter."""
        self.out.print()
        self.out.rule(f"[bold]{number}. {title}", align="left")
        self.out.print(text)


def run_demo(keep: Path | None, seed: int) -> int:
    """Run the demo; returns 0 if everything happened as expected.

    Args:
        keep: an empty or new folder for the home of the demo, which is then kept; None to delete it at the end.
        seed: decides which people are invented.

    Raises:
        HomeError: `keep` is not empty.
        DemoError: a step did not have the expected result.
    """
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise HomeError(f"{keep} is not empty", hint="give a new or empty folder with --keep")
    folder = Path(tempfile.mkdtemp(prefix="tocsin-demo-"))
    home = keep.absolute() if keep is not None else folder / "home"
    try:
        with LeakSite() as site, Chat() as chat:
            demo = DemoRun(home, Console(highlight=False, width=110))
            _run_chapters(demo, folder, site, chat, seed, kept=keep is not None)
            offer_console(home)
    finally:
        shutil.rmtree(folder)
    return 0


def offer_console(home: Path) -> None:
    """Ask on a terminal whether to look at the home in the web console, and serve it until Ctrl-C; else do nothing."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    if not click.confirm("\nLook at all this in the web console?", default=False):
        return
    # any free port: the team's own console may run at the usual one
    command = [sys.executable, "-m", "scheduler", "--home", str(home), "console", "--listen", "127.0.0.1:0"]
    with contextlib.suppress(KeyboardInterrupt):
        # Ctrl-C reaches the console too, which ends by itself
        subprocess.run(command, check=False)


def _run_chapters(demo: DemoRun, folder: Path, site: LeakSite, chat: Chat, seed: int, *, kept: bool) -> None:
    began = time.monotonic()
    generator = random.Random(seed)  # noqa: S311 - a demonstration, not a secret
    out = demo.out

    demo.start_chapter(
        1, "The team sets up Tocsin", "It creates a home folder with the keys of the case, and a channel to its chat."
    )
    demo.run("init", str(demo.home))
    config = demo.home / "tocsin.toml"
    config.write_text(config.read_text() + f'\n[channels.team]\nkind = "slack"\nurl = "{chat.url}/services/demo"\n')

    demo.start_chapter(
        2,
        "Four practices plant canaries",
        "Each practice adds invented patients to its own records. Tocsin stores only keyed hashes of them.",
    )
    population: list[tuple[str, Row]] = []
    for number, (client, name) in enumerate(PRACTICES.items()):
        planted = folder / f"{client}.csv"
        demo.run(
            "canary", "generate", "--client", client, "--name", name, "--count", str(CANARIES),
            "--seed", str(seed + number), "--out", str(planted), show=number == 0,
        )  # fmt: skip
        canaries = list(csv.DictReader(io.StringIO(planted.read_text(encoding="utf-8"))))
        patients = invent_people(PATIENTS - CANARIES, seed=seed + 100 + number)
        population += [(client, row) for row in [*canaries, *patients]]
        planted.unlink()
    demo.run("canary", "list")
    generator.shuffle(population)
    part_1 = [row for _, row in population[:PART_1]]
    part_2 = [row for _, row in population[PART_1 : PART_1 + PART_2]]

    demo.start_chapter(
        3,
        "The software vendor of all four practices is breached",
        f"A first part with {PART_1} patients is already public. The team registers it as a known release.",
    )
    first = folder / "part1.csv"
    first.write_bytes(_table(part_1))
    clients = [option for client in PRACTICES for option in ("--client", client)]
    demo.run("incident", "add", "vendor-breach", *clients, "--source", "leak-site")
    demo.run("release", "add", "--incident", "vendor-breach", "--name", "part-1", str(first))

    demo.start_chapter(
        4,
        "Tocsin watches the leak site",
        "The site has the first part, a copy of it in another format (JSON lines, shuffled), and an unrelated dump.",
    )
    again = [dict(row) for row in part_1]
    generator.shuffle(again)
    site.publish(
        FeedEntry("a1", "HEALTH VENDOR part 1", "first files, they know", "part1.csv", _table(part_1), "text/csv")
    )
    site.publish(FeedEntry("a2", "vendor repack", "mirror", "repack.jsonl", _json_lines(again), "application/json"))
    # invented telephone numbers are few: a customer with that of a canary would be a hit
    phones = {row["telephone"] for _, row in population}
    customers = [row for row in invent_people(300, seed=seed + 999) if row["telephone"] not in phones]
    site.publish(FeedEntry("a3", "shoe shop customers", "40k", "shop.csv", _table(customers), "text/csv"))
    source = folder / "leak-site.yaml"
    source.write_text(SOURCE.format(url=site.url))
    demo.run("source", "add", str(source))
    demo.run("crawl", "leak-site", expect=(0, 1))
    received_before = len(chat.messages)
    if received_before:
        raise DemoError(f"known data and other people's should ring nobody, but {received_before} alerts were sent")
    out.print(
        "The chat received [bold]no[/] message: the part and its copy were known, and the shop's customers are others."
    )

    demo.start_chapter(
        5,
        "The attacker publishes more",
        f"A new zip archive has {PART_2} patients who were not published before, and 150 of the first part.",
    )
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export/patients_02.csv", _table([*part_2, *part_1[:150]], separator=";"))
        archive.writestr("README.txt", "full data on friday")
    site.publish(
        FeedEntry("a4", "HEALTH VENDOR part 2", "more on friday", "part2.zip", body.getvalue(), "application/zip")
    )
    demo.run("crawl", "leak-site", expect=(1,))

    demo.start_chapter(6, "The team is alerted", "This is the message that the chat endpoint received:")
    received = chat.messages[received_before:]
    if len(received) != 1:
        raise DemoError(f"the new release should cause one alert, but {len(received)} were sent")
    out.print(Panel(escape(_message_text(received[0])), title="#security-alarms", border_style="red"))
    demo.run("status", expect=(0, 2))

    demo.start_chapter(
        7,
        "The team hands over a report",
        "One page that needs nothing else: what was published, whose data it is, what is not known.",
    )
    report = demo.home / "report.html" if kept else Path(tempfile.mkdtemp(prefix="tocsin-report-")) / "report.html"
    demo.run("report", "vendor-breach", "--out", str(report))
    _check_no_plaintext(demo, [*part_1, *part_2], report)
    out.rule("[bold]Where to look next", align="left")
    out.print(
        "  README.md               how to set up your first real source in five minutes\n"
        "  tocsin demo --keep DIR  run the demo and keep its home for `tocsin --home DIR alert list` and others\n"
        "  docs/sources.md         source files\n"
        "  docs/alerts.md          channels, and which events cause alerts\n"
        "  SECURITY.md             which data Tocsin stores, and which it never stores"
    )
    out.print(f"\nThe report: [bold]{report.as_uri()}[/]", soft_wrap=True)
    out.print(f"[bold green]The demo succeeded[/] after {time.monotonic() - began:.0f} s.")


def _check_no_plaintext(demo: DemoRun, rows: Sequence[Row], report: Path) -> None:
    """Search the whole home and the report for every value of every published patient; DemoError if one is found."""
    values = {value.encode() for row in rows for value in row.values() if len(value) > 8}
    searched = 0
    for path in {*demo.home.rglob("*"), *report.parent.glob("report.*")}:
        if path.is_file():
            blob = path.read_bytes()
            searched += len(blob)
            if found := sum(value in blob for value in values):
                raise DemoError(f"{found} values of patients are in {path.name} in clear")
    demo.out.print(
        f"[green]No plaintext:[/] all {searched:,} bytes of the home and the report were searched for {len(values):,} values "
        f"of {len(rows)} patients; none was found."
    )


def _table(rows: Sequence[Row], separator: str = ",") -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _json_lines(rows: Sequence[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _message_text(message: dict[str, Any]) -> str:
    """The text that a person reads in a Slack message: that of its blocks, else its plain text."""
    lines: list[str] = []
    for block in message.get("blocks", []):
        text = block.get("text") or {}
        if text.get("text"):
            lines.append(text["text"])
        lines += [part["text"] for part in [*block.get("fields", []), *block.get("elements", [])] if "text" in part]
    return "\n".join(lines) or str(message.get("text", ""))
