"""One canonical form per kind of identifier, for single values and for whole columns; versioned, hashes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.tags import Packed

VERSION = 1
"""Stored in bundles and releases: tags of different versions never meet."""

COLUMN_KINDS = ("first", "surname", "dob", "email", "phone", "nir", "iban", "professional", "token")


def fold(text: str) -> str:
    """NFKD without marks, lower case, ligatures spelt out, plain quotes and dashes."""
    raise NotImplementedError


def name(text: str) -> bytes:
    """The letters of the folded name, joined; b'' without letters."""
    raise NotImplementedError


def name_variants(text: str) -> list[bytes]:
    """The full form first, then what a double name may shrink to."""
    raise NotImplementedError


def dob(text: str, *, excel: bool = False) -> bytes:
    """`yymmdd` of a date in any usual form, day first; b'' for anything else."""
    raise NotImplementedError


def email(text: str) -> bytes:
    """The folded address; b'' if it is none."""
    raise NotImplementedError


def phone(text: str) -> bytes:
    """National significant number (France, 9 digits) or country code and number; b'' if it is none."""
    raise NotImplementedError


def nir(text: str) -> bytes:
    """13 digits without the key, Corsica as 19 and 18; b'' if it is none."""
    raise NotImplementedError


def nir_valid_key(text: str) -> bool:
    """Whether 15 characters were given and the last two are the right key."""
    raise NotImplementedError


def iban(text: str) -> bytes:
    """Lower-case letters and digits whose check digits hold; b'' otherwise."""
    raise NotImplementedError


def professional(text: str) -> bytes:
    """RPPS (11 digits), ADELI or FINESS (9); b'' otherwise."""
    raise NotImplementedError


def token(text: str) -> bytes:
    """Only [a-z0-9] of the folded text, at least 8; b'' otherwise."""
    raise NotImplementedError


def normalise_column(kind_word: str, cells: Sequence[str], *, excel: bool = False) -> Packed:
    """The normal form of every cell, as the function for single values gives it, at array speed."""
    raise NotImplementedError
