"""The breach that Tocsin is for, at any size, played through the real commands: enrolment, releases, crawls, alerts.

One vendor's database holds the people of many practices. 60 % of it is public already; the attacker then posts a copy
in another format, a teaser, small parts day by day, a part with medical notes, and all the rest. Another vendor's breach
that shares a tenth of its people is posted too. nginx serves the leak site and the forum; two receivers on loopback take
the alerts. All people are invented by `tests.synth.population` (households, namesakes, shared telephones), and some of
them have a placeholder in place of a number or mailbox.

`main` prints one line for each step: seconds, memory, verdict, count and interval against the truth, and the alert. The
exit status of `python -m benchmarks case` is 1 if a step was not as expected.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import libarchive
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from tests.servers.nginx import Nginx
from tests.servers.strict_chats import SECRET, generic, slack
from tests.servers.webhook import Webhook
from tests.synth import population as synth
from tests.synth.population import Crowd, Dump

BY_NAME_ONLY = True
PEOPLE, PRACTICES = 15_000_000, 1_500
# Shares of the database: what is public already, and the part with medical notes (169,000 of 15 million).
PUBLIC, WITH_NOTES = 0.6, 169_000 / 15_000_000
TEASER, DRIP, DRIPS = 50, 100, 10
# Another vendor's database, in people per person of ours, and the share of its people who are ours as well.
OTHER, SHARED = 0.1, 0.1
# Shares of rows with a placeholder in place of a telephone number, a mailbox and a social security number.
NO_PHONE, NO_MAILBOX, NO_NIR = 0.03, 0.02, 0.005
HEADERS = {
    "id": "id_patient", "practice": "cabinet", "surname": "nom", "first": "prenom", "dob": "date_naissance",
    "nir": "nir", "email": "email", "phone": "telephone",
}  # fmt: skip
STEP = 500_000

SOURCE = """\
name: {name}
platform: declared
url: {url}/{name}.html
robots: {{ignore: "a server of the rehearsal"}}
rate: 1000
list:
  as: html
  each: ["css:div.post"]
  fields:
    id: "xpath:./@id"
    title: "css:h3::text"
    link: "css:a::attr(href)"
"""
# the posts of the board are pages, those of the leak site are files
KINDS = {"board": 'item:\n  each: ["css:pre"]\n', "leaks": '    raw: "css:a::attr(href)"\n'}

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Vendor:
    """The vendor's database, and who of it is in which part; a part is an array of row numbers."""

    people: Crowd
    public: Rows
    teaser: Rows
    drips: list[Rows]
    noted: Rows
    rest: Rows

    @classmethod
    def make(cls, seed: int, count: int, practices: int) -> Vendor:
        """A database of `count` people at `practices` practices; households go to one practice, mostly."""
        people = synth.crowd(seed, count)
        dice = np.random.default_rng([seed, 90])
        practice = dice.integers(0, practices, int(people.household.max()) + 1)[people.household]
        practice = np.where(dice.random(count) < 0.1, dice.integers(0, practices, count), practice)
        order = dice.permutation(count)
        sizes = [int(count * PUBLIC), TEASER, *[DRIP] * DRIPS, max(50, int(count * WITH_NOTES))]
        public, teaser, *drips, noted, rest = np.split(order, np.cumsum(sizes))
        return cls(replace(people, practice=practice), public, teaser, drips, noted, rest)


@dataclass
class Forum:
    """A page of posts that nginx serves; new posts stand on top."""

    server: Nginx
    name: str
    posts: list[str] = field(default_factory=list)

    def publish(self, title: str, text: str = "", file: Path | None = None) -> float:
        """Put a post on top, with a text of its own page or a file; returns the time, monotonic."""
        number = len(self.posts)
        if file is None:
            file = self.server.folder / f"{self.name}-{number}.html"
            file.write_text(f"<!doctype html><title>{title}</title><pre>{text}</pre>")
        file.rename(self.server.site / file.name)
        link = f'<a href="/{file.name}">read</a>'
        post = f'<div class="post" id="{self.name}-{number}"><h3>{title}</h3>{link}</div>'
        self.posts.insert(0, post)
        new = self.server.site / f".{self.name}.new"
        new.write_text("<!doctype html><title>board</title>" + "\n".join(self.posts))
        new.replace(self.server.site / f"{self.name}.html")
        return time.monotonic()


