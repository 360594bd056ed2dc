from __future__ import annotations

import calendar
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.examiner.kernel_warmup import warm_up_tags
from data.arrays.packed import Packed
from data.identifiers import normalise as n
from data.identifiers.normalise_columns import normalise_column

MONTHS = "janvier février mars avril mai juin juillet août septembre octobre novembre décembre"

quick = settings(deadline=None, max_examples=80)
NBSP, THIN, SOFT = "\xa0", "\u202f", "\xad"


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    warm_up_tags()


# --- folding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ÉLODIE", "elodie"),
        ("e\u0301", "e"),
        ("Œuvre Æther STRAẞE Straße Søren Łódź", "oeuvre aether strasse strasse soren lodz"),
        ("L’été “ici” – là", 'l\'ete "ici" - la'),
        (f"a{NBSP}b{THIN}c{SOFT}d\ufeff", "a b cd"),
        ("ＡＢＣ ﬁ ①", "abc fi 1"),
        ("İstanbul", "istanbul"),
        ("ΟΔΟΣ ΟΔΌΣ", "οδοσ οδοσ"),
        ("Ёлка", "елка"),
        ("\ud800x", "x"),
        ("", ""),
    ],
)
def test_folding(text, folded):
    assert n.fold(text) == folded


@given(st.text(), st.text())
@quick
def test_folding_a_text_is_folding_its_parts_and_folding_twice_changes_nothing(a, b):
    assert n.fold(a + b) == n.fold(a) + n.fold(b)
    assert n.fold(n.fold(a)) == n.fold(a)


@pytest.mark.slow
def test_folding_is_stable_for_every_character():
    for code in range(0x110000):
        folded = n.fold(chr(code))
        assert n.fold(folded) == folded == folded.lower(), hex(code)
        assert "\n" not in folded or code == 10


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "form", "variants"),
    [
        ("Jean-Pierre", "jeanpierre", ["jeanpierre", "jean", "pierre"]),
        ("JEAN PIERRE", "jeanpierre", ["jeanpierre", "jean", "pierre"]),
        ("Élodie", "elodie", ["elodie"]),
        ("de La Fontaine", "delafontaine", ["delafontaine", "fontaine"]),
        ("D’Artagnan", "dartagnan", ["dartagnan", "artagnan"]),
        ("O'Brien", "obrien", ["obrien", "brien"]),
        (
            "DUPONT épouse MARTIN",
            "dupontepousemartin",
            ["dupontepousemartin", "dupontmartin", "dupont", "martin"],
        ),
        ("Martin (née Le Goff)", "martinneelegoff", ["martinneelegoff", "martingoff", "martin", "goff"]),
        ("LE", "le", ["le"]),
        ("Ng Van Li", "ngvanli", ["ngvanli", "ngli"]),
        ("Иванов", "иванов", ["иванов"]),
        ("123 !?", "", []),
        ("", "", []),
    ],
)
def test_names(text, form, variants):
    assert n.name(text).decode() == form
    assert [variant.decode() for variant in n.name_variants(text)] == variants


@given(st.text())
@quick
def test_the_full_name_is_the_first_variant_and_all_variants_are_normal_forms(text):
    variants = n.name_variants(text)
    assert variants[:1] == [n.name(text)] * bool(n.name(text))
    assert [n.name(variant.decode()) for variant in variants] == variants
    assert len(set(variants)) == len(variants)


@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyzéèçœ", min_size=1), min_size=1), st.sampled_from(" -'’.–_,"))
@quick
def test_names_agree_whatever_their_case_accents_and_separators(words, separator):
    plain = "".join(words).replace("é", "e").replace("è", "e").replace("ç", "c").replace("œ", "oe").encode()
    assert n.name(separator.join(words)) == n.name(separator.join(words).upper()) == plain


