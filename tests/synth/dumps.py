"""SQL dumps of people as the tools of MySQL, PostgreSQL, SQL Server, Oracle and SQLite write them."""

from __future__ import annotations

from collections.abc import Sequence

from tests.synth.people import COLUMNS, HEADERS, Person, row

_HEADS = {
    "mysql": "-- MySQL dump 10.13  Distrib 8.0.36\n/*!40101 SET NAMES utf8mb4 */;\n",
    "postgres": "--\n-- PostgreSQL database dump\n--\n\nSET standard_conforming_strings = on;\n\n",
    "mssql": "USE [cabinet]\r\nGO\r\n/****** Object:  Table [dbo].[patients] ******/\r\nSET ANSI_NULLS ON\r\nGO\r\n",
    "oracle": "REM INSERTING into PATIENTS\nSET DEFINE OFF;\n",
    "sqlite": "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n",
}


def _standard(cell: str) -> str:
    return "'" + cell.replace("'", "''") + "'"


def _mysql(cell: str) -> str:
    for plain, escape in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r"), ('"', '\\"'), ("\0", "\\0")):
        cell = cell.replace(plain, escape)
    return f"'{cell}'"


def _copy(cell: str) -> str:
    for plain, escape in (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        cell = cell.replace(plain, escape)
    return cell


def mysql(names: Sequence[str], rows: Sequence[Sequence[str]], *, extended: int = 50) -> str:
    """The format of mysqldump: column names in CREATE TABLE, many rows per statement."""
    create = ",\n".join(f"  `{name}` varchar(255) DEFAULT NULL COMMENT 'a, b'" for name in names)
    parts = [_HEADS["mysql"], f"CREATE TABLE `patients` (\n  `id` int NOT NULL AUTO_INCREMENT,\n{create},\n"]
    parts.append("  PRIMARY KEY (`id`),\n  KEY `k` (`id`,`id`)\n) ENGINE=InnoDB;\nLOCK TABLES `patients` WRITE;\n")
    for start in range(0, len(rows), extended):
        part = rows[start : start + extended]
        values = ",".join(
            f"({start + at}," + ",".join(_mysql(cell) if cell else "NULL" for cell in cells) + ")"
            for at, cells in enumerate(part)
        )
        parts.append(f"INSERT INTO `patients` VALUES {values};\n")
    return "".join([*parts, "UNLOCK TABLES;\n"])


def postgres_insert(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The format of pg_dump --column-inserts."""
    head = f"INSERT INTO public.patients (id, {', '.join(names)}) VALUES ("
    return _HEADS["postgres"] + "".join(
        head + f"{at}, " + ", ".join(_standard(cell) if cell else "NULL" for cell in cells) + ");\n"
        for at, cells in enumerate(rows)
    )


def postgres_copy(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The format of pg_dump without options."""
    lines = "".join(
        f"{at}\t" + "\t".join(_copy(cell) if cell else "\\N" for cell in cells) + "\n" for at, cells in enumerate(rows)
    )
    columns = f"id, {', '.join(names)}"
    return f"{_HEADS['postgres']}COPY public.patients ({columns}) FROM stdin;\n{lines}\\.\n\n\nANALYZE;\n"


def mssql(names: Sequence[str], rows: Sequence[Sequence[str]], dates: Sequence[str] = ("date_naissance",)) -> str:
    """The format of SQL Server Management Studio's script of a table with its data."""
    columns = ", ".join(f"[{name}]" for name in ("id", *names))
    lines = []
    for at, cells in enumerate(rows):
        values = [
            "NULL" if not cell else f"CAST(N{_standard(cell)} AS Date)" if name in dates else f"N{_standard(cell)}"
            for name, cell in zip(names, cells, strict=True)
        ]
        lines.append(f"INSERT [dbo].[patients] ({columns}) VALUES ({at}, {', '.join(values)})\r\n")
        if at % 100 == 99:
            lines.append("GO\r\nprint 'Processed 100 total records'\r\n")
    return _HEADS["mssql"] + "".join(lines) + "GO\r\n"


def oracle(names: Sequence[str], rows: Sequence[Sequence[str]], dates: Sequence[str] = ("date_naissance",)) -> str:
    """The format of Oracle SQL Developer's export."""
    lines = [
        f"Insert into CABINET.PATIENTS (ID,{','.join(names).upper()}) values ({at},"
        + ",".join(
            "null" if not cell else f"to_date({_standard(cell)},'YYYY-MM-DD')" if name in dates else _standard(cell)
            for name, cell in zip(names, cells, strict=True)
        )
        + ");\n"
        for at, cells in enumerate(rows)
    ]
    return _HEADS["oracle"] + "".join(lines)


def sqlite(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The format of the .dump command of SQLite's shell."""
    create = f"CREATE TABLE patients (id INTEGER PRIMARY KEY, {', '.join(f'{name} TEXT' for name in names)});\n"
    lines = [
        f"INSERT INTO patients VALUES({at}," + ",".join(_standard(cell) if cell else "NULL" for cell in cells) + ");\n"
        for at, cells in enumerate(rows)
    ]
    return _HEADS["sqlite"] + create + "".join(lines) + "COMMIT;\n"


WRITERS = {
    "mysql": mysql,
    "postgres insert": postgres_insert,
    "postgres copy": postgres_copy,
    "mssql": mssql,
    "oracle": oracle,
    "sqlite": sqlite,
}


def dump(writer: str, persons: Sequence[Person], columns: Sequence[str] = COLUMNS) -> str:
    """A table of people as one of the `WRITERS` writes it."""
    return WRITERS[writer](
        [HEADERS["fr"][name] for name in columns], [row(person, columns, "%Y-%m-%d") for person in persons]
    )