@dataclass
class Step:
    """One line of the printed table.

    Attributes:
        memory: most bytes of anonymous memory of all processes of the command together.
        new: people who were not known before: the truth, the count that was told, its interval.
        message: bytes of the alert to the chat; 0 if there was none.
        delay: seconds from the post to the alert.
        wrong: what was not as expected; '' if all was.
    """

    name: str
    seconds: float
    memory: int
    verdict: str = ""
    truth: int | None = None
    new: int | None = None
    interval: tuple[int, int] | None = None
    message: int = 0
    delay: float | None = None
    wrong: str = ""

    def line(self) -> str:
        """The step as a line of the table."""
        held = "" if self.interval is None else f"[{self.interval[0]:,}, {self.interval[1]:,}]"
        new = "" if self.new is None else f"{self.new:,} of {self.truth:,}"
        return (
            f"{self.name:<38}{self.seconds:>8.1f}{self.memory / 2**20:>8,.0f}  {self.verdict:<12}{new:>25} {held:<25}"
            f"{self.message or '':>6} {'' if self.delay is None else f'{self.delay:.1f}':>6}  {self.wrong or 'ok'}"
        )


TITLE = f"{'step':<38}{'s':>8}{'MB':>8}  {'verdict':<12}{'new of truth':>25} {'interval':<25}{'bytes':>6} {'delay':>6}  right"


