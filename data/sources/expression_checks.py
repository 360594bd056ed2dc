"""Checks of regular expressions and selectors in source files, made when a file is loaded."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

# The most characters that one expression of a source file is applied to. What certainly takes exponential time for some
# page is refused below; other slow shapes are ended while they run (`crawler.pages.time_limit`).
MAX_INPUT = 64 * 1024
MAX_EXPRESSION = 1000
# Words of one repeat that are compared.
_MAX_WORDS = 200

SELECTORS = ("css:", "xpath:", "json:", "map:", "js:")
_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")


def check_expression(value: object) -> None:
    """Raise ValueError unless the value is a regular expression without the most common slow shape.

    An unbounded repeat inside an unbounded repeat, as in `(a+)+`, is refused unless one of them is possessive (`a++`)
    or atomic (`(?>a+)`), because its time can grow exponentially with the input. So is a repeat of fixed words that
    divide a text in two ways, as in `(a|aa)+`. Alternatives with classes, as in `([a-z]|ab?)+`, are not recognised.
    """
    if not isinstance(value, str):
        raise ValueError("must be a text; put it in quotes")  # noqa: TRY004 - pydantic wants ValueError
    if len(value) > MAX_EXPRESSION:
        raise ValueError(f"a regular expression may have at most {MAX_EXPRESSION} characters")
    try:
        re.compile(value)
        tree = _parser.parse(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"is not a valid regular expression: {error}") from error
    if _has_nested_repeat(tree, inside=False):
        raise ValueError(
            "an unbounded repeat inside another one can take extremely long; make the inner one possessive, as in a++"
        )
    if any(_divides_a_text_in_two_ways(words) for words in _repeated_words(tree)):
        raise ValueError(
            "alternatives inside a repeat match the same text in several ways, which can take extremely long; leave out"
            " those that others can make up, or make the repeat possessive, as in (?:a|aa)++"
        )


def _repeated_words(tree: Any) -> Iterator[list[str]]:
    """The words of each unbounded repeat of a few fixed words in a parsed expression."""
    for operation, argument in tree:
        repeats = operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT) and argument[1] is _constants.MAXREPEAT
        if repeats and (words := _fixed_words(argument[2])) is not None:
            yield words
        for part in argument if isinstance(argument, tuple | list) else [argument]:
            for inner in part if isinstance(part, list) else [part]:
                if isinstance(inner, _parser.SubPattern):
                    yield from _repeated_words(inner)


def _fixed_words(tree: Any) -> list[str] | None:
    """All texts that a parsed expression matches, as often as it does, if they are few and fixed; otherwise None."""
    found = [""]
    for operation, argument in tree:
        more: list[str] | None = None
        if operation is _constants.LITERAL:
            more = [chr(argument)]
        elif operation is _constants.IN and all(kind is _constants.LITERAL for kind, _ in argument):
            more = [chr(code) for _, code in argument]
        elif operation is _constants.SUBPATTERN:
            more = _fixed_words(argument[3])
        elif operation is _constants.BRANCH:
            branches = [_fixed_words(branch) for branch in argument[1]]
            if None not in branches:
                more = [word for branch in branches for word in branch or ()]
        elif operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT) and (argument[0], argument[1]) == (0, 1):
            inner = _fixed_words(argument[2])
            more = None if inner is None else ["", *inner]
        if more is None or len(found) * len(more) > _MAX_WORDS:
            return None
        found = [before + after for before in found for after in more]
    return found


def _divides_a_text_in_two_ways(words: list[str]) -> bool:
    """Whether some text is two different sequences of the words (Sardinas and Patterson 1953); empty words are ignored."""
    code = {*words} - {""}
    if len(code) < len(words) - words.count(""):
        return True
    rests = {two.removeprefix(one) for one in code for two in code if one != two and two.startswith(one)}
    seen: set[str] = set()
    while rests - seen:
        seen |= rests
        if code & seen:
            return True
        rests = {
            longer.removeprefix(shorter)
            for rest in rests
            for word in code
            for shorter, longer in ((rest, word), (word, rest))
            if longer.startswith(shorter)
        }
    return False


def _has_nested_repeat(tree: Any, *, inside: bool) -> bool:
    """Whether a parsed expression has an unbounded repeat inside another; `inside`: the tree itself is inside one."""
    for operation, argument in tree:
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            unbounded = argument[1] is _constants.MAXREPEAT
            if (unbounded and inside) or _has_nested_repeat(argument[2], inside=inside or unbounded):
                return True
        elif operation in (_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP):
            body = argument[2] if operation is _constants.POSSESSIVE_REPEAT else argument
            # once it has matched, the engine never backtracks into it, so an outer repeat does no harm
            if _has_nested_repeat(body, inside=False):
                return True
        elif operation is _constants.SUBPATTERN:
            if _has_nested_repeat(argument[3], inside=inside):
                return True
        elif operation is _constants.BRANCH:
            if any(_has_nested_repeat(branch, inside=inside) for branch in argument[1]):
                return True
        elif operation in (_constants.ASSERT, _constants.ASSERT_NOT):
            if _has_nested_repeat(argument[1], inside=inside):
                return True
        elif operation is _constants.GROUPREF_EXISTS and any(
            _has_nested_repeat(branch, inside=inside) for branch in argument[1:] if branch is not None
        ):
            return True
    return False


def check_selector(value: object) -> None:
    """Raise ValueError unless the value is a valid selector."""
    if not isinstance(value, str):
        raise ValueError("a selector must be a text such as 'css:h3::text'")  # noqa: TRY004 - pydantic wants ValueError
    prefix, colon, expression = value.partition(":")
    if prefix + colon not in SELECTORS:
        raise ValueError(f"a selector must begin with one of {', '.join(SELECTORS)}")
    match prefix:
        case "css":
            check_css(expression)
        case "xpath":
            from lxml import etree

            try:
                etree.XPath(expression)
            except etree.XPathError as error:
                raise ValueError(f"is not a valid XPath expression: {error}") from error
        case "json" | "map":
            check_jmespath(expression)
        case _:
            check_expression(expression)


def check_css(value: str) -> None:
    """Raise ValueError unless the value is a valid CSS selector."""
    from cssselect import SelectorError
    from parsel.csstranslator import HTMLTranslator

    try:
        HTMLTranslator().css_to_xpath(value)
    except SelectorError as error:
        raise ValueError(f"is not a valid CSS selector: {error}") from error


def check_jmespath(value: str) -> None:
    """Raise ValueError unless the value is a valid JMESPath expression."""
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(value)
    except JMESPathError as error:
        raise ValueError(f"is not a valid JMESPath expression: {str(error).splitlines()[0]}") from error
