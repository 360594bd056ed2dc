"""SECURITY.md and `tocsin doctor` claim only what a test shows: each sentence names its tests, and these exist.

A new sentence without a test fails here, and so does a test that was renamed. That a test shows what the sentence says is for
whoever writes the sentence; of a line of `doctor` it must at least speak.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from crawler.examiner.hits import MAX_EXCERPTS, MAX_LINES
from crawler.matching.matched_lines import MAX_BESIDE
from data.tagsets.tag_bits import KEPT_BITS
from scheduler.crawl_processes.batches import MOST, SIDE_BY_SIDE

ROOT = Path(__file__).parent.parent
SECURITY, CLAIMS = (ROOT / name for name in ("SECURITY.md", "docs/claims.md"))
# The modules that make the lines of `doctor`, and those that name the levels of protection which it shows.
REPORTS = tuple(ROOT / "scheduler" / "reports" / name for name in ("doctor.py", "machine_checks.py", "tor_report.py"))
PROTECTION = (ROOT / "crawler" / "sandbox" / "sandbox.py", ROOT / "crawler" / "examiner" / "main.py")
# The reference behind what is not protected, and behind advice.
LIMIT = "limit"
WITHOUT_CLAIMS = {"", "More that tests show", "Reporting a vulnerability"}
# What an attacker can still do is a list of limits; a sentence in it that claims something all the same has a reference.
LIMITS = "What an attacker can still do"
REFERENCE = re.compile(r"\[\^([\w-]+)\]")
NODE = re.compile(r"`(tests/[\w/]+\.py::test_\w+)`")
# What stands for a value in a sentence.
VALUE = "…"


@functools.cache
def sources_in(path: str) -> dict[str, str]:
    """The source of each test of a file with its parameters, by name; {} if there is no such file."""
    if not (ROOT / path).is_file():
        return {}
    text = (ROOT / path).read_text()
    lines, found = text.splitlines(), {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            found[node.name] = "\n".join(lines[first - 1 : node.end_lineno])
    return found


def source_of(node: str) -> str:
    """The source of a test; '' if there is no such test."""
    path, _, name = node.partition("::")
    return sources_in(path).get(name, "")


# --- SECURITY.md -----------------------------------------------------------------------------------------------------


def definitions(text: str) -> dict[str, list[str]]:
    """The tests of each reference."""
    return {name: NODE.findall(rest) for name, rest in re.findall(r"^\[\^([\w-]+)\]:(.*)$", text, flags=re.MULTILINE)}


def claims(text: str) -> Iterator[str]:
    """The sentences and the rows of tables of all sections that claim something, with the references behind them."""
    text = re.sub(r"^\[\^[\w-]+\]:.*$", "", text, flags=re.MULTILINE)
    for part in re.split(r"^## ", "\n" + text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        if title.strip() in WITHOUT_CLAIMS or title.strip() == LIMITS:
            continue
        for block in filter(None, re.split(r"\n\s*\n", body.strip())):
            if block.startswith("|"):
                yield from block.splitlines()[2:]
            else:
                yield from re.split(r"(?:(?<=[.])|(?<=\]))\s+(?=[A-Z`*])", re.sub(r"\s+", " ", block))


def without_tests(text: str) -> list[str]:
    """The claims that have no reference to tests."""
    return [claim for claim in claims(text) if not REFERENCE.search(claim)]


def test_each_sentence_of_the_security_page_names_its_tests() -> None:
    text = SECURITY.read_text()
    assert without_tests(text) == []
    known = definitions(text)
    used = set(REFERENCE.findall(re.sub(r"^\[\^[\w-]+\]:.*$", "", text, flags=re.MULTILINE)))
    assert used == set(known)
    assert [name for name, nodes in known.items() if not nodes] == [LIMIT]
    assert [node for nodes in known.values() for node in nodes if not source_of(node)] == []


def test_a_new_sentence_and_a_new_row_without_a_test_are_noticed() -> None:
    text = SECURITY.read_text()
    begin, end = "## Keys in memory\n\n", "| what | where | protection |\n|---|---|---|\n"
    assert begin in text
    assert end in text
    new = text.replace(begin, f"{begin}Nothing is ever wrong. ").replace(end, f"{end}| all | here | safe |\n")
    assert without_tests(new) == ["| all | here | safe |", "Nothing is ever wrong."]


def test_numbers_in_the_security_page_are_those_of_the_code() -> None:
    text = re.sub(r"\s+", " ", SECURITY.read_text())
    for words in (
        f"at most {MAX_EXCERPTS} values, and {MAX_LINES} of their lines with {MAX_BESIDE} bytes before and after",
        f"truncated to {KEPT_BITS} bit or less",
        f"at most {SIDE_BY_SIDE} at a time, {MOST} in all",
    ):
        assert words in text


# --- doctor ----------------------------------------------------------------------------------------------------------


def texts(node: ast.expr) -> list[str]:
    """The texts that an expression can have, with `VALUE` for what is known only when it runs."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            whole = "".join(part.value if isinstance(part, ast.Constant) else VALUE for part in parts)
            return [re.sub(f"{VALUE}+", VALUE, whole)]
        case ast.IfExp(body=one, orelse=other):
            return [*texts(one), *texts(other)]
        case ast.BoolOp(values=parts):
            return [text for part in parts for text in texts(part)]
        case _:
            return [VALUE]


