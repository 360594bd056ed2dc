"""Processor time of `tocsin scan` for each kind of text at 500 MB, and how it grows from a quarter of that size.

A row is one file. Its time is that of the whole command with all its processes; the limit is 60 s. `growth` is the time of the
whole file by that of its first quarter, what a start takes subtracted: 4 is linear, 16 is quadratic. Time by the clock is shown
as well: on a machine that does nothing else it is about the time of the examiner, for the reader works beside it. The kinds from
`csv_quote` on begin something that never ends.

Options: --megabytes=N (500), --only=WORD,WORD of the kinds, --quarter (only the first quarter).
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, repeat
from pathlib import Path

from benchmarks.patients import HEADER, patients
from benchmarks.scan import make_home, run_tree, tocsin

BY_NAME_ONLY = True
LIMIT = 60
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


# --- what begins and does not end -------------------------------------------------------------------------------------


def _endless(begin: bytes, more: bytes) -> Iterator[bytes]:
    """A beginning, then the same bytes for ever, which a reader has to take for a part of it."""
    yield begin
    yield from repeat(more * (2**20 // len(more) + 1))


_LINES = b"".join(patients(2000)).partition(b"\n")[2]
_OPEN: dict[str, tuple[bytes, bytes]] = {
    "csv_quote": (HEADER + b'"', _LINES),
    "sql_quote": (b"INSERT INTO `patients` VALUES ('", _LINES),
    "sql_comment": (b"INSERT INTO `patients` VALUES (1,'a');\n/* ", _LINES),
    "sql_dollar": (b"SELECT $body$ ", _LINES),
    "sql_brackets": (b"INSERT INTO `patients` VALUES ", b"("),
    "xml_tag": (b'<?xml version="1.0"?>\n<patients><patient nom="', _LINES),
    "xml_comment": (b'<?xml version="1.0"?>\n<patients><!-- ', _LINES),
    "xml_cdata": (b'<?xml version="1.0"?>\n<patients><nom><![CDATA[', _LINES),
    "xml_tags": (b'<?xml version="1.0"?>\n<patients>', b"<a>"),
    "html_tag": (b"<html><body><table><tr><td title='", _LINES),
    "html_comment": (b"<html><body><!-- ", _LINES),
    "html_script": (b"<html><body><script>var a = [{", _LINES),
    "html_rows": (b"<html><body><table>", b"<tr><td>a"),
    "mail_boundary": (
        (
            b"From: a@example.org\nTo: b@example.org\nSubject: x\nMIME-Version: 1.0\n"
            b'Content-Type: multipart/mixed; boundary="never"\n\n--never\nContent-Type: text/plain\n\n'
        ),
        _LINES,
    ),
    "mail_base64": (
        (
            b"From: a@example.org\nSubject: x\nMIME-Version: 1.0\nContent-Type: application/octet-stream\n"
            b"Content-Transfer-Encoding: base64\n\n"
        ),
        b"bm9tO3ByZW5vbTtuYWlzc2FuY2UKRHVwb250O0plYW5uZTsxOTgwLTAyLTAzCkR1cG9udDtKZWFu\n",
    ),
    "mbox": (b"", b"From a@example.org Mon Jan  1 00:00:00 2024\nFrom: a@example.org\nSubject: x\n\nwords\n\n"),
    "uuencode": (b"begin 644 a.bin\n", b"M;F]M.W!R96YO;3MN86ES<V%N8V4*1'5P;VYT.TIE86YN93LQ.3@P+3`R+3`S\n"),
    "php_length": (b'a:1:{i:0;a:2:{s:3:"nom";s:900000000:"', _LINES),
    "php_nested": (b"", b"a:1:{i:0;"),
    "ldif": (b"version: 1\n\ndn: cn=a,dc=example\nobjectClass: person\ncn: a\ndescription: ", b"words of a value\n "),
    "vcard": (b"BEGIN:VCARD\nVERSION:3.0\nFN:Jeanne Dupont\nNOTE:", b"words of a note\n "),
    "vcards_open": (b"", b"BEGIN:VCARD\nFN:Jeanne Dupont\nTEL:0612345678\n"),
    "icalendar": (b"BEGIN:VCALENDAR\nVERSION:2.0\nBEGIN:VEVENT\nSUMMARY:", b"words of a summary\n "),
    "hl7": (b"MSH|^~\\&|A|B|C|D|20240101||ADT^A01|1|P|2.3\rPID|1||1||", b"Dupont^Jeanne&"),
    "yaml": (b"patients:\n", b"  - nom: Dupont\n    prenom: Jeanne\n    naissance: 1980-02-03\n"),
    "rtf_groups": (b"{\\rtf1\\ansi ", b"{\\b words "),
    "rtf_binary": (b"{\\rtf1\\ansi {\\pict\\bin900000000 ", _LINES),
    "pdf_objects": (b"%PDF-1.4\n", b"1 0 obj\n<< /Length 99999999 >>\nstream\nBT (words) Tj ET\n"),
    "json_escapes": (b'["', b"\\u00e9\\n"),
    "json_keys": (b"", b'{"a":'),
    "markdown": (b"| nom | prenom |\n|---|---|\n", b"| Dupont | Jeanne |\n"),
    "box_table": (b"+----+----+\n| nom | prenom |\n+----+----+\n", b"| Dupont | Jeanne |\n"),
    "box_rules": (b"", b"+----+----+\n"),
}


KINDS: dict[str, Callable[[], Iterator[bytes]]] = {
    each.__name__: each
    for each in (
        one_string, brackets, open_brackets, sql_one_line, sql_statements, table, ndjson, json_array, xml, html, prose,
        prose_latin1, prose_cp850, mixed, log, chat, one_line, one_word, base64_line, numbers,
    )
} | {name: partial(_endless, *parts) for name, parts in _OPEN.items()}  # fmt: skip


def write(path: Path, pieces: Iterator[bytes], size: int) -> None:
    """Write so many bytes of what a kind gives."""
    with path.open("wb") as out:
        for piece in pieces:
            out.write(piece[: size - out.tell()])
            if out.tell() >= size:
                return


def main() -> None:
    """Print one row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", "--size", type=int, default=500)
    parser.add_argument("--only", default=",".join(KINDS), help=f"some of {', '.join(KINDS)}")
    parser.add_argument("--quarter", action="store_true")
    options = parser.parse_args()
    kinds = options.only.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such kind: {', '.join(sorted(unknown))}")
    size = options.megabytes * 1_000_000
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        home = make_home(folder)
        scan = tocsin("--home", str(home), "scan", "--json", "--no-deliver")
        empty = folder / "empty.txt"
        empty.write_bytes(b"")
        start = min(run_tree([*scan, str(empty)], statuses=(0, 2))[1] for _ in range(2))
        print(
            f"{'kind':15} {'MB':>5} {'cpu s':>6} {'wall s':>6} {'MB/cpu s':>8} {'growth':>6} {'MB of memory':>12}  problems"
        )
        for kind in kinds:
            path, spent = folder / kind, []
            for part in (size // 4,) if options.quarter else (size // 4, size):
                write(path, KINDS[kind](), part)
                wall, cpu, peak, said = run_tree([*scan, str(path)], statuses=(0, 1, 2))
                spent.append(cpu)
            (one,) = json.loads(said[said.index("{") :])["inputs"]
            growth = (spent[-1] - start) / max(spent[0] - start, 0.01)
            print(
                f"{kind:15} {part / 1e6:5.0f} {cpu:6.1f} {wall:6.1f} {part / 1e6 / cpu:8.1f} {growth:6.1f} {peak:12.0f}"
                f"  {'; '.join(one['problems'])[:100]}{'' if cpu <= LIMIT else '  OVER THE LIMIT'}",
                flush=True,
            )
            path.unlink()


if __name__ == "__main__":
    main()
