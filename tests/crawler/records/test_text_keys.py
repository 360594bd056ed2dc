"""Running text through the real examiner: hits, and the counts of people, known people and new people."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crawler.examiner.examination import Examiner
from tests.synth.archives import tar
from tests.synth.case import enrol, examine, examining
from tests.synth.people import NOTES, Person, people

PEOPLE = people(11, 60)
CANARIES, RELEASED, UNKNOWN = PEOPLE[:10], PEOPLE[10:40], PEOPLE[40:]


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    folder = tmp_path_factory.mktemp("case")
    enrol(folder, CANARIES)
    with examining(folder, RELEASED) as examiner:
        yield examiner


def prose(person: Person) -> str:
    return f"{person.surname.upper()} {person.first}, né le {person.dob:%d/%m/%Y}, tél. {person.phone}. {person.note}"


def letter(person: Person) -> str:
    """One of many files: without e-mail address and number, with name and birth date far from each other."""
    return (
        f"Patient : {person.first} {person.surname}\nDossier ouvert par le Dr Weber, tél. 01 23 45 67 89\n"
        f"Sexe : {person.sex}\nAdresse : {person.address}\nDate de naissance : {person.dob:%d/%m/%Y}\n\n"
        + "\n".join(f"Le 0{month}/03/2019 : {NOTES[month % 4]}" for month in range(1, 9))
        + f"\n{person.first} {person.surname} reviendra le 04/06/2020.\n"
    )


@pytest.mark.slow
def test_canaries_in_prose_hit_by_their_record_keys_and_count_as_records(examiner):
    text = "Bonjour,\n" + "\n".join(
        f"- {person.first} {person.surname}, née le {person.dob:%d.%m.%Y}" for person in CANARIES
    )
    finding = examine(examiner, text.encode())
    assert finding.format == "text"
    assert finding.records == len(CANARIES)
    [hit] = finding.hits
    assert (hit.canaries, hit.records, hit.kinds) == (len(CANARIES), len(CANARIES), ("name+dob",))


def test_known_and_new_people_of_a_text_are_counted_once_each(examiner):
    group = RELEASED[:7] + UNKNOWN[:5]
    finding = examine(examiner, "\n\n".join([*map(prose, group), *map(prose, group[:3])]).encode())
    assert finding.records == len(group)
    assert finding.lineage is not None
    assert (finding.lineage.records, finding.lineage.known, finding.lineage.new) == (12, 7, 5)
    assert finding.lineage.verdict == "overlap"


def test_a_release_rewritten_as_prose_is_not_new(examiner):
    finding = examine(examiner, "\n".join(map(prose, RELEASED)).encode())
    assert finding.lineage is not None
    assert (finding.lineage.records, finding.lineage.new) == (len(RELEASED), 0)
    assert finding.lineage.verdict in ("re-post", "re-packaged")


def test_files_with_one_person_each_give_one_record_each(examiner):
    group = RELEASED[:12] + UNKNOWN[:8]
    archive = tar([(f"dossiers/{at}.txt", letter(person).encode()) for at, person in enumerate(group)])
    finding = examine(examiner, archive)
    assert [member.records for member in finding.members] == [1] * len(group)
    assert finding.lineage is not None
    assert (finding.records, finding.lineage.records, finding.lineage.known) == (20, 20, 12)


def test_a_reading_that_is_known_is_preferred_to_a_more_plausible_one(examiner):
    person = next(each for each in RELEASED if "-" not in each.surname)
    # a word too many, and the name in an unusual order
    text = f"Cordialement {person.surname} Zorglub {person.first} {person.dob:%d/%m/%Y}"
    others = "\n".join(map(prose, RELEASED[:3]))
    finding = examine(examiner, f"{person.surname} {person.first} Zorglub {person.dob:%d/%m/%Y}\n\n{others}".encode())
    assert finding.lineage is not None
    assert finding.lineage.new == 0
    assert examine(examiner, text.encode()).records in (0, 1)


def test_prose_without_people_has_no_records(examiner):
    text = "\n".join(f"{note} Revu le 0{day}/03/2019 à Lyon." for day in range(1, 9) for note in NOTES)
    finding = examine(examiner, text.encode())
    assert (finding.records, finding.hits, finding.lineage) == (0, (), None)