def lines_of_doctor() -> set[tuple[str, str, str]]:
    """Name, states and sentence of each line that `doctor` can print."""
    calls = [
        node
        for path in REPORTS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Check"
    ]
    return {
        (name, "/".join(sorted(texts(call.args[1]))), sentence)
        for call in calls
        for name in texts(call.args[0])
        for sentence in texts(call.args[2])
    }


def levels_of_protection() -> set[str]:
    """The names of the levels of protection that the examiner reports."""
    found = set()
    for path in PROTECTION:
        for node in ast.walk(ast.parse(path.read_text())):
            is_greeting = isinstance(node, ast.keyword) and node.arg == "protection"
            if is_greeting or (isinstance(node, ast.FunctionDef) and node.name == "protection"):
                keys = [key for each in ast.walk(node) if isinstance(each, ast.Dict) for key in each.keys]
                found |= {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return found


def documented() -> list[tuple[list[str], list[str]]]:
    """The cells of each row of the tables in docs/claims.md, and its tests."""
    rows = [line for line in CLAIMS.read_text().splitlines() if line.startswith("| ") and "tests/" in line]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return [(each[:-1], NODE.findall(each[-1])) for each in cells]


def test_each_line_of_doctor_is_documented_with_its_tests() -> None:
    rows = documented()
    assert {tuple(cells) for cells, _ in rows if len(cells) == 3} == lines_of_doctor()
    assert {cells[0] for cells, _ in rows if len(cells) == 1} == levels_of_protection()
    assert [cells for cells, nodes in rows if not nodes] == []
    assert [node for _, nodes in rows for node in nodes if not source_of(node)] == []


# The ways to die in silence, a word of each row of docs/claims.md.
QUIET = (
    "answers 200", "selectors", "second page", "scheduler", "event loop", "fork server", "examiner", "outbox", "chat", "Tor",
    "disk", "clock",
)  # fmt: skip


def test_each_way_to_go_quiet_has_its_row_and_tests_in_which_somebody_is_told() -> None:
    rows = [(cells, nodes) for cells, nodes in documented() if len(cells) == 2]
    assert [word for word, (cells, _) in zip(QUIET, rows, strict=True) if word not in cells[0]] == []
    # what is told is an event, a lasting state, a line of `status` or a message in the chat
    telling = re.compile(r"told|noticed|event|states?\b|status|kinds|alert|delivery_failed|late\(|tor_down|lasting")
    assert [cells for cells, nodes in rows if not all(telling.search(source_of(node)) for node in nodes)] == []


def speaks_of(source: str, cells: list[str]) -> bool:
    """Whether a test names a line of `doctor`, or has two words of it that follow each other."""
    words = re.findall(r"[\w'.-]+", cells[-1].replace(VALUE, " … ").lower())
    pairs = {" ".join(pair) for pair in pairwise(words)}
    name = cells[0].replace(VALUE, "").strip().lower()
    source = source.lower().replace("_", " ")
    return (bool(name) and name in source) or any(pair in source for pair in pairs)


def test_each_sentence_of_doctor_names_tests_that_speak_of_it() -> None:
    silent = [
        (cells, nodes)
        for cells, nodes in documented()
        if len(cells) == 3 and cells[0] != VALUE and not any(speaks_of(source_of(node), cells) for node in nodes)
    ]
    assert silent == []
