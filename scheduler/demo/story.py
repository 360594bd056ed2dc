"""The demo's story: four practices, a leak site on loopback, and what the team hears of it."""

from __future__ import annotations

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

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from data.errors import HomeError, TocsinError
from scheduler.canaries.invention import invent
from scheduler.demo.servers import Chat, Entry, LeakSite

PRACTICES = {
    "practice-lilas": "Cabinet des Lilas",
    "practice-port": "Maison de santé du Port",
    "practice-nord": "Centre médical Nord",
    "practice-vieux-moulin": "Cabinet du Vieux Moulin",
}
PATIENTS, CANARIES = 400, 12
PART_1, PART_2 = 600, 240

SOURCE = """\
# The leak site of the demo: a card grid, read with selectors.
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
    """A command of the demo did not do what the story needs."""


@dataclass
class Stage:
    """Where the story plays: the home, the console, and the commands run so far."""

    home: Path
    out: Console

    def run(self, *arguments: str, expect: Sequence[int] = (0,), show: bool = True) -> str:
        """Run one real command, print it as a person would type it, and return what it said."""
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
            raise DemoError(f"`tocsin {shown}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        if show and done.stdout.strip():
            self.out.print(escape(done.stdout.rstrip().replace(str(self.home), "~/tocsin-demo")), style="dim")
        return done.stdout

    def chapter(self, number: int, title: str, text: str) -> None:
        """Say what comes."""
        self.out.print()
        self.out.rule(f"[bold]{number}. {title}", align="left")
        self.out.print(text)


def tell_story(keep: Path | None, seed: int) -> int:
    """Play the story; 0 if it ended as it should, else an error is raised."""
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise HomeError(f"{keep} is not empty", hint="name a new folder for --keep")
    folder = Path(tempfile.mkdtemp(prefix="tocsin-demo-"))
    home = keep.absolute() if keep is not None else folder / "home"
    try:
        with LeakSite() as site, Chat() as chat:
            _play(Stage(home, Console(highlight=False, width=110)), folder, site, chat, seed, kept=keep is not None)
    finally:
        shutil.rmtree(folder)
    return 0


def _play(stage: Stage, folder: Path, site: LeakSite, chat: Chat, seed: int, *, kept: bool) -> None:
    began = time.monotonic()
    dice = random.Random(seed)  # noqa: S311 - a story, not a secret
    out = stage.out

    stage.chapter(1, "A team sets up", "A home folder with the keys of the case, and a channel to the team's chat.")
    stage.run("init", str(stage.home))
    config = stage.home / "tocsin.toml"
    config.write_text(config.read_text() + f'\n[channels.team]\nkind = "slack"\nurl = "{chat.url}/services/demo"\n')

    stage.chapter(
        2,
        "Four practices plant canaries",
        "Each practice mixes invented patients into its own records. Tocsin keeps only keyed hashes of them.",
    )
    population: list[tuple[str, Row]] = []
    for number, (client, name) in enumerate(PRACTICES.items()):
        planted = folder / f"{client}.csv"
        stage.run(
            "canary", "generate", "--client", client, "--name", name, "--count", str(CANARIES),
            "--seed", str(seed + number), "--out", str(planted), show=number == 0,
        )  # fmt: skip
        canaries = list(csv.DictReader(io.StringIO(planted.read_text(encoding="utf-8"))))
        patients = invent(PATIENTS - CANARIES, seed=seed + 100 + number)
        population += [(client, row) for row in [*canaries, *patients]]
        planted.unlink()
    stage.run("canary", "list")
    dice.shuffle(population)
    part_1 = [row for _, row in population[:PART_1]]
    part_2 = [row for _, row in population[PART_1 : PART_1 + PART_2]]

    stage.chapter(
        3,
        "The vendor of all four is breached",
        f"A first part is already public: {PART_1} patients. It is registered as known.",
    )
    first = folder / "part1.csv"
    first.write_bytes(_table(part_1))
    clients = [option for client in PRACTICES for option in ("--client", client)]
    stage.run("incident", "add", "vendor-breach", *clients, "--source", "leak-site")
    stage.run("release", "add", "--incident", "vendor-breach", "--name", "part-1", str(first))

    stage.chapter(
        4,
        "The leak site is watched",
        "It shows the first part again in other clothes (JSON lines, shuffled), and somebody else's dump.",
    )
    again = [dict(row) for row in part_1]
    dice.shuffle(again)
    site.publish(Entry("a1", "HEALTH VENDOR part 1", "first files, they know", "part1.csv", _table(part_1), "text/csv"))
    site.publish(Entry("a2", "vendor repack", "mirror", "repack.jsonl", _json_lines(again), "application/json"))
    site.publish(
        Entry("a3", "shoe shop customers", "40k", "shop.csv", _table(invent(300, seed=seed + 999)), "text/csv")
    )
    source = folder / "leak-site.yaml"
    source.write_text(SOURCE.format(url=site.url))
    stage.run("source", "add", str(source))
    stage.run("crawl", "leak-site", expect=(0, 1))
    quiet = len(chat.messages)
    out.print(
        f"The chat received [bold]{quiet}[/] messages: what is known does not ring again."
        if not quiet
        else f"The chat received [bold]{quiet}[/] messages."
    )

    stage.chapter(
        5,
        "A further release",
        f"The attacker publishes a zip: {PART_2} patients that nobody has seen, padded with 150 from the first part.",
    )
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export/patients_02.csv", _table([*part_2, *part_1[:150]], separator=";"))
        archive.writestr("README.txt", "full data on friday")
    site.publish(Entry("a4", "HEALTH VENDOR part 2", "more on friday", "part2.zip", body.getvalue(), "application/zip"))
    stage.run("crawl", "leak-site", expect=(1,))

    stage.chapter(6, "What the team hears", "The message that the chat endpoint received, as it was sent:")
    heard = chat.messages[quiet:]
    if len(heard) != 1:
        raise DemoError(f"the story should ring once, it rang {len(heard)} times")
    out.print(Panel(escape(_plain(heard[0])), title="#security-alarms", border_style="red"))
    stage.run("status", expect=(0, 2))
    if not kept:
        out.print()
    _prove(stage, [*part_1, *part_2])
    out.rule("[bold]Where to look next", align="left")
    out.print(
        "  README.md            your first real source in five minutes\n"
        "  tocsin demo --keep DIR   the same, and the home stays: try `tocsin --home DIR alert list`, `release list`\n"
        "  docs/sources.md      source files; docs/alerts.md: channels and what rings\n"
        "  SECURITY.md          what is held, and what never is"
    )
    out.print(f"\n[bold green]The demo ended well[/] after {time.monotonic() - began:.0f} s.")


def _prove(stage: Stage, rows: Sequence[Row]) -> None:
    """Search the home for every value of every patient of the story: none may be there."""
    values = {value.encode() for row in rows for value in row.values() if len(value) > 8}
    searched = 0
    for path in stage.home.rglob("*"):
        if path.is_file():
            blob = path.read_bytes()
            searched += len(blob)
            if found := sum(value in blob for value in values):
                raise DemoError(f"{found} values of patients stand in {path.name} in clear")
    stage.out.print(
        f"[green]No plaintext:[/] {len(values):,} values of {len(rows)} patients were searched "
        f"in {searched:,} bytes of the home; none was found."
    )


def _table(rows: Sequence[Row], separator: str = ",") -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def _json_lines(rows: Sequence[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def _plain(message: dict[str, Any]) -> str:
    """What a person reads of a message in Slack's dialect: its blocks, else its text."""
    lines: list[str] = []
    for block in message.get("blocks", []):
        text = block.get("text") or {}
        if text.get("text"):
            lines.append(text["text"])
        lines += [part["text"] for part in [*block.get("fields", []), *block.get("elements", [])] if "text" in part]
    return "\n".join(lines) or str(message.get("text", ""))
