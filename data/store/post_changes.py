"""What changed in a post between two observations, field by field, and which fields are volatile. Pure functions.

A *volatile* field changes by itself, such as a view counter in a title; its changes mean nothing. The
fields are made by `crawler.pages.post_fields`. No value is text of a post: values are words of a closed list, numbers
and keyed digests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

Fields = Mapping[str, Any]
"""Field -> value: a list (a set of words, numbers or digests), a number or a digest; no field without a value."""

# Further parts of a leak are announced by changes of these fields, so their changes alert at a higher severity.
SIGNIFICANT_FIELDS = frozenset({"part", "links", "files", "records", "percent", "price", "state", "timer", "magnet"})
# Changes with each reply: the thread is read again, and its new parts are examined. That alone is no event.
LAST_POST = "last"
# Text changes for many reasons: one of these fields that keeps changing in many posts is volatile on that site. Of the
# significant fields, only links and the timer are ever taken as volatile.
_MAY_BE_VOLATILE = frozenset({"title", "text", "address", "links", "size", "timer", "exact"})
# Fields that older homes do not have: their first appearance is no change.
_ADDED_LATER = frozenset({"exact", LAST_POST})
# With at least so many known posts on one page, a field that changed in more than this share of them is volatile.
PAGE_POSTS, PAGE_SHARE = 5, 0.4
# After at least so many observations, a field that had changed in more than this share of them is volatile.
MIN_OBSERVATIONS, OBSERVATION_SHARE = 30, 0.25
_MAX_SHOWN = 4


def changes(old: Fields, new: Fields, volatile: Collection[str] = ()) -> dict[str, str]:
    """Fields that changed, each with a phrase for people; {} if nothing relevant changed.

    Args:
        old: the earlier fields of a post. Without any there is nothing to compare with, and so no change.
        new: the present fields of the same post.
        volatile: fields whose changes are ignored.
    """
    if not old:
        return {}
    found = {}
    for field in sorted({*old, *new} - set(volatile)):
        phrase = _difference(field, old.get(field), new.get(field))
        if phrase:
            found[field] = phrase
    return found


def additions(old: Fields, new: Fields, volatile: Collection[str] = ()) -> dict[str, str]:
    """As `changes`, but only what was added counts: for pages of which a part may have been left out."""
    if not old:
        return {}
    both = {
        field: sorted({*_as_set(old.get(field)), *_as_set(value)}, key=str) if isinstance(value, list) else value
        for field, value in new.items()
    }
    return changes({field: value for field, value in old.items() if field in new}, both, volatile)


def comparison_base(old: Fields, new: Fields) -> dict[str, Any]:
    """The fields to compare with at the next observation, if nothing relevant changed at this one.

    A countdown keeps the value that was first observed. Otherwise one that is put off by a little at each observation
    would never count as changed.
    """
    kept = dict(new)
    if "timer" in old and "timer" in new and not _difference("timer", old["timer"], new["timer"]):
        kept["timer"] = old["timer"]
    return kept


def volatile_on_page(pairs: Sequence[tuple[Fields, Fields]]) -> set[str]:
    """Fields that changed in so many posts of one page at once that the site changed, not the posts.

    Args:
        pairs: (old, new) fields of every known post of the page.
    """
    pairs = [pair for pair in pairs if pair[0]]
    if len(pairs) < PAGE_POSTS:
        return set()
    counts: dict[str, int] = {}
    for old, new in pairs:
        for field in changes(old, new):
            counts[field] = counts.get(field, 0) + 1
    return {field for field, count in counts.items() if _may_be_volatile(field) and count > PAGE_SHARE * len(pairs)}


def volatile_in_history(observations: Mapping[str, tuple[int, int]]) -> set[str]:
    """Fields that changed in so many observations of a source's posts that one more change means nothing.

    Args:
        observations: field -> (how often it was observed, how often it had changed).
    """
    return {
        field
        for field, (observed, changed) in observations.items()
        if _may_be_volatile(field) and observed >= MIN_OBSERVATIONS and changed > OBSERVATION_SHARE * observed
    }


def _may_be_volatile(field: str) -> bool:
    field = field.removeprefix("page ")
    return field in _MAY_BE_VOLATILE or field.startswith("extra ")


def _difference(field: str, old: Any, new: Any) -> str:
    """A phrase about how two values of a field differ, '' if they do not."""
    if field == "timer":
        return _countdown_difference(old, new)
    if old == new:
        return ""
    if isinstance(old, list) or isinstance(new, list):
        before, after = _as_set(old), _as_set(new)
        return _set_difference(field, after - before, before - after)
    if old is None and field in _ADDED_LATER:
        return ""
    if old is None or new is None:
        return f"{field} {'appeared' if old is None else 'is gone'}"
    if field == "exact":
        return "an exact number changed"
    return f"{field} {old} → {new}" if isinstance(old, int) and isinstance(new, int) else f"{field} changed"


def _as_set(value: Any) -> set[Any]:
    return set(value) if isinstance(value, list) else set() if value is None else {value}


def _set_difference(field: str, added: set[Any], removed: set[Any]) -> str:
    parts = []
    for items, word in ((added, "new"), (removed, "gone")):
        if not items:
            continue
        if field in {"links", "files"}:
            parts.append(f"{len(items)} {word}")
        else:
            shown = ", ".join(map(str, sorted(items, key=str)[:_MAX_SHOWN]))
            parts.append(f"{word}: {shown}" + (" …" if len(items) > _MAX_SHOWN else ""))
    return f"{field} ({'; '.join(parts)})" if parts else ""


def _countdown_difference(old: Any, new: Any) -> str:
    """A countdown is [its end in minutes since 1970, how exact that is in minutes]."""
    if old is None or new is None:
        return "" if old == new else f"countdown {'appeared' if old is None else 'is gone'}"
    apart = new[0] - old[0]
    if abs(apart) <= max(old[1], new[1]):
        return ""
    hours = round(abs(apart) / 60)
    return f"countdown {'put off' if apart > 0 else 'brought forward'} by {hours} h"
