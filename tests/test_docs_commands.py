"""The documentation has every key, setting, command line and JSON key of the code, and no others."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel

from data.settings.settings import Channel, Route, Settings, load_settings
from data.sources.definition import Definition
from scheduler.cli import tocsin
from scheduler.demo.servers import Chat, FeedEntry, LeakSite
from tests.inside import fine, run
from tests.scheduler.cli.test_source import CARDS
from tests.servers.webhook import Webhook
from tests.synth.people import people, to_csv

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


def sections(page: str) -> dict[str, str]:
    """Heading without backticks -> text below it, of every level."""
    parts = re.split(r"^#+ (.+)$", (ROOT / page).read_text(), flags=re.MULTILINE)
    return {heading.replace("`", ""): body for heading, body in zip(parts[1::2], parts[2::2], strict=True)}


def table_rows(text: str) -> dict[str, tuple[str, str]]:
    """Key -> (default, meaning), from the table in a section."""
    return {
        key: (default, meaning)
        for key, default, meaning in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    }


# --- keys of source files and settings -------------------------------------------------------------------------------


def test_every_key_of_a_source_file_is_documented_in_its_place_and_no_other():
    documented = sections("docs/sources.md")
    checked = 0

    def check(model: type[BaseModel], heading: str, path: str) -> None:
        nonlocal checked
        keys = {info.alias or name: info for name, info in model.model_fields.items()}
        table = table_rows(documented[heading])
        assert set(table) == set(keys), heading
        for key, info in keys.items():
            default, meaning = table[key]
            assert meaning, f"{heading}: {key} has no meaning"
            assert (default == "required") == info.is_required(), f"{heading}: {key}"
            checked += 1
            for part in models_in(info.annotation):
                below = f"{path}{key}"
                if part.__name__ == "Robots" or below == "feed":
                    # `feed` has the keys of `list`
                    continue
                check(part, "A rule" if part.__name__ == "Rule" else below, f"{below}.")

    check(Definition, "The source", "")
    assert checked > 60


def test_the_documented_defaults_of_a_source_file_are_those_of_the_code():
    for name, (default, _) in table_rows(sections("docs/sources.md")["The source"]).items():
        value = Definition.model_fields[name].default
        if re.fullmatch(r"`[\w.]+`", default) and isinstance(value, str | int | bool):
            assert default == f"`{value}`", name


def test_every_setting_is_documented_with_a_meaning():
    documented = sections("docs/settings.md")
    places: dict[str, type[BaseModel]] = {"(top level)": Settings, "[channels.NAME]": Channel, "[[routes]]": Route}
    for name, info in Settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            places[f"[{name}]"] = info.annotation
    assert len(places) == 12
    for heading, model in places.items():
        table = table_rows(documented[heading])
        expected = {name for name in model.model_fields if f"[{name}]" not in places}
        assert set(table) == expected, heading
        assert all(meaning for _, meaning in table.values()), heading


def test_every_example_of_settings_can_be_loaded(tmp_path):
    found = 0
    for page in PAGES:
        for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL):
            file = tmp_path / "tocsin.toml"
            file.write_text(block)
            for credential in re.findall(r'"cred:([\w-]+)"', block):
                (tmp_path / credential).write_text("secret")
            assert load_settings(file, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) != Settings(), "it sets nothing"
            found += 1
    assert found >= 2


def test_every_setting_named_in_prose_exists():
    known = {
        f"{name}.{key}"
        for name, info in Settings.model_fields.items()
        for model in models_in(info.annotation)
        for key in model.model_fields
    }
    for page in PAGES:
        for table in ("crawl", "examine", "daemon", "heartbeat", "metrics", "log", "tor"):
            for found in re.findall(rf"`({table}\.\w+)`", page.read_text()):
                assert found in known, f"{page.name}: {found}"


def test_every_event_and_severity_is_documented():
    from crawler.alerts.events import SEVERITY
    from data.model import EventKind

    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", (ROOT / "docs" / "alerts.md").read_text(), re.MULTILINE))
    assert set(rows) == {kind.value for kind in EventKind}
    assert rows == {kind.value: SEVERITY[kind].value for kind in EventKind}


# --- command lines ---------------------------------------------------------------------------------------------------


def command_lines() -> list[tuple[str, str]]:
    """(page, line) of every `tocsin …` in a code block or in backticks, except in the generated docs/commands.md."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        if page.name == "commands.md":
            continue
        text = page.read_text()
        blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
        found += [
            (page.name, line) for block in blocks for line in re.findall(r"^\s*(tocsin .+)$", block, re.MULTILINE)
        ]
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        found += [(page.name, line) for line in re.findall(r"`(tocsin [a-z-].*?)`", prose)]
    return found