# --- dates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "12/03/1975",
        "12-03-75",
        "12.03.1975",
        "12.3.75",
        "12 03 1975",
        "12 / 03 / 1975",
        " 12/3/1975 ",
        "1975-03-12",
        "1975/03/12",
        "75-03-12",
        "19750312",
        "12031975",
        "750312",
        "1975-03-12T00:00:00",
        "1975-03-12T00:00:00.000Z",
        "1975-03-12T00:00:00+01:00",
        "1975-03-11T23:00:00.000Z",
        "1975-03-11T22:00:00Z",
        "1975-03-12 00:00:00",
        "12/03/1975 00:00",
        "12/03/1975 à 14h30",
        "03/12/1975 12:00:00 AM".replace("03/12", "12/03"),
        "12 mars 1975",
        "12 MARS 75",
        "mercredi 12 mars 1975",
        "12-mar-1975",
        "12 March 1975",
        "March 12, 1975",
        "Mar 12th 1975",
        "Wed, 12 Mar 1975",
        "12th of March 1975",
        "1975-Mar-12",
        f"12{NBSP}mars{NBSP}1975",
        "１２/０３/１９７５",
    ],
)
def test_every_usual_form_of_a_date_is_the_same_date(text):
    assert n.dob(text) == b"750312"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("1er août 1980", b"800801"),
        ("1 févr. 2003", b"030201"),
        ("31 déc. 1999", b"991231"),
        ("03/04/1975", b"750403"),  # the day is read first
        ("03/25/1975", b"750325"),  # unless the month would be 25
        ("29/02/2000", b"000229"),
        ("29/02/00", b"000229"),
        ("29/02/1900", b""),
        ("29/02/1975", b""),
        ("31/02/1975", b""),
        ("31/02/12", b""),
        ("00/03/1975", b""),
        ("12/13/1975x", b""),
        ("13/13/1975", b""),
        ("12/03/975", b""),
        ("12/03/1849", b""),
        ("12/03/2100", b""),
        ("12/03-1975", b""),
        ("1975", b""),
        ("27465", b""),
        ("12 thermidor 1975", b""),
        ("12 mars", b""),
        ("", b""),
        ("mars", b""),
        ("12/03/1975 et 13/03/1975", b""),
    ],
)
def test_other_dates(text, form):
    assert n.dob(text) == form


def test_day_numbers_of_spreadsheets_are_read_only_on_request():
    assert n.dob("27465", excel=True) == n.dob("27465.0", excel=True) == b"750312"
    assert n.dob("12/03/1975", excel=True) == b"750312"
    assert (n.dob("1", excel=True), n.dob("59", excel=True), n.dob("61", excel=True)) == (
        b"000101",
        b"000228",
        b"000301",
    )
    assert n.dob("60", excel=True) == n.dob("0", excel=True) == n.dob("99999", excel=True) == b""


@given(st.dates(date(1850, 1, 1), date(2099, 12, 31)))
@quick
def test_all_written_forms_of_all_days_agree(day):
    form = day.strftime("%y%m%d").encode()
    month = [
        "janvier",
        "février",
        "mars",
        "avril",
        "mai",
        "juin",
        "juillet",
        "août",
        "septembre",
        "octobre",
        "novembre",
        "décembre",
    ][day.month - 1]
    for pattern in ("%d/%m/%Y", "%d-%m-%y", "%d.%m.%Y", "%Y-%m-%d", "%Y%m%d", "%d%m%Y", "%Y-%m-%dT00:00:00"):
        assert n.dob(day.strftime(pattern)) == form
    assert n.dob(f"{day.day} {month} {day.year}") == form
    assert n.dob(f"{calendar.month_name[day.month]} {day.day}, {day.year}") == form
    if day.year >= 1900 and day > date(1900, 3, 1):
        assert n.dob(str((day - date(1899, 12, 30)).days), excel=True) == form
    assert n.dob(f"{day - timedelta(days=1)}T23:00:00Z") == form or day.year == 1850


