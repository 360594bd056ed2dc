"""Names of months in further languages, in dates such as `28 de enero de 2001` and `28. Januar 2001`.

`normalise.dob` reads French and English months, and its forms are stored; so dates in other languages are written with
numbers before they are normalised. Pure.
"""

from __future__ import annotations

import re

from data.identifiers.normalise import MONTHS, fold

# German, Spanish, Italian, Portuguese, Polish, Turkish, Dutch, Swedish
_FURTHER = (
    "januar ene enero gen gennaio janeiro styczen stycznia sty ocak oca januari",
    "februar febrero febbraio fevereiro fev luty lutego lut subat sub februari",
    "marz mrz marzo marco marzec marca mart maart",
    "abr abril aprile kwiecien kwietnia kwi nisan nis",
    "mayo mag maggio maio maj maja mayis mayıs mei",
    "juni junio giu giugno junho czerwiec czerwca cze haziran haz",
    "juli julio lug luglio julho lipiec lipca lip temmuz tem",
    "ago agosto sierpien sierpnia sie agustos agu augustus augusti",
    "septiembre setiembre set settembre setembro wrzesien wrzesnia wrz eylul eyl",
    "oktober okt octubre ott ottobre outubro out pazdziernik pazdziernika paz ekim eki",
    "noviembre novembre novembro listopad listopada lis kasim kasım kas",
    "dezember dez dic diciembre dicembre dezembro grudzien grudnia gru aralik aralık ara",
)
FURTHER_MONTHS = {
    word: number for number, words in enumerate(_FURTHER, 1) for word in words.split() if word not in MONTHS
}
_MARKED = {"a": "[aäâ]", "c": "[cç]", "e": "[eéê]", "g": "[gğ]", "i": "[iíı]", "n": "[nń]", "o": "[oóö]", "s": "[sśş]", "u": "[uüûú]", "z": "[zźż]"}  # fmt: skip
FURTHER_PATTERN = "|".join(
    "".join(_MARKED.get(char, char) for char in word) for word in sorted(FURTHER_MONTHS, key=len, reverse=True)
)
"""Regular expression for these names, with the letters that people type in them."""

_DATE = re.compile(
    rf"(?:[^\W\d_]{{2,12}}\.?,? )?(\d{{1,2}})(?:[.º°ª]|er)?[ \-]{{0,2}}(?:de )?({FURTHER_PATTERN})\b\.?,?[ \-]?(?:del? )?(\d{{4}}|\d\d)(?!\d)(.*)",
    re.IGNORECASE | re.DOTALL,
)


def with_month_number(text: str) -> str:
    """A date whose month is a word of these languages, as `28/1/2001`; any other text unchanged."""
    found = _DATE.fullmatch(text.strip())
    if found is None:
        return text
    month = FURTHER_MONTHS.get(fold(found[2]))
    return text if month is None else f"{found[1]}/{month}/{found[3]}{found[4]}"
