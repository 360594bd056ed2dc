"""Words, expressions and YARA rules of an incident: which ones match, and that a broken rule does not stop the others."""

from __future__ import annotations

import pytest

from crawler.pages.incident_rules import Rules, compile_yara

YARA = 'rule medivault { strings: $a = "medivault" nocase condition: $a }\nrule two { condition: filesize > 5000 }'


def names(text: str, **given) -> list[str]:
    rules = Rules.of(given.get("words", ()), given.get("expressions", ()), given.get("files", {}))
    return rules.matching(text)


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        ("base santé", "Voici la BASE  SANTE complète", True),
        ("base santé", "database santé", False),
        ("vault", "the vault, again", True),
        ("vault", "vaults", False),
        ("c++", "in c++ written", True),
        (".onion", "see x.onion", False),
    ],
)
def test_words_are_found_as_whole_words_in_any_case_with_or_without_accents(word, text, expected):
    assert bool(names(text, words=[word])) is expected


def test_a_matching_rule_is_reported_by_its_name_alone():
    found = names("Medivault part 7 of Dupont", words=["part"], expressions=[r"part \d+"], files={"m.yar": YARA})
    assert found == ["word 'part'", r"expression 'part \\d+'", "rule medivault of m.yar"]
    assert "Dupont" not in str(found)


def test_a_broken_rule_is_named_and_the_others_are_used():
    rules = Rules.of(["part"], ["(a+)+", "["], {"bad.yar": "rule x {\n condition: foo }", "m.yar": YARA})
    assert set(rules.broken) == {"expression '(a+)+'", "expression '['", "rules bad.yar"}
    assert "line:2" in rules.broken["rules bad.yar"]
    assert rules.matching("medivault part") == ["word 'part'", "rule medivault of m.yar"]


def test_yara_rules_cannot_include_another_file():
    with pytest.raises(ValueError, match="include statements not allowed"):
        compile_yara('include "/etc/passwd"\nrule a { condition: true }')


def test_without_rules_nothing_matches():
    assert not Rules.of((), (), {})
    assert names("anything") == []
