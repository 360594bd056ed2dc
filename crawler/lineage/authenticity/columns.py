"""Whether each column of a sample is genuine: old real data is mixed with invented fields, so files alone say little (pure)."""

from __future__ import annotations

import math

import numpy as np

from crawler.lineage.authenticity.links import AGREES, COLUMNS, CONFLICTS, NUMBERS, RowEvidence
from crawler.lineage.probability import share_bounds
from data.arrays.array_types import Bools
from data.model import ColumnAuthenticity

# The confidence of bounds that decide (Clopper and Pearson 1934), and how many rows must say the same.
SURE, ENOUGH = 0.98, 5
# Up to this share of known people have a number that a release holds for somebody else alone: a family's.
_FAMILY_SHARE = 0.15


def judge_columns(evidence: RowEvidence, recombined: Bools) -> tuple[tuple[ColumnAuthenticity, ...], float]:
    """The answer for each column, and the weight of the column that speaks most against a genuine sample.

    Args:
        evidence: of the rows.
        recombined: shape (n,), rows that were put together from known values as a whole.

    Returns:
        The columns that the sample has, and the decimal logarithm of a likelihood ratio as `Mixture.weight`: this
        column torn from the others in half of the rows or more, against no more than families explain.
    """
    found, weight = [], math.inf
    for column in COLUMNS:
        filled = evidence.filled[column]
        if not filled.any():
            continue
        anchored = evidence.anchored[column]
        loose = filled & ~anchored & (evidence.comparable[column] | recombined)
        is_known = evidence.partner[column] | (evidence.known[column] if column in NUMBERS else False)
        torn = loose & is_known
        unknown = loose & ~is_known & evidence.comparable[column]
        agree, of_others, of_nobody = int(anchored.sum()), int(torn.sum()), int(unknown.sum())
        answer = _answer(agree, of_others, of_nobody)
        if answer == "open" and column == "nir" and _contradicts(evidence, unknown):
            answer = "invented"
        weight = min(weight, _weight(agree, of_others))
        rows = agree + of_others + of_nobody
        found.append(ColumnAuthenticity(column, answer, rows, agree, of_others, of_nobody))
    return tuple(found), weight


def _answer(agree: int, of_others: int, of_nobody: int) -> str:
    rows = agree + of_others + of_nobody
    if not rows:
        return "open"
    if agree >= ENOUGH and is_most(agree, rows):
        return "genuine"
    if of_others >= ENOUGH and is_most(of_others, rows):
        return "recombined"
    return "open"


def _contradicts(evidence: RowEvidence, unknown: Bools) -> bool:
    """Whether the numbers of known people are unknown and contradict their dates of birth: a person keeps this number."""
    conflict = int((unknown & (evidence.nir_dob == CONFLICTS)).sum())
    agree = int((unknown & (evidence.nir_dob == AGREES)).sum())
    of_nir = int((evidence.anchored["nir"] | unknown).sum())
    return conflict >= ENOUGH and is_most(conflict, conflict + agree) and is_most(int(unknown.sum()), of_nir)


def is_most(part: int, whole: int) -> bool:
    """Whether more than half of all such rows are so, at the confidence `SURE`."""
    return bool(whole) and share_bounds(part, whole, SURE)[0] > 0.5


def _weight(agree: int, of_others: int) -> float:
    rows = agree + of_others
    if not rows:
        return math.inf
    share = of_others / rows
    return _log10(of_others, rows, min(share, _FAMILY_SHARE)) - _log10(of_others, rows, max(share, 0.5))


def _log10(part: int, whole: int, share: float) -> float:
    """The decimal logarithm of the likelihood of a share, without the binomial coefficient."""
    inside = float(np.clip(share, 1e-3, 1 - 1e-3))
    return part * math.log10(inside) + (whole - part) * math.log10(1 - inside)
