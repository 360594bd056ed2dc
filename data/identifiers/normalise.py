"""The normal form of each kind of identifier, for single values; this module hashes nothing.

These functions define the forms; `normalise_columns.normalise_column` computes the same for whole columns with compiled
loops. All of them take any text, and return b'' for a text that is not of their kind.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import isleap
from collections.abc import Callable
from datetime import date, timedelta

from data.identifiers.short_names import SHORT_NAMES

VERSION = 1
"""Version of the normal forms, stored in bundles and releases: tags of different versions are never compared.

Raise it with every change of a form.
"""

COLUMN_KINDS = ("first", "surname", "dob", "email", "phone", "nir", "iban", "professional", "token")

MAX_EMAIL = 254
# Long enough for a date with weekday, time and time zone.
MAX_DATE = 64

# Replacements that NFKD does not make; all others are those of Unicode.
_REPLACEMENTS = {
    "œ": "oe",
    "æ": "ae",
    "ß": "ss",
    "ø": "o",
    "ł": "l",
    "ς": "σ",  # lower() chooses between the two sigmas by their place in the word
    **dict.fromkeys("‘’‚‛′ʹʻʼʽˈ´", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("‐‑‒–—―−﹘﹣", "-"),
}
NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SPACE = " \t\n\r\f\v"


def _fold_step(text: str) -> str:
    kept: list[str] = []
    for char in unicodedata.normalize("NFKD", "".join(_REPLACEMENTS.get(char, char) for char in text)):
        category = unicodedata.category(char)
        if category[0] == "M" or category in ("Cf", "Cs"):
            continue  # marks; soft hyphens, zero-width and direction signs; halves of surrogate pairs
        kept.append(" " if category[0] == "Z" or char == "\x85" else _REPLACEMENTS.get(char.lower(), char.lower()))
    return "".join(kept)


class _FoldedCharacters(dict[str, str]):
    """The folded form of single characters, computed on first use."""

    def __missing__(self, char: str) -> str:
        before, after = char, _fold_step(char)
        while before != after:
            before, after = after, _fold_step(after)
        self[char] = after
        return after


_FOLDED = _FoldedCharacters()


def fold(text: str) -> str:
    """The text in NFKD without diacritics, in lower case, with ligatures spelt out and plain quotes, dashes and spaces.

    Each character is folded by itself: folding a text equals folding its parts. `œuvre`, `ŒUVRE` and `oeuvre` agree.
    """
    if not text.isascii():
        text = NOT_ASCII.sub(lambda found: _FOLDED[found[0]], text)
    return text.lower()


# --- names -----------------------------------------------------------------------------------------------------------


def _word_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PARTICLES = _word_set(
    "a al ap at aux ben bin d da das de degli dei del della den der des di do dos du e el et ibn l la las le les lo"
    " los o of san st ste ten ter the van vande vander vom von y zu zum zur"
)
# Words between two surnames of one person, as in "DUPONT épouse MARTIN".
_LINK_WORDS = _word_set("dit dite ep epouse epse epoux nee ne veuve vve veuf vf alias ou")


def name(text: str) -> bytes:
    """The letters of the folded name, joined, as UTF-8: `Jean-Pierre` gives `jeanpierre`."""
    return "".join(filter(str.isalpha, fold(text))).encode()


# Letters that Unicode does not decompose, as tables in plain letters write them. `fold` keeps them: to replace them
# there would change normal forms that are stored.
_PLAIN_LETTERS = str.maketrans(
    {"ı": "i", "đ": "d", "ħ": "h", "ð": "d", "þ": "th", "ŧ": "t", "ŋ": "n", "ə": "e", "ɖ": "d", "ĸ": "k"}
)


def name_variants(text: str) -> list[bytes]:
    """The normal form of the full name first, then the forms in which a dump may hold the name; [] without letters.

    These forms are the name without particles (`de La Fontaine`: `fontaine`), each part of a double name that has at
    least 3 letters, both names of `DUPONT épouse MARTIN`, and the same in plain letters (`Yılmaz`: `yilmaz`).
    """
    words = ["".join(filter(str.isalpha, word)) for word in re.split(r"[^\w]|_", fold(text))]
    words = [word for word in words if word]
    parts = [word for word in words if word not in _PARTICLES and word not in _LINK_WORDS]
    without_leading = words[next((at for at, word in enumerate(words) if word not in _PARTICLES), 0) :]
    variants = ["".join(words), "".join(without_leading), "".join(parts)]
    variants += [part for part in parts if len(part) >= 3]
    if not text.isascii():
        variants += [variant.translate(_PLAIN_LETTERS) for variant in variants]
    return [variant.encode() for variant in dict.fromkeys(variants) if variant]


def given_variants(text: str) -> list[bytes]:
    """The normal form of first names first, then those of the same person: the first one alone, and short forms.

    `Marie` may be the sister of `Marie-Claire`, so these forms count only beside a surname and a birth date.
    """
    whole = name(text)
    word = re.split(r"[\s,;]+", text.strip(" -"), maxsplit=1)[0]
    first = name(re.split(r"[‐‑-]+", word, maxsplit=1)[0])
    found = [whole, *([first] if len(first) >= 3 else [])]
    # Jo is a short form by itself, but not in Jo-Ann
    alone = [whole, name(word), *([first] if len(first) >= 3 else [])]
    found += [other.encode() for each in alone for other in SHORT_NAMES.get(each.decode(), ())]
    if not text.isascii():
        found += [form.decode().translate(_PLAIN_LETTERS).encode() for form in found]
    return [form for form in dict.fromkeys(found) if form]


# --- dates of birth --------------------------------------------------------------------------------------------------

MONTHS = {
    word: number
    for number, words in enumerate(
        (
            "janvier janv jan january",
            "fevrier fevr fev february febr feb",
            "mars mar march",
            "avril avr april apr",
            "mai may",
            "juin june jun",
            "juillet juil jul july",
            "aout aou august aug",
            "septembre septemb sept sep september",
            "octobre oct october",
            "novembre nov november",
            "decembre dec december",
        ),
        1,
    )
    for word in words.split()
}
WEEKDAYS = _word_set(
    "lundi mardi mercredi jeudi vendredi samedi dimanche lun mer jeu ven sam dim le the of "
    "monday tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sat sun"
)
_TIME_OF_DAY = re.compile(r"(?:t| {1,8}(?:a )?)([0-2]?[0-9])[:h]([0-5][0-9])?(.*)", re.DOTALL)
_THREE_NUMBERS = re.compile(r"([0-9]{1,4}) ?([/.\- ]) ?([0-9]{1,2}) ?\2 ?([0-9]{1,4})\.?")
_DIGITS_ONLY = re.compile(r"[0-9]{6}|[0-9]{8}")
_WORD = re.compile(r"[a-z]+|[0-9]+")
ORDINALS = ("st", "nd", "rd", "th", "er")
_ORDINAL = re.compile(rf"(?<=[0-9])(?:{'|'.join(ORDINALS)})\b")
_DAY_NUMBER = re.compile(r"([0-9]{1,5})(?:\.0+)?")
YEARS = range(1850, 2100)


def dob(text: str, *, excel: bool = False) -> bytes:
    """`yymmdd` of a date in any usual French or English form; if day and month can be swapped, the day is read first.

    Args:
        text: `12/03/1975`, `12-03-75`, `1975-03-12T00:00:00`, `19750312`, `12 mars 1975`, `March 12, 1975`…
            Midnight in Paris written as UTC (`1975-03-11T23:00:00Z`, as JavaScript writes a date) is read as the next
            day.
        excel: read a bare number of at most 5 digits as the day number of a spreadsheet (27465).

    Returns:
        Six digits; b'' for a text that is no date, a day that the calendar does not have, a year before 1850 or after
        2099, or a text of over 64 characters.
    """
    folded = " ".join(fold(text).split())
    if len(folded) > MAX_DATE:
        return b""
    if excel and (serial := _DAY_NUMBER.fullmatch(folded)):
        return _date_from_day_number(int(serial[1]))
    days = 0
    if time := _TIME_OF_DAY.search(folded):
        utc = re.fullmatch(r"(?::00(?:\.0+)?)?(?:z|\+00:?00)", time[3])
        days = 1 if utc and int(time[1]) in (22, 23) and time[2] == "00" else 0
        folded = folded[: time.start()].rstrip(" ,")
    if found := _THREE_NUMBERS.fullmatch(folded):
        return _date_from_three_numbers(found[1], found[3], found[4], days)
    if _DIGITS_ONLY.fullmatch(folded):
        return _date_from_digits(folded, days)
    return _date_from_words(folded, days)


def _date_from_three_numbers(a: str, b: str, c: str, days: int) -> bytes:
    if len(a) > 2:
        return _date(a, b, c, days)
    return _date(c, b, a, days) or _date(c, a, b, days) or (_date(a, b, c, days) if int(a) > 31 else b"")


def _date_from_digits(digits: str, days: int) -> bytes:
    if len(digits) == 8:
        return _date(digits[:4], digits[4:6], digits[6:], days) or _date(digits[4:], digits[2:4], digits[:2], days)
    # six digits are read as yymmdd first, which is the normal form: normalising twice changes nothing
    return _date(digits[:2], digits[2:4], digits[4:], days) or _date(digits[4:], digits[2:4], digits[:2], days)


def _date_from_words(folded: str, days: int) -> bytes:
    words = [word for word in _WORD.findall(_ORDINAL.sub("", folded)) if word not in WEEKDAYS or word in MONTHS]
    if len(words) != 3 or sum(word.isdigit() for word in words) != 2:
        return b""
    a, b, c = words
    if b in MONTHS:
        month = str(MONTHS[b])
        return _date(a, month, c, days) if len(a) > 2 else _date(c, month, a, days)
    return _date(c, str(MONTHS[a]), b, days) if a in MONTHS else b""


def _date_from_day_number(serial: int) -> bytes:
    # spreadsheets count 29 February 1900, which did not exist, as day 60
    if serial in (0, 60):
        return b""
    day = date(1899, 12, 31 if serial < 60 else 30) + timedelta(days=serial)
    return day.strftime("%y%m%d").encode() if day.year in YEARS else b""


def _date(year: str, month: str, day: str, days: int) -> bytes:
    """`yymmdd`, `days` later; a two-digit year is read as 20yy, so 29 February 00 is a date (2000 was a leap year)."""
    if len(year) not in (2, 4) or len(day) > 2:
        return b""
    y, m, d = int(year), int(month), int(day)
    if len(year) == 4 and y not in YEARS:
        return b""
    if len(year) == 2:
        y += 2000
    if not 1 <= m <= 12 or not 1 <= d <= (31, 29 if isleap(y) else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[m - 1]:
        return b""
    if days:
        moved = date(y, m, d) + timedelta(days=days)
        y, m, d = moved.year, moved.month, moved.day
    return b"%02d%02d%02d" % (y % 100, m, d)


# --- addresses and numbers -------------------------------------------------------------------------------------------

_EMAIL = re.compile(
    r"[^\x00-\x20\x7f\"(),:;<>@\[\]\\]+@[a-z0-9\-\x80-\U0010ffff]+(?:\.[a-z0-9\-\x80-\U0010ffff]+)*"
    r"\.[a-z0-9\-\x80-\U0010ffff]{2,}"
)
# Numbers with these country codes are dialled in France like any French number: +262 692 12 34 56 is 0692 12 34 56.
_FRENCH_COUNTRY_CODES = ("33", "262", "590", "594", "596")
_WHOLE_FLOAT = re.compile(r"([0-9]+)\.0")


def email(text: str) -> bytes:
    """The folded address as UTF-8, without surrounding white space, angle brackets and `mailto:`."""
    folded = fold(text).strip(_SPACE).removeprefix("mailto:")
    if folded.startswith("<") and folded.endswith(">"):
        folded = folded[1:-1]
    address = folded.encode() if _EMAIL.fullmatch(folded) else b""
    return address if len(address) <= MAX_EMAIL else b""


def phone(text: str) -> bytes:
    """A French number as its 9 national digits without the 0; any other as country code and number (8 to 15 digits).

    `+33 6…`, `0033 6…`, `+33 (0)6…`, `06…` and the forms that spreadsheets produce (`6…`, `336…`, `6….0`) agree. A
    foreign number must begin with + or 00: bare digits can too easily be another kind of number.
    """
    folded = fold(text).strip(_SPACE)
    if re.search(r"[a-z]", folded):
        return b""
    if number := _WHOLE_FLOAT.fullmatch(folded):
        folded = number[1]
    before, plus, after = folded.partition("+")
    if plus and (re.search(r"[0-9]", before) or "+" in after):
        return b""
    digits = ""
    # "(0)" is the trunk prefix, which is not dialled after a country code
    for at, part in enumerate((after if plus else folded).split("(0)")):
        digits += "0" if at and not plus and not digits.startswith("00") else ""
        digits += re.sub(r"[^0-9]", "", part)
    if not plus and not digits.startswith("00"):
        if len(digits) == 11 and digits.startswith("33"):
            digits = digits[2:]
        elif len(digits) == 10 and digits.startswith("0"):
            digits = digits[1:]
        return digits.encode() if len(digits) == 9 and not digits.startswith("0") else b""
    number_abroad = digits if plus else digits[2:]
    for code in _FRENCH_COUNTRY_CODES:
        if number_abroad.startswith(code):
            national = number_abroad[len(code) :]
            national = national[1:] if len(national) == 10 and national.startswith("0") else national
            return national.encode() if len(national) == 9 and not national.startswith("0") else b""
    return number_abroad.encode() if 8 <= len(number_abroad) <= 15 and not number_abroad.startswith("0") else b""


def _alphanumeric(text: str) -> str:
    """The [a-z0-9] of the folded text; the `.0` of a whole number that was stored as a float is dropped."""
    folded = fold(text).strip(_SPACE)
    number = _WHOLE_FLOAT.fullmatch(folded)
    return number[1] if number else re.sub(r"[^a-z0-9]", "", folded)


# sex, year, month (20 and above where it is unknown: INSEE), department, commune, order, key
_NIR = re.compile(
    r"[1-478][0-9]{2}(?:0[1-9]|1[0-2]|[23][0-9]|4[0-2]|[5-9][0-9])(?:[0-9]{2}|2[ab])[0-9]{6}(?:[0-9]{2})?"
)


def nir(text: str) -> bytes:
    """The French social security number as 13 digits without the key, Corsica's 2A and 2B as 19 and 18.

    A wrong key is accepted, because dumps contain typing errors. See `nir_valid_key`.
    """
    number = _nir_digits(text)
    return number[:13].encode()


def nir_valid_key(text: str) -> bool:
    """Whether the number came with its key, and the key is right."""
    number = _nir_digits(text)
    return len(number) == 15 and 97 - int(number[:13]) % 97 == int(number[13:])


# numbers and dots as in object identifiers, which a social security number may have between its own groups only
_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+){3,}")
_DOTTED_NIR = re.compile(r"[0-9]\.[0-9]{2}\.[0-9]{2}\.[0-9AaBb]{2}\.[0-9]{3}\.[0-9]{3}(?:\.[0-9]{2})?")


def is_sound_nir(text: str) -> bool:
    """Whether a number is a NIR beyond its form: its department exists, its key is right, and it is no dotted OID.

    `nir` takes a number for one where its place says so; this tells which numbers without such a place are one.
    """
    number = _nir_digits(text)
    folded = text.strip()
    if not number or number[5:7] == "00" or (_DOTTED.fullmatch(folded) and not _DOTTED_NIR.fullmatch(folded)):
        return False
    return len(number) == 13 or nir_valid_key(text)


def _nir_digits(text: str) -> str:
    number = _alphanumeric(text)
    if not _NIR.fullmatch(number):
        return ""
    # INSEE: for the key, 2A counts as 19 and 2B as 18
    return number[:5] + {"2a": "19", "2b": "18"}.get(number[5:7], number[5:7]) + number[7:]


def iban(text: str) -> bytes:
    """Lower-case letters and digits of an account number with valid check digits (ISO 13616, mod 97)."""
    account = _alphanumeric(text).removeprefix("iban")
    if not re.fullmatch(r"[a-z]{2}[0-9]{2}[a-z0-9]{11,30}", account):
        return b""
    return account.encode() if int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97 == 1 else b""


def professional(text: str) -> bytes:
    """A number of the French health registers: RPPS (11 digits), ADELI or FINESS (9 digits; Corsica has 2a or 2b)."""
    number = _alphanumeric(text)
    return number.encode() if re.fullmatch(r"[0-9]{11}|(?:[0-9]{2}|2[ab])[0-9]{7}", number) else b""


def token(text: str) -> bytes:
    """The [a-z0-9] of the folded text; b'' if there are fewer than 8."""
    kept = re.sub(r"[^a-z0-9]", "", fold(text)).encode()
    return kept if len(kept) >= 8 else b""


# --- all kinds -------------------------------------------------------------------------------------------------------

_NORMALISERS: dict[str, Callable[[str], bytes]] = {
    "first": name,
    "surname": name,
    "dob": dob,
    "email": email,
    "phone": phone,
    "nir": nir,
    "iban": iban,
    "professional": professional,
    "token": token,
}


def normalise(kind_word: str, text: str) -> bytes:
    """The normal form of one cell of a column of this kind (one of `COLUMN_KINDS`)."""
    return _NORMALISERS[kind_word](text)
