"""Addresses of the console: with filters, and those to which a form may lead back."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode


def address(path: str, query: Mapping[str, str] | None = None, **changed: str | int | None) -> str:
    """An address of the console: a path, its filters, and changes to them; filters that are empty are left out."""
    merged = {**(query or {}), **{name: "" if value is None else str(value) for name, value in changed.items()}}
    chosen = {name: value for name, value in merged.items() if value}
    return path + (f"?{urlencode(chosen)}" if chosen else "")


def local_address(text: str, otherwise: str) -> str:
    """An address of this console to which a form may lead back; anything else becomes the default."""
    plain = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return text if plain else otherwise