class Rehearsal:
    """Runs commands and crawls in one home, and measures them."""

    def __init__(self, folder: Path, chat: Webhook, log: Webhook) -> None:
        self.folder, self.home, self._chat, self._log = folder, folder / "home", chat, log
        self.steps: list[Step] = []

    def command(self, name: str, *arguments: str | Path, codes: Sequence[int] = (0,)) -> str:
        """Run a command and add its step; returns its output.

        Raises:
            RuntimeError: its exit status is not one of `codes`.
        """
        began = time.monotonic()
        command = [sys.executable, "-m", "scheduler", "--home", str(self.home), *map(str, arguments)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TOCSIN_")}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            peak = _PeakMemory(process.pid)
            out, error = process.communicate()
        self._add(Step(name, time.monotonic() - began, peak.stop()))
        if process.returncode not in codes:
            raise RuntimeError(
                f"tocsin {' '.join(map(str, arguments))}: {process.returncode}\n{out[-3000:]}{error[-3000:]}"
            )
        return out

    def crawl(self, name: str, source: str, posted: float, truth: int | None, verdicts: Sequence[str]) -> None:
        """Crawl a source with one new post, and compare what the channels received with the truth.

        Args:
            name: of the step.
            source: its name.
            posted: time of the post, monotonic.
            truth: number of new people in it; None if the count is not judged.
            verdicts: those that are right.
        """
        told, logged = len(self._chat.received), len(self._log.received)
        out = json.loads(self.command(name, "crawl", source, "--json", codes=(0, 1)))["crawls"][0]
        step = self.steps.pop()
        faults = [] if out["examined"] == 1 and not out["unexamined"] else [f"examined {out['examined']} of 1 posts"]
        for received in self._log.received[logged:]:
            facts = json.loads(received.body)
            lineage = _facts(facts)
            if lineage:
                step.verdict, step.new, step.truth = lineage["verdict"], lineage["new"], truth
                step.interval = tuple(lineage["interval"])
        messages = self._chat.received[told:]
        if messages:
            step.message = max(len(message.body) for message in messages)
            step.delay = messages[0].at - posted
        if step.verdict not in verdicts:
            faults.append(f"expected {' or '.join(verdicts)}")
        if truth is not None and (step.interval is None or not step.interval[0] <= truth <= step.interval[1]):
            faults.append("the interval misses the truth")
        if truth and len(messages) != 1:
            faults.append(f"{len(messages)} messages")
        step.truth = step.truth or 0
        step.wrong = "; ".join(faults)
        self._add(step)

    def _add(self, step: Step) -> None:
        if self.steps and self.steps[-1] is step:
            return
        self.steps.append(step)


def _facts(body: dict[str, Any]) -> dict[str, Any]:
    """The facts of an alert to the generic channel that name a verdict; empty for others."""
    found: dict[str, Any] = body.get("tocsin", {}).get("facts", {})
    return found if "verdict" in found and "interval" in found else {}


class _PeakMemory:
    """Samples the anonymous memory of a process and its descendants, until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak, self._done = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """End sampling; returns the largest sum, in bytes."""
        self._done.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self._peak = max(self._peak, sum(map(_anonymous_memory, _descendants(self._pid))))


def _descendants(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # the process ended meanwhile
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def _anonymous_memory(pid: int) -> int:
    with contextlib.suppress(OSError):  # the process ended meanwhile
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
    return 0


# --- tables ----------------------------------------------------------------------------------------------------------


def _columns(people: Crowd, rows: Rows, dates: str = "%d/%m/%Y") -> Dump:
    """The vendor's table of some people, with ids and practices, and with placeholders where nobody gave a value."""
    some = people.take(rows)
    table = synth.dump(some, dates=dates)
    # from the row alone, so that a person has the same values wherever it is published
    fate = (rows * 2654435761 % 2**32) / 2**32
    table["phone"] = pc.if_else(pa.array(fate < NO_PHONE), "0600000000", table["phone"])
    table["email"] = pc.if_else(
        pa.array((fate > 0.5) & (fate < 0.5 + NO_MAILBOX)), "aucun@mail.example", table["email"]
    )
    table["nir"] = pc.if_else(pa.array(fate > 1 - NO_NIR), "2999999999999", table["nir"])
    text = lambda numbers: pc.cast(pa.array(numbers), pa.string())  # noqa: E731
    return {
        "id": text(rows + 100_000),
        "practice": pc.binary_join_element_wise("cab-", text(some.practice), ""),
        **table,
    }


def write_csv(path: Path, parts: Iterator[Dump], *, delimiter: str = ";") -> None:
    writer = None
    for part in parts:
        table = pa.table({HEADERS[role]: column for role, column in part.items()})
        if writer is None:
            options = pacsv.WriteOptions(delimiter=delimiter, quoting_style="needed")
            writer = pacsv.CSVWriter(path, table.schema, write_options=options)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def parts(
    people: Crowd, rows: Rows, change: Callable[[Dump], Dump] = lambda table: table, **form: str
) -> Iterator[Dump]:
    for begin in range(0, len(rows), STEP):
        yield change(_columns(people, rows[begin : begin + STEP], **form))


def _other_clothes(table: Dump) -> Dump:
    """The same rows as another person would publish them: no ids, capitals, other telephone numbers."""
    kept = {role: column for role, column in table.items() if role not in ("id", "practice")}
    return synth.other_phones(synth.shouted(kept), 5)


def _as_text(people: Crowd, rows: Rows) -> str:
    table = _columns(people, rows)
    lines = [";".join(HEADERS[role] for role in table)]
    return "\n".join([*lines, *(";".join(row) for row in zip(*(c.to_pylist() for c in table.values()), strict=True))])


def _write_sql_in_7z(path: Path, people: Crowd, rows: Rows, seed: int) -> None:
    """The rows as the INSERT statements of a dump, each with a medical note, in a 7z archive."""
    table = _columns(people, rows, dates="%Y-%m-%d")
    columns = [*(column.to_pylist() for column in table.values()), synth.notes(seed, len(rows))]
    quoted = (
        "(" + ",".join("'" + cell.replace("'", "''") + "'" for cell in row) + ")" for row in zip(*columns, strict=True)
    )
    values = list(quoted)
    names = ",".join(f"`{HEADERS[role]}`" for role in table)
    with libarchive.file_writer(str(path), "7zip") as archive:
        statements = (
            f"INSERT INTO `patients` ({names},`observation`) VALUES {','.join(values[begin : begin + 500])};\n"
            for begin in range(0, len(values), 500)
        )
        body = "".join(statements).encode()
        archive.add_file_from_memory("export/patients.sql", len(body), body)


def _write_zip(path: Path, people: Crowd, rows: Rows) -> None:
    """The rows as CSV files in a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, begin in enumerate(range(0, len(rows), 4 * STEP)):
            part = path.with_suffix(".part")
            write_csv(part, parts(people, rows[begin : begin + 4 * STEP]))
            archive.write(part, f"patients_{number:02}.csv")
            part.unlink()


# --- the story -------------------------------------------------------------------------------------------------------


def play(folder: Path, *, people: int, practices: int, seed: int, show: Callable[[str], None] = print) -> list[Step]:
    """Play the whole case in an empty folder; returns the steps, and shows each when it ends."""
    vendor = Vendor.make(seed, people, practices)
    (folder / "nginx").mkdir()
    server = Nginx(folder / "nginx")
    try:
        with Webhook([slack]) as chat, Webhook([generic]) as log:
            rehearsal = Rehearsal(folder, chat, log)
            show(f"{people:,} people of {practices:,} practices\n{TITLE}")
            for _ in _story(rehearsal, vendor, server, chat, log, seed):
                show(rehearsal.steps[-1].line())
    finally:
        server.stop()
    return rehearsal.steps


def _story(play: Rehearsal, vendor: Vendor, server: Nginx, chat: Webhook, log: Webhook, seed: int) -> Iterator[None]:
    people, folder, home = vendor.people, play.folder, play.home
    play.command("init", "init", home)
    config = home / "tocsin.toml"
    config.write_text(
        f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/services/a"\n'
        f'[channels.log]\nkind = "generic"\nurl = "{log.url}/b"\nsecret = "{SECRET}"\n'
        '[[routes]]\nchannels = ["team"]\nmin_severity = "warning"\n'
        '[[routes]]\nchannels = ["log"]\nmin_severity = "info"\n'
    )
    yield
    everybody = folder / "vendor.csv"
    write_csv(everybody, parts(people, np.arange(len(people))))
    play.command(
        "enrol the whole database", "canary", "enrol", "--key", home / "keys" / "enrol.key",
        "--client-column", HEADERS["practice"], everybody, "--out", folder / "vendor.bundle",
    )  # fmt: skip
    everybody.unlink()
    yield
    play.command("import the bundle", "canary", "import", folder / "vendor.bundle")
    (folder / "vendor.bundle").unlink()
    yield
    board, leaks = Forum(server, "board"), Forum(server, "leaks")
    for forum in (board, leaks):
        forum.publish("welcome", "nothing here yet")
        source = folder / f"{forum.name}.yaml"
        source.write_text(SOURCE.format(name=forum.name, url=server.url) + KINDS[forum.name])
        play.command(f"add the source {forum.name}", "source", "add", source)
        yield
    play.command(
        "add the incident",
        "incident",
        "add",
        "vendor-breach",
        "--all-clients",
        "--source",
        "board",
        "--source",
        "leaks",
    )
    yield
    public = folder / "public.csv"
    write_csv(public, parts(people, vendor.public))
    play.command(
        "register the public part", "release", "add", "--incident", "vendor-breach", "--name", "public", public
    )
    public.unlink()
    yield
    for forum in (board, leaks):
        play.command(f"first crawl of {forum.name}", "crawl", forum.name)
        yield

    shuffled = np.random.default_rng([seed, 91]).permutation(vendor.public)
    again = folder / "again.txt"
    write_csv(again, parts(people, shuffled, _other_clothes, dates="%Y-%m-%d"), delimiter="\t")
    posted = leaks.publish("health vendor, new and fresh", file=again)
    play.crawl("re-post in other clothes", "leaks", posted, 0, ("re-post", "re-packaged"))
    yield
    posted = board.publish("teaser", _as_text(people, vendor.teaser))
    play.crawl(f"teaser of {TEASER}", "board", posted, TEASER, ("new",))
    yield
    for number, rows in enumerate(vendor.drips, 1):
        posted = board.publish(f"day {number}", _as_text(people, rows))
        play.crawl(f"{DRIP} on day {number}", "board", posted, DRIP, ("new",))
        yield
    noted = folder / "notes.7z"
    _write_sql_in_7z(noted, people, vendor.noted, seed)
    posted = leaks.publish("medical notes", file=noted)
    play.crawl("further release with notes", "leaks", posted, len(vendor.noted), ("new",))
    yield
    rest = folder / "rest.zip"
    _write_zip(rest, people, vendor.rest)
    posted = leaks.publish("all of it", file=rest)
    play.crawl("all the rest in one zip", "leaks", posted, len(vendor.rest), ("new",))
    yield
    strangers = synth.crowd(seed + 1, int(len(people) * OTHER * (1 - SHARED)))
    shared = people.take(np.arange(0, len(people), max(1, int(1 / (OTHER * SHARED)))))
    everyone = strangers + replace(shared, practice=shared.practice)
    other = folder / "other.csv"
    table = _other_clothes(_columns(everyone, np.random.default_rng([seed, 92]).permutation(len(everyone))))
    pacsv.write_csv(pa.table({f"pat_{HEADERS[role]}": column for role, column in table.items()}), other)
    posted = leaks.publish("another vendor", file=other)
    # whose breach it is, is not judged: known people alone tie it to ours
    play.crawl("another vendor's breach", "leaks", posted, None, ("overlap", "undecided", "unrelated"))
    yield
    shown = json.loads(play.command("incident show", "incident", "show", "vendor-breach", "--all", "--json"))
    yield
    page = folder / "report.html"
    play.command("report", "report", "vendor-breach", "--out", page)
    play.steps[-1].wrong = _report_faults(page, shown, np.bincount(people.practice))
    yield
    outbox = json.loads(play.command("status", "status", "--json", codes=(0, 2)))["outbox"]
    if outbox["depth"] or outbox["refused"]:
        play.steps[-1].wrong = f"{outbox['depth']} alerts wait, {outbox['refused']} were refused"
    yield


def _report_faults(page: Path, shown: dict[str, Any], people: NDArray[np.int64]) -> str:
    """What in the table beside a report is not what `incident show` says, or not true: everybody was published.

    Args:
        page: the report.
        shown: what `incident show --all --json` printed.
        people: number of people of each practice.
    """
    told = {each["client"]: each for each in shown["blast_radius"]}
    with page.with_suffix(".csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["client"]: row for row in csv.DictReader(stream)}
    faults = [] if rows.keys() == told.keys() else [f"{len(rows)} clients in the report, {len(told)} in incident show"]
    for client in sorted(rows.keys() & told.keys()):
        row, each = rows[client], told[client]
        if (int(row["tagged"]), int(row["sighted"])) != (each["tagged"], each["sighted"]):
            faults.append(
                f"{client}: {row['sighted']} of {row['tagged']} canaries, incident show says {each['sighted']}"
            )
        if int(row["tagged"]) != people[int(client.removeprefix("cab-"))]:
            faults.append(f"{client}: {row['tagged']} people, there are {people[int(client.removeprefix('cab-'))]}")
        if not float(row["share_low"]) <= 1.0 == float(row["share_high"]):
            faults.append(f"{client}: between {row['share_low']} and {row['share_high']} published, in truth all")
    return "; ".join(faults[:3])


def main() -> None:
    """Play the case at the size that the options give, and print its steps."""
    parser = argparse.ArgumentParser(prog="benchmarks case", description=__doc__)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--practices", type=int, default=PRACTICES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None, help="an empty folder with 15 GB for the full size")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tocsin-case-", dir=options.folder))
    try:
        steps = play(folder, people=options.people, practices=options.practices, seed=options.seed)
    finally:
        shutil.rmtree(folder)
    if wrong := [step.name for step in steps if step.wrong]:
        sys.exit(f"{len(wrong)} steps were not as expected: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