def parse(line: str) -> None:
    """Parse a command line with click, without running it."""
    words = shlex.split(line, comments=True)
    assert words.pop(0) == "tocsin"
    context = tocsin.make_context("tocsin", words, resilient_parsing=False)
    command: click.Command = tocsin
    rest = [*context.protected_args, *context.args] if hasattr(context, "_protected_args") else list(context.args)
    while isinstance(command, click.Group) and rest:
        name, *rest = rest
        child = command.get_command(context, name)
        assert child is not None, f"no command {name}"
        command = child
        # a group that does something by itself has options of its own, as in `tocsin console --unix PATH`
        alone = isinstance(command, click.Group) and command.invoke_without_command and rest and rest[0].startswith("-")
        if not isinstance(command, click.Group) or alone:
            command.make_context(name, rest, parent=context)
            return
    # the text may name a group without a command, as in `tocsin canary`
    assert not rest


def mistake_in(line: str) -> str:
    """The mistake in a command line, or nothing. Arguments may be missing: texts often name only the command."""
    try:
        parse(line)
    except click.exceptions.Exit:
        return ""
    except click.UsageError as error:
        message = error.format_message()
        return "" if "Missing" in message or "requires an argument" in message else message
    return ""


def test_there_are_command_lines_to_check():
    assert len(command_lines()) >= 25


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_command_line_in_the_documents_parses(page, line):
    placeholders = {"DATE": "2026-01-01", "…": "x"}
    for word, value in placeholders.items():
        line = line.replace(word, value)
    assert mistake_in(line) == "", f"{page}: {line}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "line",
    ["tocsin scna x", "tocsin scan --recrod x", "tocsin canary plan --total many", "tocsin alert list --state x"],
)
def test_an_invalid_command_line_is_detected(line):
    with pytest.raises(AssertionError):
        assert mistake_in(line) == ""


def hints() -> set[str]:
    """The commands that texts in the code name, as far as they are fixed text."""
    found: set[str] = set()
    for folder in ("data", "crawler", "scheduler", "spiders"):
        for file in (ROOT / folder).rglob("*.py"):
            for text in re.findall(r'"[^"\n]*"', file.read_text()):
                for line in re.findall(r"tocsin (?:canary|source|release|incident|alert|evidence) [a-z]+", text):
                    found.add(line)
                for line in re.findall(
                    r"tocsin (?:init|demo|crawl|scan|status|daemon|doctor|purge)\b(?: --[a-z-]+)?", text
                ):
                    found.add(line)
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_command_that_a_hint_names_exists():
    assert len(hints()) >= 10
    assert [line for line in hints() if mistake_in(line)] == []


# --- JSON ------------------------------------------------------------------------------------------------------------

# The names of the keys inside these objects come from operators, sites or kinds of tags.
NOT_DOCUMENTED_INSIDE = {
    "facts",
    "kinds",
    "new_values",
    "sets",
    "shared",
    "values",
    "fields",
    "hosts",
    "handed",
    "look",
}