# --- e-mail ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (" Jean.Dupont+x@Exemple.FR\t", "jean.dupont+x@exemple.fr"),
        ("<jean@exemple.fr>", "jean@exemple.fr"),
        ("mailto:jean@exemple.fr", "jean@exemple.fr"),
        ("élodie@exemple.fr", "elodie@exemple.fr"),
        ("o'brien@sub.exemple.co.uk", "o'brien@sub.exemple.co.uk"),
        ("иван@почта.рф", "иван@почта.рф"),
        ("jean@exemple", ""),
        ("jean@exemple.f", ""),
        ("jean@.fr", ""),
        ("jean@a..fr", ""),
        ("@exemple.fr", ""),
        ("jean@@exemple.fr", ""),
        ("jean dupont@exemple.fr", ""),
        ("jean@exemple.fr, paul@exemple.fr", ""),
        ("jean", ""),
        ("", ""),
        ("a" * 250 + "@b.fr", ""),
        ("a" * 249 + "@b.fr", "a" * 249 + "@b.fr"),
    ],
)
def test_email(text, form):
    assert n.email(text).decode() == form


# --- telephone -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "0612345678",
        "06 12 34 56 78",
        "06.12.34.56.78",
        "06-12-34-56-78",
        "06/12/34/56/78",
        f"06{NBSP}12{THIN}34 56 78",
        "612345678",
        "612345678.0",
        "33612345678",
        "33612345678.0",
        "+33612345678",
        "+33 6 12 34 56 78",
        "+33 (0)6 12 34 56 78",
        "+33 (0) 6 12 34 56 78",
        "(+33) 6 12 34 56 78",
        "+33 06 12 34 56 78",
        "0033612345678",
        "0033 (0)6 12 34 56 78",
        "(0)6 12 34 56 78",
    ],
)
def test_every_usual_form_of_a_french_number_is_the_same_number(text):
    assert n.phone(text) == b"612345678"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("0692 12 34 56", "692123456"),
        ("+262 692 12 34 56", "692123456"),
        ("00590590123456", "590123456"),
        ("+44 (0)20 7946 0958", "442079460958"),
        ("0044 20 7946 0958", "442079460958"),
        ("+32 2 123 45 67", "3221234567"),
        ("+1234567", ""),
        ("+12345678", "12345678"),
        ("+123456789012345", "123456789012345"),
        ("+1234567890123456", ""),
        ("+33 6 12 34 56", ""),
        ("+33 12 34 56 78 90", ""),
        ("06 12 34 56", ""),
        ("06 12 34 56 78 90", ""),
        ("1012345678", ""),
        ("012345678", ""),
        ("06 12 34 56 7O", ""),
        ("06+12345678", ""),
        ("++33612345678", ""),
        ("tel", ""),
        ("", ""),
        ("0" * 100, ""),
        ("1" * 100, ""),
    ],
)
def test_other_phone_numbers(text, form):
    assert n.phone(text).decode() == form


@given(st.from_regex(r"[1-9][0-9]{8}", fullmatch=True), st.sampled_from([" ", ".", "-", "/", NBSP, THIN, ""]))
@quick
def test_phone_separators_and_prefixes_agree(number, separator):
    grouped = separator.join([number[0], *(number[i : i + 2] for i in range(1, 9, 2))])
    for prefix in ("0", "+33", "+33 ", "0033", "+33 (0)", "+33(0) ", ""):
        assert n.phone(prefix + grouped) == number.encode()


# --- national numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "form", "key"),
    [
        ("2 69 05 49 588 157 80", "2690549588157", True),
        ("269054958815780", "2690549588157", True),
        ("269054958815780.0", "2690549588157", True),
        ("2.69.05.49.588.157", "2690549588157", False),
        ("269054958815781", "2690549588157", False),
        ("1 80 03 2A 004 123", "1800319004123", False),
        ("1 80 03 2b 004 123", "1800318004123", False),
        ("1800319004123", "1800319004123", False),
        ("175 99 99 123 456 78", "1759999123456", False),
        ("5690549588157", "", False),
        ("2691349588157", "", False),
        ("2694349588157", "", False),
        ("2690049588157", "", False),
        ("26905495881578", "", False),
        ("269051a588157", "", False),
        ("269052c588157", "", False),
        ("26905495881578x", "", False),
        ("", "", False),
    ],
)
def test_nir(text, form, key):
    assert n.nir(text).decode() == form
    assert n.nir_valid_key(text) is key


