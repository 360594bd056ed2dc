"""SQL dumps made to break their reader, each with a canary outside its broken part; `dumps` makes valid dumps."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.synth.hostile import CANARY, Hostile

Maker = Callable[[random.Random, int], bytes]

_HEAD = "-- MySQL dump 10.13\n"
_ROW = "INSERT INTO `p` (`nom`, `mail`) VALUES ('Dupont','{}');\n"
CANARY_ROW = _ROW.format(CANARY).encode()

# name: problem codes that must be reported, and the function that makes the SQL; the reader must read all bytes of each
MAKERS: dict[str, tuple[frozenset[str], Maker]] = {}


def _register(*codes: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        MAKERS[maker.__name__] = frozenset(codes), maker
        return maker

    return register


def hostile_sql(name: str, seed: int = 0, size: int = 100_000) -> Hostile:
    """The hostile dump with this name, of about `size` bytes; the seed varies its random parts."""
    codes, maker = MAKERS[name]
    body = maker(random.Random(f"{seed}-{name}"), size)
    data = _HEAD.encode() + CANARY_ROW + body + b"\n;\n" + CANARY_ROW
    return Hostile(name.replace("_", " "), data, codes, complete="unread" not in codes)


def _repeat(part: str, size: int) -> bytes:
    return (part * (size // len(part) + 1)).encode()


def _numbered(part: str, size: int) -> bytes:
    return "".join(part.format(at) for at in range(size // len(part) + 1)).encode()


@_register("sql")
def unclosed_quotes_everywhere(random_: random.Random, size: int) -> bytes:
    rows = ["('Martin','x@y.example')" for _ in range(size // 25)]
    for at in range(0, len(rows), 3):
        where = random_.randrange(1, len(rows[at]))
        rows[at] = rows[at][:where] + "'" + rows[at][where:]
    return ("INSERT INTO `p` (`nom`, `mail`) VALUES " + ",".join(rows) + ";").encode()


@_register("sql")
def an_unclosed_string(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO `p` (`nom`, `mail`) VALUES ('" + b"x" * size


@_register("sql")
def rows_with_unclosed_strings(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO `p` (`nom`, `mail`) VALUES " + _repeat("('a),", size)


@_register("sql")
def unclosed_dollar_quotes(random_: random.Random, size: int) -> bytes:
    return _numbered("INSERT INTO p VALUES ($a{}$\n", size)


@_register("sql")
def unclosed_double_quotes(random_: random.Random, size: int) -> bytes:
    return _repeat('INSERT INTO p VALUES (1,"\\"\n', size) + b"'"


@_register("sql")
def unclosed_parentheses(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES " + b"(" * size


@_register("sql")
def functions_inside_functions(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES (1)," + _repeat("(f(f(f('a', g('b')), 'c') || ", size)


@_register()
def tables_inside_tables(random_: random.Random, size: int) -> bytes:
    return _repeat("CREATE TABLE a (\n", size)


@_register()
def comments_inside_tables(random_: random.Random, size: int) -> bytes:
    return _repeat("CREATE TABLE a (/*\n", size)


@_register()
def strings_inside_tables(random_: random.Random, size: int) -> bytes:
    return _repeat("CREATE TABLE a ('\n", size)


@_register()
def statements_without_rows(random_: random.Random, size: int) -> bytes:
    return _repeat("INSERT INTO `p` (`a`,`b`) VALUES\n", size)


@_register()
def an_unclosed_list_of_columns(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p (" + _repeat("a,", size)


@_register()
def names_made_of_statements(random_: random.Random, size: int) -> bytes:
    return _repeat("INSERT INTO a (`b`,`\n", size)


@_register()
def only_spaces(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES " + b" " * size + b"(1)" + b"\n" * size


@_register()
def only_go(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES (1)\n" + _repeat("GO\n", size)


@_register()
def only_separators(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES (1)" + _repeat(",;", size)


@_register("sql")
def a_copy_that_never_ends(random_: random.Random, size: int) -> bytes:
    return b"COPY p (a, b) FROM stdin;\n" + _repeat("x\ty\nz\n", size)


@_register("columns")
def rows_of_every_width(random_: random.Random, size: int) -> bytes:
    rows, have = ["(" + ",".join("1" * 2000) + ")"], 0
    while have < size:
        rows.append("(" + ",".join("7" * random_.choice((1, 2, 3, 40))) + ")")
        have += len(rows[-1])
    return ("INSERT INTO p VALUES " + ",".join(rows) + ";").encode()


@_register()
def values_whose_forms_keep_changing(random_: random.Random, size: int) -> bytes:
    forms = ("1", "'a'", "N'b'", "NULL", "f('c')", "0x41", "E'd'", '"e"', "$$g$$", "CAST('h' AS Date)", "- 1")
    rows = ("(" + ",".join(random_.choices(forms, k=3)) + ")" for _ in range(size // 16))
    return ("INSERT INTO p VALUES " + ",\n".join(rows) + ";").encode()


@_register()
def a_new_table_in_every_statement(random_: random.Random, size: int) -> bytes:
    return _numbered("INSERT INTO p{0} VALUES ({0},'a');\n", size)


@_register("unread")
def bytes_that_are_no_text(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO `p` VALUES (1,'" + random_.randbytes(size) + b"');"


@_register("columns")
def very_many_columns(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES (" + _repeat("1,", 2 * size) + b"1);"


@_register()
def hexadecimal_of_all_kinds(random_: random.Random, size: int) -> bytes:
    return b"INSERT INTO p VALUES " + b",".join(b"(0x%x,X'%02x')" % (at, at & 255) for at in range(size // 20)) + b";"


@_register()
def escapes_of_all_kinds(random_: random.Random, size: int) -> bytes:
    cells = ("".join(random_.choices("\\'\"nt0x%_Z,()", k=9)) for _ in range(size // 12))
    quoted = ("'" + cell.replace("\\", "\\\\").replace("'", "\\'") + "'" for cell in cells)
    return ("INSERT INTO `p` VALUES " + ",".join(f"({cell})" for cell in quoted) + ";").encode()


@_register("sql")
def doubled_quotes_in_a_row_that_does_not_match(random_: random.Random, size: int) -> bytes:
    # Each pair of quotes is either one quote inside a string, or the end of a string and the start of the next one.
    return (
        b"INSERT INTO p VALUES "
        + b"(0x1,X'01')," * 200
        + b"(0x1,'"
        + _repeat("''", min(size, 2000))
        + b"; ("
        + _repeat("1,", size)
    )
