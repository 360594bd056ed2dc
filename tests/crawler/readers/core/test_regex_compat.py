"""Patterns that repeat groups without giving anything back mean the same on every Python."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import crawler.readers
from crawler.readers.core.regex_compat import SOUND, atomic, possessive

READERS = Path(crawler.readers.__file__).parent
GROUP = re.compile(r"\)(?:[*+?]|\{\d*,?\d*\})\+")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("a*+", "a*+"),
        ("(?:a|b)*+", "(?>(?:a|b)*)"),
        ("((?:a)++|b)*", "((?>(?:a)+)|b)*"),
        (r"\)*+[)]*+(?:x|[^])(]y){0,4}+", r"\)*+[)]*+(?>(?:x|[^])(]y){0,4})"),
        ("(?:a(?:b|c)*+)?+d", "(?>(?:a(?>(?:b|c)*))?)d"),
    ],
)
def test_repeated_groups_become_atomic_ones(pattern, said):
    assert atomic(pattern) == said
    assert atomic(pattern.encode()) == said.encode()
    assert re.compile(said).groups == re.compile(pattern).groups


@pytest.mark.skipif(not SOUND, reason="there the possessive form is what fails")
@given(st.text('a"\\, :', max_size=12))
def test_both_forms_match_the_same(text):
    for pattern in (r'"((?:[^"\\]++|\\.|"(?!\s*+[,:]))*+)(?:"|\Z)', r"(?:a|ab|\\.)*+b?", r"(a|,)++:"):
        one, other = re.search(pattern, text), re.search(atomic(pattern), text)
        assert (one and one.regs) == (other and other.regs)


def test_every_such_pattern_of_a_reader_is_made_for_old_pythons_too():
    seen, wrong = 0, []
    for path in READERS.rglob("*.py"):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("re.compile", "possessive"):
                continue
            said = ast.unparse(node.args[0])
            if GROUP.search(said.replace("\\\\", "").replace("\\)", "")) or "INSIDE" in said or "inside" in said:
                seen += 1
                if ast.unparse(node.func) != "possessive":
                    wrong.append(f"{path.name}: {said[:60]}")
    assert wrong == []
    assert seen > 12


def test_a_string_ends_where_something_follows_that_can():
    # 3.11.2 lost this: the choice inside gave up at the second quote
    pattern = possessive(r'"((?:[^"\\]++|\\.|"(?!\s*+(?:[,:}\])]|\Z)))*+)"')
    found = pattern.match('"Dup"ont",')
    assert found is not None
    assert found[1] == 'Dup"ont'