@pytest.mark.parametrize("month", range(100))
def test_nir_months_are_those_that_insee_gives(month):
    valid = 1 <= month <= 12 or 20 <= month <= 42 or 50 <= month <= 99
    assert bool(n.nir(f"180{month:02}75123456")) is valid


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("FR14 2004 1010 0505 0001 3M02 606", "fr1420041010050500013m02606"),
        ("IBAN: FR14-2004-1010-0505-0001-3M02-606", "fr1420041010050500013m02606"),
        ("DE89370400440532013000", "de89370400440532013000"),
        ("NO93 8601 1117 947", "no9386011117947"),
        ("FR15 2004 1010 0505 0001 3M02 606", ""),
        ("FR14", ""),
        ("1414 2004 1010 0505 0001 3M02 606", ""),
        ("", ""),
    ],
)
def test_iban(text, form):
    assert n.iban(text).decode() == form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("10001234567", "10001234567"),
        ("1000 123 4567", "10001234567"),
        ("10001234567.0", "10001234567"),
        ("750123456", "750123456"),
        ("2A0000014", "2a0000014"),
        ("2C0000014", ""),
        ("1A0000014", ""),
        ("7501234567", ""),
        ("N° 750123456", ""),
        ("", ""),
    ],
)
def test_professional(text, form):
    assert n.professional(text).decode() == form


@pytest.mark.parametrize(
    ("text", "form"),
    [("Tök-en_0042 !", "token0042"), ("abc-def-g", ""), ("abcd-efgh", "abcdefgh"), ("ИВАНОВ12", ""), ("", "")],
)
def test_token(text, form):
    assert n.token(text).decode() == form


# --- all kinds -------------------------------------------------------------------------------------------------------

# parts of real cells: cells made of them reach the rules much more often than arbitrary text does
PIECES = (
    "0 00 + +33 33 262 (0) ( ) 06 12 / - . .0 2a 2B 1a 2c @ mailto: < > fr FR14 iban 19 75 03 1975 é œ Σ 20041010 "
    "05050001 3m02606 612345678 exemple 2690549588157 ! mars T00:00 xxxxxxxxxxxxxxxxxxxx"
)
pieces = st.one_of(
    st.text(max_size=5), st.sampled_from(PIECES.split()), st.sampled_from([" ", NBSP, THIN, "\n", "\t", "\x00", "\x85"])
)
cells = st.one_of(
    st.lists(pieces, max_size=8).map("".join),
    st.from_regex(r" ?\(?[+]?[0-9 (0).+/]{4,22}", fullmatch=True),
    st.from_regex(r"[1-478][0-9]{4}[0-9][0-9abcAB] ?[0-9]{6}(?: ?[0-9]{2})?(?:\.0)?", fullmatch=True),
    st.from_regex(r" ?<?[^\s]{0,4}@[a-zé.-]{1,6}\.[a-zé]{0,3}>? ?", fullmatch=True),
    st.from_regex(r"[0-9]{1,4}[/.-][0-9]{1,2}[/.-][0-9]{1,4}(?:T0?[0-9]:00.*)?", fullmatch=True),
)


