"""Hostile tables in texts, lines of fixed width and listings; each ends with the canary. They are made as in `hostile`."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.synth.hostile import CANARY, Hostile

_LAST = f"\n\nDupont Jean, né le 12/03/1975, {CANARY}\n"
_BODIES: dict[str, Callable[[random.Random], str]] = {
    "rules_only": lambda _: "+---+---+\n" * 60_000,
    "rules_of_dashes": lambda _: "--- ---\n" * 60_000,
    "a_rule_without_end": lambda _: "nom | prenom\n" + "-" * 600_000 + "|" + "-" * 600_000,
    "a_rule_of_a_hundred_thousand_columns": lambda _: "+" + "---+" * 100_000 + "\n|" + " a |" * 100_000,
    "names_above_rules": lambda _: "nom | prenom\n----+----\n" * 40_000,
    "numbers_of_records": lambda _: "-[ RECORD 1 ]---\n" * 60_000,
    "records_of_one_value": lambda _: "".join(f"-[ RECORD {at} ]---\na{at} | b\n" for at in range(20_000)),
    "a_record_without_end": lambda _: "*************************** 1. row ***************************\n" + "a: b\n" * 100_000,
    "cells_that_go_on": lambda _: "a | b\n---+---\n" + "x +| y +\n" * 60_000,
    "box_characters": lambda _: "┌─┬─┐\n│ │ │\n" * 30_000,
    "separators_only": lambda _: (";" * 50 + "\n") * 10_000,
    "runs_of_other_tables": lambda _: "".join(f"{at};{at};{at}\n" * 5 + f"{at},{at},{at},{at}\n" * 5 for at in range(5000)),
    "runs_of_two_lines": lambda _: "nom;prenom;ddn\na;b;c\nx\n" * 20_000,
    "a_form_of_a_million_fields": lambda _: "nom=a&prenom=b&" + "c=d&" * 250_000,
    "forms_without_values": lambda _: "nom=&prenom=&" * 60_000,
    "forms_of_percent_signs": lambda _: "nom=" + "%" * 500_000 + "&prenom=" + "%C3" * 100_000,
    "keys_without_end": lambda _: "&nom=" + "a" * 800_000 + "\n" + "&" * 100_000,
    "digits_of_fixed_width": lambda random_: "".join("".join(random_.choices("0123456789", k=300)) + "\n" for _ in range(2000)),
    "dates_at_every_place": lambda _: "19750312" * 100_000,
    "spaces_of_fixed_width": lambda _: ((" " * 1000 + "x") * 600),
    "question_marks_in_words": lambda _: "Du?o?t" * 100_000 + " né le 12/03/1975\n" + "a?" * 100_000,
    "elements_of_a_listing": lambda _: "(0010,0010) PN [" + "A^" * 300_000 + "]\n" + "(0010,0010) PN [A^B]\n" * 20_000,
    "times_of_messages": lambda _: "12/03/2024, 14:05 - " * 60_000,
    "rows_without_a_statement": lambda _: "('1','a','b'),('2','c','d')," + "((((" * 100_000,
}  # fmt: skip

_PROBLEMS = {
    "a_rule_of_a_hundred_thousand_columns": frozenset({"columns"}),
    "a_record_without_end": frozenset({"columns"}),
    "elements_of_a_listing": frozenset({"columns"}),
    "times_of_messages": frozenset({"columns", "line"}),
    "rows_without_a_statement": frozenset({"sql"}),
}

MAKERS: dict[str, Callable[[random.Random], str]] = _BODIES


def hostile_table(name: str, seed: int = 0) -> Hostile:
    """The sample of this name; the seed determines the random characters inside."""
    body = MAKERS[name](random.Random(f"{seed}-{name}"))
    return Hostile(name.replace("_", " "), (body + _LAST).encode(), _PROBLEMS.get(name, frozenset()), complete=True)
