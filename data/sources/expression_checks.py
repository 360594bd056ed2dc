"""Checks of regular expressions and selectors in source files, made when a file is loaded."""

from __future__ import annotations

import importlib
import re
from typing import Any

# The most characters that one expression of a source file is applied to. Nested repeats are refused below; other slow
# shapes, such as alternatives that match the same text, are ended while they run (`crawler.pages.time_limit`).
MAX_INPUT = 64 * 1024
MAX_EXPRESSION = 1000

SELECTORS = ("css:", "xpath:", "json:", "map:", "js:")
_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")


def check_expression(value: object) -> None:
    """Raise ValueError unless the value is a regular expression without the most common slow shape.

    An unbounded repeat inside an unbounded repeat, as in `(a+)+`, is refused unless one of them is possessive (`a++`)
    or atomic (`(?>a+)`), because its time can grow exponentially with the input.
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
