from __future__ import annotations

import csv

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crawler.readers.core.limits import Limits
from crawler.readers.tables.cell_arrays import MAX_PADDING, find_cells
from tests.crawler.readers.frames import read


def find_cells_bytewise(block: bytes, separator: int, quote: int, most: int) -> list[list[bytes]] | None:
    """The reference implementation, which reads byte by byte."""
    rows: list[list[bytes]] = [[b""]]
    inside = False
    for char in block:
        inside ^= char == quote
        if char == 10 and inside:
            return None
        if char == 10:
            rows.append([b""])
        elif char == separator and not inside:
            rows[-1].append(b"")
        else:
            rows[-1][-1] += bytes([char])
    rows = [row for row in rows if row != [b""]]
    mark = bytes([quote]) if quote >= 0 else None
    for row in rows:
        for at, cell in enumerate(row):
            if mark and mark in cell:
                if not (len(cell) > 1 and cell[:1] == cell[-1:] == mark and cell.count(mark) == 2):
                    return None
                row[at] = cell[1:-1]
    widest = max(map(len, rows), default=0)
    return None if inside or widest > most else [row + [b""] * (widest - len(row)) for row in rows]


def cells_of(block: bytes, separator: int, quote: int, width: int, most: int) -> list[list[bytes]] | None:
    found = find_cells(block, separator, quote, width, most)
    if found is None:
        return None
    starts, ends = found
    return [
        [block[start:end] for start, end in zip(*row, strict=True)]
        for row in zip(starts.tolist(), ends.tolist(), strict=True)
    ]


blocks = st.one_of(
    st.binary(max_size=60),
    st.lists(st.sampled_from([b";", b'"', b"\n", b"a", "é".encode(), b'";"', b"x;y\n"]), max_size=40).map(b"".join),
)


@pytest.mark.slow
@settings(max_examples=500)
@given(blocks, st.sampled_from([-1, 34]), st.integers(1, 4), st.integers(1, 6))
@example(b"", -1, 1, 6)
@example(b"a\n\nb", -1, 1, 6)
@example(b'"a;b";c\n"";d', 34, 2, 6)
def test_array_operations_find_the_same_cells_as_the_reference_implementation(block, quote, width, most):
    found, expected = cells_of(block, ord(";"), quote, width, most), find_cells_bytewise(block, ord(";"), quote, most)
    if found is None and expected is not None:
        # Only blocks with unusual quotes or too much padding may be refused.
        cells = sum(line.count(b";") + 1 for line in block.split(b"\n"))
        assert len(expected) * len(expected[0]) > MAX_PADDING * cells or quote >= 0
    else:
        assert found == expected


@pytest.mark.parametrize("block", [b'"a ""b"";c";d\ne;f', b'"a;b\ne;f', b'a"b";c\ne;f', b'"a\nb";c\ne;f'])
def test_blocks_with_quotes_elsewhere_than_around_cells_are_refused(block):
    assert find_cells(block, ord(";"), ord('"'), 2, 9) is None


cells_ = st.text("abé ;,0", min_size=1, max_size=6)
rows_ = st.lists(st.lists(cells_, min_size=3, max_size=3), min_size=40, max_size=80)


@settings(max_examples=30, deadline=None)
@given(rows_, st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), st.integers(0, 3))
@pytest.mark.slow
def test_a_table_reads_the_same_whether_its_blocks_are_regular_or_not(rows, quoting, odd):
    rows = [["k", "l", "m"], *[[cell.strip() or "x" for cell in row] for row in rows]]
    for at in range(odd):
        # a quote inside a cell makes the reader parse its block line by line
        rows[5 + at][1] = 'say "so"'
    text = "".join(
        ";".join(
            f'"{cell.replace(chr(34), chr(34) * 2)}"' if quoting or set('";') & set(cell) else cell for cell in row
        )
        + "\n"
        for row in rows
    )
    assert read(text.encode(), Limits()).rows == rows


def test_times_of_day_do_not_make_a_table_separated_by_colons() -> None:
    lines = b"".join(b"[td]dupont%d[/td][td]1991-08-12T00:00:00[/td]\n" % number for number in range(20))
    assert read(lines).format == "text"
    # nor do they prevent one from being recognised
    table = b"".join(b"dupont%d:jean:secret:12\n" % number for number in range(20))
    assert read(table).rows[3] == ["dupont3", "jean", "secret", "12"]
