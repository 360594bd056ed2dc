"""The building blocks of a source definition: the strict base model, selectors, and rules with their transforms."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from data.sources.expression_checks import check_expression, check_selector


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message that suggests the most similar known name; '' if none is similar."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


class FieldError(ValueError):
    """A mistake that is found by a check over several fields; `field` is the dotted path of the key to correct."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


class StrictModel(BaseModel):
    """Base of all models of a source file: frozen, unknown keys are errors, keys have the names that the file uses.

    The schema of a model is built when it is first used: each one contains those of its parts.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        defer_build=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


def _as_rules(value: object) -> object:
    """Turn a selector, a rule, or a list of them into a list of rules."""
    if isinstance(value, str | Mapping):
        value = [value]
    if isinstance(value, list | tuple):
        return [{"x": item} if isinstance(item, str) else item for item in value]
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _checked_selector(value: str) -> str:
    check_selector(value)
    return value


def _checked_expression(value: str) -> str:
    check_expression(value)
    return value


Expression = Annotated[str, BeforeValidator(_checked_expression, json_schema_input_type=str)]
Selector = Annotated[str, BeforeValidator(_checked_selector, json_schema_input_type=str)]


class Rule(StrictModel):
    """One way to read a value: a selector, then inner, text, re, unquote, quote, date and template in this order."""

    x: Selector | None = None
    """A selector: `css:`, `xpath:`, `json:` (JMESPath), `map:` or `js:`. Without it the value is the row itself."""
    const: str | None = None
    """A fixed value, in place of a selector."""
    inner: Selector | None = None
    """A `css:` or `xpath:` selector inside the value, which is markup: for markup in JSON or in a feed."""
    text: Literal["", "html", "join", "lines"] = ""
    """`html`: turn markup into text, with its lines, links and image names; `lines`: the same, of all elements found; `join`: join all strings found."""
    re: Expression | None = None
    """A regular expression; the value is its first group, or the whole match. No match means no value."""
    unquote: bool = False
    """Decode %XX."""
    quote: bool = False
    """Encode as one part of an address, after `unquote`."""
    date: str = ""
    """Date format: `iso`, `epoch_s`, `epoch_ms`, `rfc2822` or for strptime. The value becomes ISO 8601 in UTC."""
    tz: str = "UTC"
    """Time zone of dates that do not name one."""
    template: str = ""
    """A text in which the value replaces `{}`; in `item` the id of the post replaces `{id}`."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.x is not None and self.const is not None:
            raise ValueError("give either `x` or `const`, not both")
        if self.inner is not None and not self.inner.startswith(("css:", "xpath:")):
            raise ValueError("`inner` must begin with css: or xpath:")
        if self.template and "{}" not in self.template:
            raise ValueError("`template` must contain {}, which the value replaces")
        if self.date and self.tz != "UTC":
            from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

            try:
                ZoneInfo(self.tz)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise ValueError(f"`tz`: unknown time zone '{self.tz}'; write a name such as Europe/Paris") from error
        return self


Rules = Annotated[tuple[Rule, ...], BeforeValidator(_as_rules, json_schema_input_type=str | Rule | list[str | Rule])]
Strings = Annotated[tuple[str, ...], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
Selectors = Annotated[tuple[Selector, ...], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
