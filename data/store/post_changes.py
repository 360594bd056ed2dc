"""What changed in a post between two looks, field by field, and which fields change at every look. Pure.

The fields are made by `crawler.pages.post_fields`; nothing here is text of a post: closed words, numbers and keyed digests.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

Traits = Mapping[str, Any]
"""Field -> value: a list (a set of words, numbers or digests), a number, or a digest; fields without a value are left out."""

# A field that changes rings louder when it is one of these: this is how further parts are announced.
TELLING = frozenset({"part", "links", "files", "records", "percent", "price", "state", "timer", "magnet"})
# Text changes for many reasons; a field of it that changes at every look of many posts is noise of the site.
# Of the telling ones only links are ever taken for noise, and only where most posts of a page show new ones at once.
_MAY_BE_NOISE = frozenset({"title", "text", "address", "links", "size", "timer"})
# From so many known posts on one page, a field that changed in this share of them changed for the site, not for them.
PAGE_POSTS, PAGE_SHARE = 5, 0.4
# From so many looks, a field that changed in this share of them says nothing when it changes once more.
LOOKS, LOOK_SHARE = 30, 0.25
_SHOWN = 4


def changes(old: Traits, new: Traits, noise: Collection[str] = ()) -> dict[str, str]:
    """Fields that changed, each with a phrase for people; {} where nothing that counts did.

    Args:
        old: fields of a post as they were; without any they say nothing, and nothing changed since.
        new: the same post's fields now.
        noise: fields that are not counted.
    """
    if not old:
        return {}
    found = {}
    for field in sorted({*old, *new} - set(noise)):
        said = _difference(field, old.get(field), new.get(field))
        if said:
            found[field] = said
    return found


def additions(old: Traits, new: Traits, noise: Collection[str] = ()) -> dict[str, str]:
    """As `changes`, where only what is there now and was not counts: of a page of which a part may be left out."""
    if not old:
        return {}
    both = {
        field: sorted({*_set(old.get(field)), *_set(value)}, key=str) if isinstance(value, list) else value
        for field, value in new.items()
    }
    return changes({field: value for field, value in old.items() if field in new}, both, noise)


def merged(old: Traits, new: Traits) -> dict[str, Any]:
    """What to compare with next time where nothing that counts changed.

    A countdown stays as it was first seen: one that is put off a little at every look must not slip through.
    """
    kept = dict(new)
    if "timer" in old and "timer" in new and not _difference("timer", old["timer"], new["timer"]):
        kept["timer"] = old["timer"]
    return kept


def noise_of_page(pairs: Sequence[tuple[Traits, Traits]]) -> set[str]:
    """Fields that changed in so many posts of one page at once that the site's page did, not the posts.

    Args:
        pairs: (old, new) of every post of the page that was known.
    """
    pairs = [pair for pair in pairs if pair[0]]
    if len(pairs) < PAGE_POSTS:
        return set()
    counts: dict[str, int] = {}
    for old, new in pairs:
        for field in changes(old, new):
            counts[field] = counts.get(field, 0) + 1
    return {field for field, count in counts.items() if _may_be_noise(field) and count > PAGE_SHARE * len(pairs)}


def noise_of_looks(looks: Mapping[str, tuple[int, int]]) -> set[str]:
    """Fields that changed at so many of the looks at a source's posts that one change more says nothing.

    Args:
        looks: field -> (looks at it, looks at which it had changed).
    """
    return {
        field
        for field, (all_, changed) in looks.items()
        if _may_be_noise(field) and all_ >= LOOKS and changed > LOOK_SHARE * all_
    }


def _may_be_noise(field: str) -> bool:
    field = field.removeprefix("page ")
    return field in _MAY_BE_NOISE or field.startswith("extra ")


def _difference(field: str, old: Any, new: Any) -> str:
    """How two values of a field differ, '' where they do not."""
    if field == "timer":
        return _moved(old, new)
    if old == new:
        return ""
    if isinstance(old, list) or isinstance(new, list):
        before, after = _set(old), _set(new)
        return _sets(field, after - before, before - after)
    if old is None or new is None:
        return f"{field} {'appeared' if old is None else 'is gone'}"
    return f"{field} {old} → {new}" if isinstance(old, int) and isinstance(new, int) else f"{field} changed"


def _set(value: Any) -> set[Any]:
    return set(value) if isinstance(value, list) else set() if value is None else {value}


def _sets(field: str, more: set[Any], gone: set[Any]) -> str:
    parts = []
    for items, word in ((more, "new"), (gone, "gone")):
        if not items:
            continue
        if field in {"links", "files"}:
            parts.append(f"{len(items)} {word}")
        else:
            shown = ", ".join(map(str, sorted(items, key=str)[:_SHOWN]))
            parts.append(f"{word}: {shown}" + (" …" if len(items) > _SHOWN else ""))
    return f"{field} ({'; '.join(parts)})" if parts else ""


def _moved(old: Any, new: Any) -> str:
    """A countdown is [its end in minutes since 1970, how exact that is in minutes]."""
    if old is None or new is None:
        return "" if old == new else f"countdown {'appeared' if old is None else 'is gone'}"
    apart = new[0] - old[0]
    if abs(apart) <= max(old[1], new[1]):
        return ""
    hours = round(abs(apart) / 60)
    return f"countdown {'put off' if apart > 0 else 'brought forward'} by {hours} h"
