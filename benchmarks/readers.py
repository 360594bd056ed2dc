"""Processor time of `tocsin scan` for each kind of text or file at 5, 50 and 500 MB, and how it grows.

A row is one file. Its time is that of the whole command with all its processes; the limit for 500 MB is 60 s. `growth` is the
time for each byte by that of the smallest file, what a start takes subtracted: 1 is linear, 10 is quadratic. Time by the clock is
shown as well: on a machine that does nothing else it is about the time of the examiner, for the reader works beside it. `memory` is
that of all processes in MB. At the end of each file stands an enrolled person: `found` tells whether the scan hit the `person`, a
`value` of it, or `told` that something was not read; SILENT is a fault. Many kinds begin something that never ends.

Options: --megabytes=N,N (5,50,500), --only=WORD,WORD of the kinds.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.patients import HEADER, patients
from benchmarks.reader_kinds import SOUND, WITHOUT_END, Person, Write, stream
from benchmarks.scan import make_home, run_tree, tocsin

BY_NAME_ONLY = True
LIMIT, FULL = 60, 500
_PEOPLE = 200_000

_FIRST = """
    Léa Jérôme Anaïs François Zoé Benoît Chloé Loïc Hélène Marie Jean Paul Sophie Rémi Noémie Gaël
""".split()  # noqa: SIM905 - a table of words
_LAST = """
    Lefèvre Durand Bénard Muller Hébert Martin Garçon Lévêque Noël Petit Moreau Guérin Roux Géraud Joly
""".split()  # noqa: SIM905 - a table of words
_WORDS = """
    le patient a été reçu au cabinet après une période très difficile et présente depuis février des douleurs à la
    tête sans fièvre ; l'élève déléguée à la santé précise qu'où que ce soit même là-bas il reçoit déjà ses
    médicaments car la fenêtre était fermée quand le médecin a rappelé la famille pour fixer un rendez-vous de
    contrôle dans dix jours
