"""The fields of the notification to the authority, in its words and order: filled in where known, blank where not."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.reports.client_figures import ClientFigures
from scheduler.reports.clocks import Clocks
from scheduler.reports.document.words import Words

# Kinds of value by which a hit was recognised -> what `HIT_DATA` calls them.
_OF_HIT_KINDS = {
    "email": "email",
    "phone": "phone",
    "nir": "nir",
    "iban": "iban",
    "dob": "dob",
    "name": "names",
    "first": "names",
}
_CATEGORIES = (
    ("f_cat_identity", ("names", "dob")), ("f_cat_nir", ("nir",)), ("f_cat_contact", ("email", "phone")),
    ("f_cat_financial", ("iban",)), ("f_cat_health", ("note",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FormField:
    """One field: its label, and the lines of its value; none if a person has to fill it in."""

    label: str
    lines: tuple[str, ...] = ()


def size_class(figures: ClientFigures, words: Words) -> str:
    """`51 to 300 people`, or two classes if the bounds lie in both; '' if the number of people is not known."""
    told = [
        words("class_above", low=begin - 1) if end is None else words("class_range", low=begin, high=end)
        for begin, end in figures.size_classes
    ]
    return words("or").join(told)


def kinds_seen(figures: ClientFigures) -> tuple[frozenset[str], bool]:
    """The kinds of value that stand in rows of this client's people, and whether that was counted.

    What was not counted is told by the values that matched, which is less.
    """
    if figures.data is not None and not figures.uncounted:
        return frozenset(figures.data), True
    parts = {part for post in figures.posts for kind in post.hits[figures.client].kinds for part in kind.split("+")}
    return frozenset(figures.data or ()) | {_OF_HIT_KINDS[part] for part in parts if part in _OF_HIT_KINDS}, False


def form_groups(
    figures: ClientFigures, clocks: Clocks, words: Words, *, is_late: bool
) -> list[tuple[str, list[FormField]]]:
    """The four points of art. 33(3), each with its fields."""
    kinds, counted = kinds_seen(figures)
    seen = figures.first is not None and figures.last is not None
    minors, notes = figures.count("minor"), figures.count("note")
    subjects = [words("f_subjects_patients")] if seen else []
    subjects += [words("f_subjects_minors", n=minors)] if minors else []
    categories = [words(key) for key, names in _CATEGORIES if kinds & set(names)]
    direct = [words(f"data_{name}") for name in ("names", "nir") if name in kinds]
    rest = [words("f_cat_rest"), *([] if counted else [words("f_cat_by_hits")])]
    group_a = [
        FormField(words("f_dates"), (words("f_dates_value", first=figures.first, last=figures.last),) if seen else ()),
        FormField(words("f_aware"), (words.time(clocks.aware.at),) if clocks.aware else ()),
        FormField(words("f_ongoing")),
        FormField(words("f_nature"), (words("f_nature_value"),) if seen else ()),
        FormField(words("f_origin")),
        FormField(words("f_cause")),
        FormField(words("f_processors")),
        FormField(words("f_subjects"), (*subjects, words("f_subjects_rest")) if seen else ()),
        FormField(words("f_people"), _people(figures, words)),
        FormField(
            words("f_class"), (size_class(figures, words), words("b_enrolled")) if figures.size_classes and seen else ()
        ),
        FormField(words("f_data"), (*categories, *rest) if categories else ()),
        FormField(words("f_records"), _records(figures, words)),
        FormField(words("f_identifiable"), (words("f_identifiable_yes", kinds=", ".join(direct)),) if direct else ()),
    ]
    secrecy = (words("f_secrecy_yes", people=words("people", n=notes)),) if notes else ()
    if figures.has_notes and not notes:
        secrecy = (words("sum_notes"),)
    late = [FormField(words("f_late"))] if is_late else []
    return [
        (words("form_a"), group_a),
        (words("form_b"), [FormField(words("f_contact"))]),
        (
            words("form_c"),
            [FormField(words("f_secrecy"), secrecy), FormField(words("f_consequences")), FormField(words("f_gravity"))],
        ),
        (
            words("form_d"),
            [FormField(words("f_measures")), FormField(words("f_informed")), FormField(words("f_others")), *late],
        ),
    ]


def _people(figures: ClientFigures, words: Words) -> tuple[str, ...]:
    if figures.people is not None and figures.first is not None:
        return (words.interval(*figures.people), words("b_enrolled"), *_cut(figures, words))
    if figures.planted and figures.share is not None and figures.first is not None:
        return (words.share(figures.share), words("b_people_planted"))
    return ()


def _records(figures: ClientFigures, words: Words) -> tuple[str, ...]:
    # records of planted people are not those of patients: how many of these are out, only the practice can say
    if figures.planted or not figures.records[1]:
        return ()
    return (words.interval(*figures.records), *_cut(figures, words))


def _cut(figures: ClientFigures, words: Words) -> tuple[str, ...]:
    return (words("incomplete"),) if figures.is_cut else ()