def keys_of(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(keys_of, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    return set(value) | set().union(
        *(keys_of(below) for key, below in value.items() if key not in NOT_DOCUMENTED_INSIDE), set()
    )


def section_of(command: str) -> str:
    """The section of docs/json.md about a command."""
    for heading, body in sections("docs/json.md").items():
        if command in re.split(r" --json,? ?", heading):
            return body
    raise AssertionError(f"docs/json.md has no section about {command}")


def described(command: str) -> set[str]:
    """Every word inside backticks in the section of a command."""
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", section_of(command)))))


def documented_keys(command: str) -> set[str]:
    """The keys that the section of a command lists in braces or in the first column of a table."""
    body = section_of(command)
    rows = " ".join(re.findall(r"^\| (`.+?) \|", body, re.MULTILINE))
    shown = " ".join(re.findall(r"`(\{[^`]+)`", body))
    return set(re.findall(r"`(\w+)`", rows)) | set(re.findall(r'"(\w+)"', shown))


def json_commands(command: click.Command = tocsin, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from json_commands(child, (*path, name))
    elif any("--json" in option.opts for option in command.params):
        yield " ".join(path)


def test_every_command_with_json_is_documented():
    found = list(json_commands())
    assert len(found) >= 15
    for command in found:
        assert described(command), command


@pytest.mark.slow
@pytest.mark.servers
def test_every_key_of_every_json_output_is_documented(tmp_path):
    patients = people(13, 12)
    home, table, dump = tmp_path / "home", tmp_path / "plant.csv", tmp_path / "dump.csv"
    fine(None, "init", home)
    fine(home, "canary", "generate", "--client", "p1", "--count", "3", "--out", table)
    dump.write_bytes(to_csv(patients))
    body = table.read_bytes()
    printed: dict[str, Any] = {}

    def record(*arguments: str | Path, command: str = "") -> Any:
        printed[command or " ".join(map(str, arguments[:2]))] = value = run(home, *arguments, "--json").json
        return value

    with LeakSite() as site, Chat() as chat:
        (home / "tocsin.toml").write_text(f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/hook"\n')
        file = tmp_path / "cards.yaml"
        file.write_text(CARDS.format(url=site.url))
        fine(home, "source", "add", file)
        (home / "sources" / "bad.yaml").write_text("name: [\n")
        fine(home, "incident", "add", "vendor", "--client", "p1", "--source", "cards", "--word", "vendor")
        fine(home, "release", "add", "--incident", "vendor", "--name", "part 1", dump)
        site.publish(FeedEntry("p1", "vendor", "", "f.csv", body + to_csv(patients, header=None), "text/csv"))
        record("crawl", "cards", command="crawl")
        record("source", "check", "cards")
        site.publish(FeedEntry("p2", "vendor note", "", "note.txt", b"at https://gofile.io/d/x", "text/plain"))
        record("source", "backfill", "cards")
        feed = b"<rss><channel><item><title>t</title><guid>1</guid><link>/1</link></item></channel></rss>"
        with Webhook([(200, {"Content-Type": "application/rss+xml"}, feed)]) as newest:
            record("source", "new", newest.url)
        record("scan", dump, table, tmp_path / "nowhere", "--explain", command="scan")
        record("release", "compare", dump)
        events = record("alert", "list")["alerts"]
        record("alert", "ack", events[0]["event"])
        record("alert", "assign", events[0]["event"], "--to", "ana")
        record("alert", "snooze", events[0]["event"], "--until", "4h")
        record("alert", "close", events[0]["event"], "--as", "true")
        # a word of the incident, whose precision is counted as well
        [announced] = {each["event"] for each in events if each["kind"] == "announcement"}
        fine(home, "alert", "close", announced, "--as", "true")
        record("alert", "precision")
        fine(home, "console", "token", "siem")
        record("console", "people")
        record("alert", "show", events[0]["event"])
        record("alert", "reopen", events[0]["event"])
        record("release", "show", "part-1")
        record("incident", "show", "vendor")
        record("evidence", "verify")
        record("event", "list")
        record("events", command="events")
        for noun in ("source", "canary", "release", "incident", "evidence"):
            record(noun, "list")
        record("canary", "plan", "--total", "10", "--release", "2", "--tagged", "1")
        record("status", command="status")
        record("doctor", command="doctor")
        record("backup", tmp_path / "backup.tar.zst", command="backup")
        record("restore", tmp_path / "backup.tar.zst", tmp_path / "restored", command="restore")
        record("source", "hosts")
        (tmp_path / "sites.csv").write_text("name,url\nalpha,https://alpha.example\n")
        record("source", "import", tmp_path / "sites.csv")
    assert set(printed) == set(json_commands())
    # with empty lists the keys inside them would not be checked
    assert printed["evidence list"]["evidence"]
    assert printed["source list"]["errors"]
    assert printed["crawl"]["crawls"][0]["hits"] == {"p1": 3}
    assert printed["source check"]["posts"]
    assert printed["status"]["problems"]
    del printed["crawl"]["crawls"][0]["hits"]["p1"]
    for services in (printed["source backfill"]["crawls"][0]["linked"], printed["status"]["linked"]["services"]):
        assert services == {"gofile.io": 1}
        services.clear()
    missing = {
        command: sorted(absent) for command, value in printed.items() if (absent := keys_of(value) - described(command))
    }
    assert missing == {}
    # `show` shares a section with `list`, whose output has the object of `show` inside a list; `release compare` shares
    # one with `scan`, which alone has `--explain`
    only_in_other = {"release show": {"releases"}, "release compare": {"tables"}}
    not_printed = {
        command: sorted(absent)
        for command, value in printed.items()
        if (absent := documented_keys(command) - keys_of(value) - only_in_other.get(command, set()))
    }
    assert not_printed == {}
