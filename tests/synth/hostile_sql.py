"""SQL made to break its reader, each with a canary outside of what is broken; `dumps` makes the sound ones."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.synth.hostile import CANARY, Hostile

Maker = Callable[[random.Random, int], bytes]

_HEAD = "-- MySQL dump 10.13\n"
_ROW = "INSERT INTO `p` (`nom`, `mail`) VALUES ('Dupont','{}');\n"
CANARY_ROW = _ROW.format(CANARY).encode()

# what must be said of each; the reader takes all bytes in any case
MAKERS: dict[str, tuple[frozenset[str], Maker]] = {}


def _made(*codes: str) -> Callable[[Maker], Maker]:
    def put(maker: Maker) -> Maker:
        MAKERS[maker.__name__] = frozenset(codes), maker
        return maker

    return put


def hostile_sql(name: str, seed: int = 0, size: int = 100_000) -> Hostile:
    """One of them, of about so many bytes; the seed moves the noise inside."""
    codes, maker = MAKERS[name]
    body = maker(random.Random(f"{seed}-{name}"), size)
    data = _HEAD.encode() + CANARY_ROW + body + b"\n;\n" + CANARY_ROW
    return Hostile(name.replace("_", " "), data, codes, complete=True)


def _times(part: str, size: int) -> bytes:
    return (part * (size // len(part) + 1)).encode()


def _numbered(part: str, size: int) -> bytes:
    return "".join(part.format(at) for at in range(size // len(part) + 1)).encode()


@_made("sql")
def stray_quotes_everywhere(random_: random.Random, size: int) -> bytes:
    rows = ["('Martin','x@y.example')" for _ in range(size // 25)]
    for at in range(0, len(rows), 3):
        where = random_.randrange(1, len(rows[at]))
        rows[at] = rows[at][:where] + "'" + rows[at][where:]
    return ("INSERT INTO `p` (`nom`, `mail`) VALUES " + ",".join(rows) + ";").encode()


@_made("sql")
def a_string_without_end(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO `p` (`nom`, `mail`) VALUES ('" + b"x" * size


@_made("sql")
def rows_that_open_strings(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO `p` (`nom`, `mail`) VALUES " + _times("('a),", size)


@_made("sql")
def dollar_quotes_without_end(random_: random.Random, size: int) -> bytes:
    return _numbered("INSERT INTO p VALUES ($a{}$\n", size)


@_made("sql")
def double_quotes_without_end(random_: random.Random, size: int) -> bytes:
    return _times('INSERT INTO p VALUES (1,"\\"\n', size) + b"'"


@_made("sql")
def parentheses_without_end(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES " + b"(" * size


@_made("sql")
def functions_inside_functions(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES (1)," + _times("(f(f(f('a', g('b')), 'c') || ", size)


@_made()
def tables_inside_tables(random_: random.Random, size: int) -> bytes:
    return _times("CREATE TABLE a (\n", size)


@_made()
def comments_inside_tables(random_: random.Random, size: int) -> bytes:
    return _times("CREATE TABLE a (/*\n", size)


@_made()
def strings_inside_tables(random_: random.Random, size: int) -> bytes:
    return _times("CREATE TABLE a ('\n", size)


@_made()
def heads_without_rows(random_: random.Random, size: int) -> bytes:
    return _times("INSERT INTO `p` (`a`,`b`) VALUES\n", size)


@_made()
def a_list_of_columns_without_end(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p (" + _times("a,", size)


@_made()
def names_made_of_heads(random_: random.Random, size: int) -> bytes:
    return _times("INSERT INTO a (`b`,`\n", size)


@_made()
def nothing_but_spaces(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES " + b" " * size + b"(1)" + b"\n" * size


@_made()
def nothing_but_go(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES (1)\n" + _times("GO\n", size)


@_made()
def nothing_but_separators(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES (1)" + _times(",;", size)


@_made("sql")
def a_copy_that_never_ends(random_: random.Random, size: int) -> bytes:
    return b"COPY p (a, b) FROM stdin;\n" + _times("x\ty\nz\n", size)


@_made("columns")
def rows_of_every_width(random_: random.Random, size: int) -> bytes:
    rows, have = ["(" + ",".join("1" * 2000) + ")"], 0
    while have < size:
        rows.append("(" + ",".join("7" * random_.choice((1, 2, 3, 40))) + ")")
        have += len(rows[-1])
    return ("INSERT INTO p VALUES " + ",".join(rows) + ";").encode()


@_made()
def forms_that_never_settle(random_: random.Random, size: int) -> bytes:
    forms = ("1", "'a'", "N'b'", "NULL", "f('c')", "0x41", "E'd'", '"e"', "$$g$$", "CAST('h' AS Date)", "- 1")
    rows = ("(" + ",".join(random_.choices(forms, k=3)) + ")" for _ in range(size // 16))
    return ("INSERT INTO p VALUES " + ",\n".join(rows) + ";").encode()


@_made()
def every_statement_another_table(random_: random.Random, size: int) -> bytes:
    return _numbered("INSERT INTO p{0} VALUES ({0},'a');\n", size)


@_made("sql")
def bytes_of_no_text(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO `p` VALUES (1,'" + random_.randbytes(size) + b"');"


@_made("columns")
def very_many_columns(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES (" + _times("1,", 2 * size) + b"1);"


@_made()
def hexadecimal_of_all_kinds(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES " + b",".join(b"(0x%x,X'%02x')" % (at, at & 255) for at in range(size // 20)) + b";"


@_made()
def escapes_of_all_kinds(random_: random.Random, size: int) -> bytes:
    cells = ("".join(random_.choices("\\'\"nt0x%_Z,()", k=9)) for _ in range(size // 12))
    quoted = ("'" + cell.replace("\\", "\\\\").replace("'", "\\'") + "'" for cell in cells)
    return ("INSERT INTO `p` VALUES " + ",".join(f"({cell})" for cell in quoted) + ";").encode()


@_made("sql")
def doubled_quotes_in_a_row_that_does_not_fit(random_: random.Random, size: int) -> bytes:
    # each pair of quotes is one within a string or the end of one and the beginning of the next
    return (
        b"INSERT INTO p VALUES "
        + b"(0x1,X'01')," * 200
        + b"(0x1,'"
        + _times("''", min(size, 2000))
        + b"; ("
        + _times("1,", size)
    )
