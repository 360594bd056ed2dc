"""Possessive repetitions of groups match the same on every Python."""

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
    ("pattern", "expected"),
    [
        ("a*+", "a*+"),
        ("(?:a|b)*+", "(?>(?:a|b)*)"),
        ("((?:a)++|b)*", "((?>(?:a)+)|b)*"),
        (r"\)*+[)]*+(?:x|[^])(]y){0,4}+", r"\)*+[)]*+(?>(?:x|[^])(]y){0,4})"),
        ("(?:a(?:b|c)*+)?+d", "(?>(?:a(?>(?:b|c)*))?)d"),
    ],
)
def test_possessive_groups_become_atomic_groups(pattern, expected):
    assert atomic(pattern) == expected
    assert atomic(pattern.encode()) == expected.encode()
    assert re.compile(expected).groups == re.compile(pattern).groups


@pytest.mark.skipif(not SOUND, reason="this Python matches the possessive form wrongly")
@given(st.text('a"\\, :', max_size=12))
def test_both_forms_match_the_same(text):
    for pattern in (r'"((?:[^"\\]++|\\.|"(?!\s*+[,:]))*+)(?:"|\Z)', r"(?:a|ab|\\.)*+b?", r"(a|,)++:"):
        one, other = re.search(pattern, text), re.search(atomic(pattern), text)
        assert (one and one.regs) == (other and other.regs)


@pytest.mark.slow
def test_readers_compile_all_patterns_with_possessive_groups_by_possessive():
    seen, wrong = 0, []
    for path in READERS.rglob("*.py"):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("re.compile", "possessive"):
                continue
            written = ast.unparse(node.args[0])
            if (
                GROUP.search(written.replace("\\\\", "").replace("\\)", ""))
                or "INSIDE" in written
                or "inside" in written
            ):
                seen += 1
                if ast.unparse(node.func) != "possessive":
                    wrong.append(f"{path.name}: {written[:60]}")
    assert wrong == []
    assert seen > 12


def test_a_string_ends_at_the_quote_before_a_separator():
    # Python 3.11.2 matched this wrongly: the alternatives in the group failed at the second quote
    pattern = possessive(r'"((?:[^"\\]++|\\.|"(?!\s*+(?:[,:}\])]|\Z)))*+)"')
    found = pattern.match('"Dup"ont",')
    assert found is not None
    assert found[1] == 'Dup"ont'