numbers = st.one_of(
    st.integers(0, 99).map(str),
    st.integers(0, 40).map("{:02}".format),
    st.integers(1840, 2110).map(str),
    st.integers(0, 99_999).map(str),
    st.dates(date(1849, 1, 1), date(2101, 1, 1)).map("{:%Y%m%d}".format),
    st.dates(date(1849, 1, 1), date(2101, 1, 1)).map("{:%d%m%y}".format),
)
times = st.sampled_from(
    ["", "T23:00:00Z", " 22:00Z", " 10h30", " 1h", " a 9:05", "t33:00", " 23:00:00.000+00:00", " 23:00+0000", ", 7:5 x"]
)
words = st.sampled_from(
    [*n.MONTHS, *n.WEEKDAYS, "foo", "1er", "st", "nd,", "er_", "é", "°", ",", ".", "-", "/", " ", "\n"]
)
dates = st.one_of(
    st.tuples(numbers, st.sampled_from(["/", "-", ".", " ", " / ", "- "]), numbers, numbers, times).map(
        lambda parts: f"{parts[0]}{parts[1]}{parts[2]}{parts[1]}{parts[3]}{parts[4]}"
    ),
    st.lists(st.one_of(numbers, words), max_size=8).flatmap(
        lambda parts: st.sampled_from(["", " "]).map(lambda glue: glue.join(parts))
    ),
    st.integers(0, 120).map(lambda gap: "12" + " " * gap + "mars" + "," * gap + "1975"),
)


@pytest.mark.slow
@given(texts=st.lists(dates, max_size=12), excel=st.booleans())
@settings(deadline=None, max_examples=1500)
def test_a_column_of_dates_is_normalised_as_its_single_cells(texts, excel):
    made = normalise_column("dob", texts, excel=excel)
    assert made.to_list() == [n.dob(text, excel=excel) for text in texts]


@pytest.mark.slow
@pytest.mark.parametrize("kind", n.COLUMN_KINDS)
@given(texts=st.lists(cells, max_size=12))
@settings(deadline=None, max_examples=300)
def test_a_column_is_normalised_as_its_single_cells(kind, texts):
    packed = normalise_column(kind, texts)
    assert isinstance(packed, Packed)
    assert packed.to_list() == [n.normalise(kind, text) for text in texts]


usual = st.sampled_from(
    [
        "12/03/1975", "1975-03-12", "31.02.75", "185017512345678", "1850175123456", "285012A123456", "0612345678",
        "0033612345678", "612345678", "jean.dupont@orange.fr", "LEA@free.fr", "Jean-Pierre", "DUPONT", "Lefèvre", "",
    ]
)  # fmt: skip
touched = st.tuples(usual, st.integers(0, 16), st.sampled_from([*" /-.@0a9Zé,\n", ""])).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :]
)


@pytest.mark.slow
@given(texts=st.lists(st.one_of(usual, touched), min_size=4, max_size=24))
@settings(deadline=None, max_examples=300)
def test_cells_of_the_common_forms_with_one_change_are_normalised_as_single_cells(texts):
    for kind in n.COLUMN_KINDS:
        assert normalise_column(kind, texts).to_list() == [n.normalise(kind, text) for text in texts], kind


@pytest.mark.parametrize("kind", n.COLUMN_KINDS)
@given(text=cells)
@quick
@pytest.mark.slow
def test_normalising_twice_changes_nothing(kind, text):
    form = n.normalise(kind, text)
    if kind == "phone" and form and len(form) != 9:
        # only the + or 00 shows that a number is foreign, and the normal form has neither
        assert n.phone("+" + form.decode()) == form
    else:
        assert n.normalise(kind, form.decode()) == form


@pytest.mark.parametrize("kind", n.COLUMN_KINDS)
def test_empty_columns_and_line_ends_in_cells(kind):
    assert len(normalise_column(kind, [])) == 0
    assert normalise_column(kind, [""]).to_list() == [b""]
    assert normalise_column(kind, ["\n", "", "\n\n"]).to_list() == [b""] * 3


def test_day_numbers_in_columns():
    assert normalise_column("dob", ["27465", "x"], excel=True).to_list() == [b"750312", b""]


def test_an_unknown_kind_of_column_is_an_error():
    with pytest.raises(ValueError, match="no such kind"):
        normalise_column("shoe", [])
