"""Which passwords the text of a post gives, in which order, and never more than are tried."""

from __future__ import annotations

import pytest

from crawler.pages.given_passwords import MAX_LENGTH, MAX_PASSWORDS, find_passwords

CASES = [
    ("Download: x.7z\npass: infected", "infected"),
    ("Password is `Tr0ub4dor&3`.", "Tr0ub4dor&3"),
    ("MDP = clinique2026!", "clinique2026!"),
    ("mot de passe : « la clé du coffre »", "la clé du coffre"),
    ("Password for the archive: correct horse battery", "correct horse battery"),
    ("PASSWORD\nbreach.example", "breach.example"),
    ("rar pw: abc.", "abc"),
    ("Пароль: секрет", "секрет"),
    ("key -> 9f86d081", "9f86d081"),
]


@pytest.mark.parametrize(("text", "password"), CASES)
def test_passwords_behind_labels_are_found(text: str, password: str) -> None:
    assert password in find_passwords(text)


def test_text_without_a_label_gives_none() -> None:
    assert find_passwords("15 million patients, no password needed for the passport office. Passage 12: nothing") == []


def test_the_name_of_the_site_is_tried_last() -> None:
    assert find_passwords("pass: one", ["www.breach.example"]) == [
        "one",
        "breach.example",
        "breach",
        "www.breach.example",
    ]


def test_a_hostile_post_gives_no_more_than_are_tried() -> None:
    text = "\n".join(f"pass: {number}" for number in range(5000)) + "pass:" * 100_000 + "\npass: " + "x" * 10_000
    found = find_passwords(text, ["breach.example"])
    assert len(found) == MAX_PASSWORDS
    assert "breach" in found
    assert all(len(each) <= MAX_LENGTH and "\n" not in each for each in found)
