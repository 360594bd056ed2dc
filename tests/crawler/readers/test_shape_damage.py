"""Files of the shapes that are cut or changed: no reader fails, and a person who is lost is never lost silently."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from crawler.readers.core.limits import Limits
from tests.crawler.readers.frames import Member, read

SHAPES = Path(__file__).parents[2] / "samples" / "shapes"
LIMITS = Limits(max_output=2**24, hold=2**26)
DAMAGED = (
    "59-pg-custom-15.dump",
    "59-pg-custom-16.dump",
    "63-redis-6.2.rdb",
    "63-redis-7.0.rdb",
    "56-avro-snappy.avro",
    "64b-outlook-rtf.msg",
    "57-orc-zlib.orc",
    "55-spss.sav",
    "55b-spss.zsav",
    "55c-spss.por",
    "55d-stata-15.dta",
    "55e-stata-10.dta",
    "55f-sas.xpt",
)


def rows(found: Member) -> int:
    return sum(len(member.rows) for member in found.walk())


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_is_cut_says_so(name: str) -> None:
    data = (SHAPES / name).read_bytes()
    whole = rows(read(data, LIMITS))
    for eighth in range(1, 8):
        found = read(data[: len(data) * eighth // 8], LIMITS)
        assert "reader" not in found.all_problems
        assert rows(found) >= whole or not found.all_complete, eighth


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGED)
def test_changed_bytes_make_no_reader_fail(name: str) -> None:
    data = (SHAPES / name).read_bytes()
    numbers = random.Random(name)
    for _ in range(30):
        changed = bytearray(data)
        # most of what a format says about itself stands in its first bytes and its last
        for _ in range(numbers.randint(1, 4)):
            place = numbers.choice((numbers.randrange(len(data)), numbers.randrange(min(400, len(data)))))
            changed[place] = numbers.choice((0, 1, 0x7F, 0x80, 0xFF, numbers.randrange(256)))
        assert "reader" not in read(bytes(changed), LIMITS).all_problems
