"""Applies the words, expressions and YARA rules of an incident to the text of posts, and names those that match.

The matched text itself is never reported. Times that a text announces are found by `crawler.pages.deadlines`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from crawler.pages.time_limit import SearchTimeout, search
from data.identifiers.normalise import fold
from data.sources.expression_checks import MAX_INPUT, check_expression

# Characters of a text that words and YARA rules are applied to, and seconds that the rules of one file may take.
MAX_TEXT = 2**20
YARA_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one incident.

    Attributes:
        words: name -> pattern for folded text. expressions: name -> pattern for the text as it is.
        files: name of a YARA file -> its compiled rules. broken: name of a rule -> why it cannot be used.
    """

    words: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    expressions: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, words: Sequence[str], expressions: Sequence[str], files: Mapping[str, str]) -> Self:
        """Compile the rules. A rule that cannot be used is named in `broken`, and the others are used.

        Args:
            words: found as whole words, in any case, with or without accents.
            expressions: Python regular expressions, checked like those of source files.
            files: name -> source text of YARA rules.
        """
        made = cls({f"word {word!r}": _word(word) for word in words if fold(word).strip()}, {}, {}, {})
        patterns: dict[str, re.Pattern[str]] = {}
        for expression in expressions:
            name = f"expression {expression!r}"
            try:
                check_expression(expression)
                patterns[name] = re.compile(expression)
            except ValueError as error:
                made.broken[name] = str(error)
        compiled: dict[str, Any] = {}
        for name, text in files.items():
            try:
                compiled[name] = compile_yara(text)
            except ValueError as error:
                made.broken[f"rules {name}"] = str(error)
        return cls(made.words, patterns, compiled, made.broken)

    def __bool__(self) -> bool:
        """Whether there is any rule, usable or not."""
        return bool(self.words or self.expressions or self.files or self.broken)

    def matching(self, text: str) -> list[str]:
        """Names of the rules that match a text, in order; one that takes too long is named `… (too slow)`."""
        if not self:
            return []
        text = text[:MAX_TEXT]
        folded = fold(text)
        found = [name for name, pattern in self.words.items() if pattern.search(folded)]
        for name, pattern in self.expressions.items():
            try:
                found += [name] if search(pattern, text[:MAX_INPUT]) else []
            except SearchTimeout:
                found.append(f"{name} (too slow)")
        for name, rules in self.files.items():
            found += _scan(name, rules, text)
        return found


def compile_yara(text: str) -> Any:
    """The compiled rules of a YARA file.

    Raises:
        ValueError: the rules cannot be compiled; the message names the line.
    """
    import yara_x

    compiler = yara_x.Compiler()
    # rules must never read another file, whoever wrote them
    compiler.enable_includes(False)
    try:
        compiler.add_source(text)
        return compiler.build()
    except yara_x.CompileError as error:
        lines = str(error).splitlines()
        where = next((line.strip().removeprefix("-->").strip() for line in lines if "-->" in line), "")
        raise ValueError(f"{lines[0].removeprefix('error').lstrip(': ')} ({where})") from error


def _scan(name: str, rules: Any, text: str) -> list[str]:
    import yara_x

    scanner = yara_x.Scanner(rules)
    scanner.set_timeout(YARA_SECONDS)
    try:
        results = scanner.scan(text.encode("utf-8", "replace"))
    except yara_x.TimeoutError:
        return [f"rules {name} (too slow)"]
    return [f"rule {rule.identifier} of {name}" for rule in results.matching_rules]


def _word(word: str) -> re.Pattern[str]:
    inner = r"\s+".join(map(re.escape, fold(word).split()))
    return re.compile(rf"(?<!\w){inner}(?!\w)")
