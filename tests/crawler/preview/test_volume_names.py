"""Which names are parts of one divided file, in which order, and which parts are missing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.preview.volume_names import MAX_MISSING, MAX_PARTS, group_volumes

CASES = [
    (["b.7z.002", "b.7z.001", "a.csv"], [("b.7z", ["b.7z.001", "b.7z.002"], ())]),
    (["d.zip", "d.z02", "d.z01"], [("d.zip", ["d.z01", "d.z02", "d.zip"], ())]),
    (["d.z01", "d.z02"], [("d.zip", ["d.z01", "d.z02"], (3,))]),
    (["d.z01", "d.z03", "d.zip"], [("d.zip", ["d.z01", "d.z03", "d.zip"], (2,))]),
    (["e.part2.rar", "e.part1.rar", "e.part10.rar"], [("e.rar", ["e.part1.rar", "e.part2.rar", "e.part10.rar"],
                                                       tuple(range(3, 10)))]),
    (["e.part02.rar"], [("e.rar", ["e.part02.rar"], (1,))]),
    (["f.rar", "f.r00", "f.r01"], [("f.rar", ["f.rar", "f.r00", "f.r01"], ())]),
    (["x.csv.aa", "x.csv.ac"], [("x.csv", ["x.csv.aa", "x.csv.ac"], (2,))]),
    (["x.gz.00", "x.gz.01"], [("x.gz", ["x.gz.00", "x.gz.01"], ())]),
    (["xaa", "xab", "xac"], [("x", ["xaa", "xab", "xac"], ())]),
    (["dump.sql.gz-aa", "dump.sql.gz-ab"], [("dump.sql.gz-", ["dump.sql.gz-aa", "dump.sql.gz-ab"], ())]),
    (["d.csv.partaa", "d.csv.partac"], [("d.csv", ["d.csv.partaa", "d.csv.partac"], (2,))]),
    (["d.sql.gz.part-aa", "d.sql.gz.part-ab"], [("d.sql.gz", ["d.sql.gz.part-aa", "d.sql.gz.part-ab"], ())]),
    (["d.sql.part9", "d.sql.part10", *(f"d.sql.part{at}" for at in range(1, 9))],
     [("d.sql", [f"d.sql.part{at}" for at in range(1, 11)], ())]),
    (["d.7z.part_01", "d.7z.part_02"], [("d.7z", ["d.7z.part_01", "d.7z.part_02"], ())]),
    (["d.part00", "d.part01"], [("d", ["d.part00", "d.part01"], ())]),
    (["a.csv.partial", "b.csv.part", "c.part2", "d.csv.part2024"], []),
    # ordinary files
    (["rapport.fr", "rapport.en", "a.zip", "b.rar", "letter.01", "paris.75", "xyz", "n.2024", "n.2025", "b.sql.2024"], []),
    (["2024.12", "2024.13"], []),
    (["a.csv.gz", "a.csv"], []),
]  # fmt: skip


@pytest.mark.parametrize(("names", "expected"), CASES)
def test_parts_are_found_by_their_names(
    names: list[str], expected: list[tuple[str, list[str], tuple[int, ...]]]
) -> None:
    found = group_volumes(names)
    assert [(each.name, [names[place] for place in each.parts], each.missing) for each in found] == expected


def test_runs_without_a_gap_are_joined_and_a_gap_is_named() -> None:
    [volumes] = group_volumes(["x.csv.aa", "x.csv.ab", "x.csv.ad"])
    assert volumes.numbered_runs() == [((0, 1), 1), ((2,), 4)]
    assert volumes.missing_sentence() == "part 3 of this divided file is missing"


@given(st.lists(st.from_regex(r"[ab]\.(zip|rar|7z\.\d{2,5}|[zr]\d\d|part\d{1,5}\.rar|csv\.[a-z]{2})", fullmatch=True)))
@pytest.mark.slow
def test_a_name_belongs_to_one_file_and_order_does_not_matter(names: list[str]) -> None:
    names = list(dict.fromkeys(names))
    found = group_volumes(names)
    places = [place for each in found for place in each.parts]
    assert len(places) == len(set(places))
    assert all(sum(len(run) for run, _ in each.numbered_runs()) == len(each.parts) for each in found)

    def by_name(listed: list[str]) -> set[tuple[str, ...]]:
        return {tuple(listed[place] for place in each.parts) for each in group_volumes(listed)}

    assert by_name(names) == by_name(names[::-1])


def test_a_hostile_listing_names_few_missing_parts() -> None:
    names = [f"a.7z.{number:05}" for number in range(1, 99_999, 2)]
    [volumes] = group_volumes(names)
    assert len(volumes.parts) == MAX_PARTS
    assert len(volumes.missing) == MAX_MISSING
