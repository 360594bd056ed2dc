"""Checks of the small languages of source files, made when a file is loaded: regular expressions and selectors."""

from __future__ import annotations

import importlib
import re
from typing import Any

# Input that one expression of a source file may see. With nested repeats refused below, the time of a search is a
# polynomial of this; what is left is ended by the wall clock of the crawl process (setting `crawl.wall`).
MAX_INPUT = 64 * 1024
MAX_EXPRESSION = 1000

SELECTORS = ("css:", "xpath:", "json:", "map:", "js:")
_parser: Any = importlib.import_module("re._parser")
_constants: Any = importlib.import_module("re._constants")


def check_expression(value: object) -> None:
    """Refuse, with ValueError, what is no regular expression or may take exponential time.

    An unbounded repeat inside an unbounded repeat, as in `(a+)+`, is refused unless one of them is possessive (`a++`)
    or atomic (`(?>a+)`): that shape alone makes the time grow exponentially with the input.
    """
    if not isinstance(value, str):
        raise ValueError("an expression is a text")  # noqa: TRY004 - pydantic wants ValueError
    if len(value) > MAX_EXPRESSION:
        raise ValueError(f"an expression has at most {MAX_EXPRESSION} characters")
    try:
        re.compile(value)
        tree = _parser.parse(value)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
    if _nested(tree, inside=False):
        raise ValueError(
            "an unbounded repeat inside another can take for ever; make the inner one possessive, as in a++"
        )


def _nested(tree: Any, *, inside: bool) -> bool:
    for operation, argument in tree:
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            unbounded = argument[1] is _constants.MAXREPEAT
            if (unbounded and inside) or _nested(argument[2], inside=inside or unbounded):
                return True
        elif operation in (_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP):
            body = argument[2] if operation is _constants.POSSESSIVE_REPEAT else argument
            # nothing is tried again inside once it matched: a new start
            if _nested(body, inside=False):
                return True
        elif operation is _constants.SUBPATTERN:
            if _nested(argument[3], inside=inside):
                return True
        elif operation is _constants.BRANCH:
            if any(_nested(branch, inside=inside) for branch in argument[1]):
                return True
        elif operation in (_constants.ASSERT, _constants.ASSERT_NOT):
            if _nested(argument[1], inside=inside):
                return True
        elif operation is _constants.GROUPREF_EXISTS and any(
            _nested(branch, inside=inside) for branch in argument[1:] if branch is not None
        ):
            return True
    return False


def check_selector(value: object) -> None:
    """Refuse, with ValueError, what is no selector."""
    if not isinstance(value, str):
        raise ValueError("a selector is a text such as 'css:h3::text'")  # noqa: TRY004 - pydantic wants ValueError
    prefix, colon, expression = value.partition(":")
    if prefix + colon not in SELECTORS:
        raise ValueError(f"a selector begins with one of {', '.join(SELECTORS)}")
    match prefix:
        case "css":
            check_css(expression)
        case "xpath":
            from lxml import etree

            try:
                etree.XPath(expression)
            except etree.XPathError as error:
                raise ValueError(f"not an XPath expression: {error}") from error
        case "json" | "map":
            check_jmespath(expression)
        case _:
            check_expression(expression)


def check_css(value: str) -> None:
    """Refuse, with ValueError, what is no CSS selector."""
    from cssselect import SelectorError
    from parsel.csstranslator import HTMLTranslator

    try:
        HTMLTranslator().css_to_xpath(value)
    except SelectorError as error:
        raise ValueError(f"not a CSS selector: {error}") from error


def check_jmespath(value: str) -> None:
    """Refuse, with ValueError, what is no JMESPath expression."""
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(value)
    except JMESPathError as error:
        raise ValueError(f"not a JMESPath expression: {str(error).splitlines()[0]}") from error