""".split()  # noqa: SIM905 - a table of words


def _rows() -> list[list[str]]:
    """Cells of invented people; the last lacks what a cut row lacks."""
    data = b"".join(patients(_PEOPLE)).decode()
    return [line.split(";") for line in data.splitlines()[1:]]


def _names() -> list[str]:
    return HEADER.decode().strip().split(";")


def one_string() -> Iterator[bytes]:
    yield b'["'
    while True:
        yield b"A" * 2**20


def brackets() -> Iterator[bytes]:
    while True:
        yield b"[[[[]],[],[[[]]]],[]]," * 50_000


def open_brackets() -> Iterator[bytes]:
    while True:
        yield b"[" * 2**20


def _insert(row: list[str]) -> str:
    return "(" + ",".join("'" + cell.replace("'", "''") + "'" for cell in row) + ")"


def sql_one_line() -> Iterator[bytes]:
    yield b"INSERT INTO `patients` (" + ",".join(_names()).encode() + b") VALUES "
    yield from cycle([(_insert(row) + ",").encode() for row in _rows()])


def sql_statements() -> Iterator[bytes]:
    yield from cycle([f"INSERT INTO `patients` VALUES {_insert(row)};\n".encode() for row in _rows()])


def table() -> Iterator[bytes]:
    yield HEADER
    yield from cycle([(";".join(row) + "\n").encode() for row in _rows()])


def ndjson() -> Iterator[bytes]:
    names = _names()
    yield from cycle(
        [
            json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False).encode() + b"\n"
            for row in _rows()[: _PEOPLE // 4]
        ]
    )


def json_array() -> Iterator[bytes]:
    yield b"["
    names = _names()
    yield from cycle(
        [json.dumps(dict(zip(names, row, strict=True))).encode() + b"," for row in _rows()[: _PEOPLE // 4]]
    )


def xml() -> Iterator[bytes]:
    yield b'<?xml version="1.0"?>\n<patients>\n'
    names = _names()
    for row in cycle(_rows()[: _PEOPLE // 4]):
        fields = "".join(f"<{name}>{cell}</{name}>" for name, cell in zip(names, row, strict=True))
        yield f"<patient>{fields}</patient>\n".encode()


def html() -> Iterator[bytes]:
    yield b"<html><body><table>"
    for row in cycle(_rows()[: _PEOPLE // 4]):
        yield ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n").encode()


def _sentences(choice: random.Random) -> list[str]:
    found = []
    for _ in range(20_000):
        words = choice.choices(_WORDS, k=choice.randrange(6, 40))
        if choice.random() < 0.1:
            words[2:2] = [choice.choice(_FIRST), choice.choice(_LAST)]
        found.append(" ".join(words).capitalize() + ".")
    return found


def prose(encoding: str = "utf-8") -> Iterator[bytes]:
    choice = random.Random(1)
    sentences = _sentences(choice)
    paragraphs = [" ".join(choice.choices(sentences, k=6)) + "\n" for _ in range(20_000)]
    yield from cycle([each.encode(encoding) for each in paragraphs])


def prose_latin1() -> Iterator[bytes]:
    yield from prose("latin-1")


def prose_cp850() -> Iterator[bytes]:
    yield from prose("cp850")


def mixed() -> Iterator[bytes]:
    """Lines of five encodings among each other."""
    pages = cycle(("utf-8", "cp1252", "utf-8", "cp850", "mac_roman"))
    choice = random.Random(2)
    sentences = _sentences(choice)
    yield from cycle([(each + "\n").encode(page) for each, page in zip(sentences, pages)])  # noqa: B905 - pages are endless


def log() -> Iterator[bytes]:
    choice = random.Random(3)
    lines = []
    for number in range(100_000):
        what = choice.choice(("connexion réussie", "échec de l'accès", "requête terminée", "session expirée"))
        address = ".".join(str(choice.randrange(256)) for _ in range(4))
        lines.append(
            f"2026-03-{1 + number % 28:02} 10:{number % 60:02}:17,{number % 1000:03} INFO [worker-{number % 8}] {address} {what}"
            f" GET /api/v1/patients/{choice.randrange(10**6)} 200 {choice.randrange(5000)} ms\n".encode()
        )
    yield from cycle(lines)


def chat() -> Iterator[bytes]:
    choice = random.Random(4)
    sentences = _sentences(choice)
    names = [f"{choice.choice(_FIRST)} {choice.choice(_LAST)}" for _ in range(500)]
    lines = [
        f"{1 + number % 28:02}/03/2026, {number % 24:02}:{number % 60:02} - {choice.choice(names)}: {choice.choice(sentences)}\n"
        for number in range(100_000)
    ]
    yield from cycle([line.encode() for line in lines])


def one_line() -> Iterator[bytes]:
    choice = random.Random(5)
    yield from cycle([(each + " ").encode() for each in _sentences(choice)])


def one_word() -> Iterator[bytes]:
    choice = random.Random(6)
    yield from cycle([bytes(choice.choices(b"abcdefghijklmnopqrstuvwxyz", k=100_000))])


def base64_line() -> Iterator[bytes]:
    choice = random.Random(7)
    yield from cycle(
        [bytes(choice.choices(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=100_000))]
    )


def numbers() -> Iterator[bytes]:
    choice = random.Random(8)
    yield from cycle(["".join(choice.choices("0123456789 ", k=79)).encode() + b"\n" for _ in range(10_000)])


KINDS: dict[str, Write] = {
    each.__name__: stream(b"", each, lambda person: b"\n" + person.row() + b"\n")
    for each in (
        one_string, brackets, open_brackets, sql_one_line, sql_statements, table, ndjson, json_array, xml, html, prose,
        prose_latin1, prose_cp850, mixed, log, chat, one_line, one_word, base64_line, numbers,
    )
} | SOUND | WITHOUT_END  # fmt: skip


def _person(folder: Path) -> Person:
    """One of the people whom `make_home` has enrolled."""
    with (folder / "people.csv").open(newline="") as file:
        row = next(csv.DictReader(file))
    return Person(row["nom"], row["prenom"], row["date_naissance"], row["email"])


def _at_the_end(found: dict[str, Any]) -> str:
    """What is said of the person at the end: `person`, one `value`, or that not everything was `told`."""
    if any(hit["records"] for hit in found["hits"]):
        return "person"
    if found["hits"]:
        return "value"
    return "SILENT" if found["complete"] else "told"


def main() -> None:
    """Print one row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--megabytes", "--size", default="5,50,500", help="sizes of each kind, with commas between them"
    )
    parser.add_argument("--only", default=",".join(KINDS), help=f"some of {', '.join(KINDS)}")
    options = parser.parse_args()
    kinds = options.only.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    sizes = [float(size) for size in options.megabytes.split(",")]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        home = make_home(folder)
        scan = tocsin("--home", str(home), "scan", "--json", "--no-deliver")
        empty = folder / "empty.txt"
        empty.write_bytes(b"")
        start = min(run_tree([*scan, str(empty)], statuses=(0, 2))[1] for _ in range(2))
        print(
            f"{'kind':17} {'format':16} {'MB':>6} {'cpu s':>6} {'wall s':>6} {'MB/cpu s':>8} {'growth':>6} {'memory':>6}"
            f" {'found':7} problems"
        )
        person = _person(folder)
        for kind in kinds:
            path, spent = folder / kind, []
            for part in sizes:
                KINDS[kind](path, round(part * 1e6), person)
                wall, cpu, peak, said = run_tree([*scan, str(path)], statuses=(0, 1, 2))
                spent.append((max(cpu - start, 0.01), path.stat().st_size))
                path.unlink()
                (one,) = json.loads(said[said.index("{") :])["inputs"]
                # of seconds for each byte
                growth = (spent[-1][0] / spent[-1][1]) / (spent[0][0] / spent[0][1])
                print(
                    f"{kind:17} {one['format']:16} {spent[-1][1] / 1e6:6.0f} {cpu:6.1f} {wall:6.1f} {spent[-1][1] / 1e6 / cpu:8.1f}"
                    f" {growth:6.1f} {peak:6.0f} {_at_the_end(one):7} {'; '.join(one['problems'])[:100]}"
                    f"{'' if cpu <= LIMIT or part < FULL else '  OVER THE LIMIT'}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
