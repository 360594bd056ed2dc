"""The smallest parts of a source definition: selectors, transforms, and what is wrong with them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from data.sources.expression_checks import check_expression, check_selector


def nearest(name: str, known: Iterable[str]) -> str:
    """The words that name the closest known name, '' where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


class FieldError(ValueError):
    """A mistake that only the whole definition shows; `field` is the dotted path of its key."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field, self.message = field, message


class Part(BaseModel):
    """Frozen, unknown keys refused, keys named as in the file."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


def _as_rules(value: object) -> object:
    """One selector, one rule or a list of them, always as a list of rules."""
    if isinstance(value, str | Mapping):
        value = [value]
    if isinstance(value, list | tuple):
        return [{"x": item} if isinstance(item, str) else item for item in value]
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _selector(value: str) -> str:
    check_selector(value)
    return value


def _expression(value: str) -> str:
    check_expression(value)
    return value


Expression = Annotated[str, BeforeValidator(_expression, json_schema_input_type=str)]
Selector = Annotated[str, BeforeValidator(_selector, json_schema_input_type=str)]


class Rule(Part):
    """One way to a value: a selector, then transforms in this order: text, re, unquote, date, template."""

    x: Selector | None = None
    """Selector: `css:`, `xpath:`, `json:` (JMESPath), `map:` or `js:`; without it the row itself."""
    const: str | None = None
    """A fixed value in place of a selector."""
    text: Literal["", "html", "join"] = ""
    """`html`: markup becomes text with its lines, links and image names; `join`: all strings found, joined."""
    re: Expression | None = None
    """Regular expression; its first group, else the whole match, is the value. No match: no value."""
    unquote: bool = False
    """Undo %XX."""
    date: str = ""
    """`iso`, `epoch_s`, `epoch_ms`, `rfc2822` or a strptime format; the value becomes ISO 8601 in UTC."""
    tz: str = "UTC"
    """Zone of dates that name none."""
    template: str = ""
    """The value put in place of `{}`."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.x is not None and self.const is not None:
            raise ValueError("`x` and `const` exclude each other")
        if self.template and "{}" not in self.template:
            raise ValueError("`template` has no {} for the value")
        if self.date and self.tz != "UTC":
            from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

            try:
                ZoneInfo(self.tz)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise ValueError(f"`tz`: no zone is called '{self.tz}'") from error
        return self


Rules = Annotated[tuple[Rule, ...], BeforeValidator(_as_rules, json_schema_input_type=str | Rule | list[str | Rule])]
Strings = Annotated[tuple[str, ...], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
Selectors = Annotated[tuple[Selector, ...], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
