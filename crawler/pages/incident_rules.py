"""Words, regular expressions and YARA rules of an incident on the text of posts: which of them match, by name.

The matched text is told to nobody. What the times in a text announce is `crawler.pages.deadlines`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from data.identifiers.normalise import fold
from data.sources.expression_checks import MAX_INPUT, check_expression

# Text that words and YARA rules see, and the seconds that the rules of one file may take over it.
MAX_TEXT = 2**20
YARA_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one incident.

    Attributes:
        words: name -> pattern over folded text. expressions: name -> pattern over text as it stands.
        files: name of a YARA file -> its compiled rules. broken: name of a rule -> why it cannot be used.
    """

    words: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    expressions: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, words: Sequence[str], expressions: Sequence[str], files: Mapping[str, str]) -> Self:
        """Compile them; one that cannot be used is named in `broken`, and the others are used.

        Args:
            words: found whole, in any case and with or without accents.
            expressions: of Python, checked as those of source files are.
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
        """Names of the rules that match a text, in order; a YARA file that takes too long is `… (too slow)`."""
        if not self:
            return []
        text = text[:MAX_TEXT]
        folded = fold(text)
        found = [name for name, pattern in self.words.items() if pattern.search(folded)]
        found += [name for name, pattern in self.expressions.items() if pattern.search(text[:MAX_INPUT])]
        for name, rules in self.files.items():
            found += _scan(name, rules, text)
        return found


def compile_yara(text: str) -> Any:
    """The compiled rules of a YARA file.

    Raises:
        ValueError: they cannot be compiled; the message says in which line.
    """
    import yara_x

    compiler = yara_x.Compiler()
    # another file is never read, whoever wrote the rules
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
