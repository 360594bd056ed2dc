"""Normalisation of columns compiles no kernel in the middle of a sample; test_normalise checks the results."""

from __future__ import annotations

import pytest

from crawler.examiner.kernel_warmup import warm_up_tags
from data.arrays.packed import Packed
from data.identifiers import date_kernels, identifier_kernels, normalise
from data.identifiers.normalise_columns import normalise_column

KERNELS = [
    kernel
    for module in (identifier_kernels, date_kernels)
    for kernel in vars(module).values()
    if hasattr(kernel, "signatures")
]


@pytest.mark.parametrize("kind", normalise.COLUMN_KINDS)
def test_no_kernel_is_compiled_in_the_middle_of_a_sample(kind):
    warm_up_tags()
    before = {kernel.__name__: len(kernel.signatures) for kernel in KERNELS}
    assert any(before.values())
    for cells in (
        ["a"],
        ["\U0001d49c\u0301 \ufb03 x@y.fr 0612345678"],
        ["x" * 5000],
        [""],
        ["\udcff".encode("utf-8", "replace").decode()],
    ):
        normalise_column(kind, Packed.of([cell.encode() for cell in cells]))
    assert {kernel.__name__: len(kernel.signatures) for kernel in KERNELS} == before
