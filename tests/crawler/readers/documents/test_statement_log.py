"""Values that stand beside their statements, in logs of any size."""

from __future__ import annotations

from crawler.readers.core.limits import Limits
from crawler.readers.core.members import read_sample
from tests.crawler.readers.frames import Consumer, read


def test_a_statement_that_is_longer_than_what_is_held_gives_all_of_its_rows():
    rows = [[f"Émile{number}", "Anne", "1975-03-12"] for number in range(9000)]
    selects = "\nUNION ALL\n".join(f"SELECT N'{a}', N'{b}', CAST(N'{c}' AS Date)" for a, b, c in rows)
    found = read(f"INSERT INTO patient (nom, prenom, ddn)\n{selects};\n".encode())
    assert found.format == "statement_log"
    assert found.rows == rows


def test_values_are_taken_by_the_number_of_their_mark():
    log = "".join(
        f"LOG:  execute S_1: UPDATE patient SET ddn = $3, nom = $1, prenom = $2 WHERE id = $4\n"
        f"DETAIL:  parameters: $1 = 'L''Hôte{number}', $2 = NULL, $3 = '1975-03-12', $4 = '{number}'\n"
        for number in range(50)
    )
    found = read(log.encode())
    assert found.rows == [["1975-03-12", f"L'Hôte{number}", "", str(number)] for number in range(50)]
    # `execute S_1:` names a prepared statement and begins none: its rows are one table
    assert len(found.tables) == 1


def test_statements_stand_behind_letters_that_are_two_when_small():
    log = "".join(
        f"İSTANBUL {number}: insert into patient (nom, prenom, ddn) values (?, ?, ?)\n"
        f"binding parameter [1] as [VARCHAR] - [Roux{number}]\nbinding parameter [2] as [VARCHAR] - [Anne]\n"
        "binding parameter [3] as [DATE] - [1975-03-12]\n"
        for number in range(20)
    )
    assert read(log.encode()).rows == [[f"Roux{number}", "Anne", "1975-03-12"] for number in range(20)]


def test_what_stands_beside_values_is_sent_together_and_in_order():
    log = "".join(
        f"Hibernate: insert into patient (nom, prenom) values (?, ?)\nbinding parameter [1] as [VARCHAR] - [Roux{number}]\n"
        f"binding parameter [2] as [VARCHAR] - [Anne]\nby user{number:03}\n"
        for number in range(300)
    )
    consumer = Consumer()
    read_sample(iter([log.encode()]), consumer.take, Limits())
    assert consumer.frames.count(b"T") < 10
    sample = consumer.sample
    assert sample is not None
    assert len(sample.rows) == 300
    words = bytes(sample.text).split()
    assert [word for word in words if word.startswith(b"user")] == [b"user%03d" % number for number in range(300)]


def test_a_log_about_no_people_is_text():
    log = (
        "LOG: execute: INSERT INTO stock (code, price) VALUES ($1, $2)\nDETAIL:  parameters: $1 = 'a', $2 = '3'\n" * 20
    )
    assert read(log.encode()).format != "statement_log"
