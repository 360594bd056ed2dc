"""How well each explanation of the rows of a sample fits: likelihoods of classes of rows, and their shares by EM (pure).

A row is of a known person, of a new one, of a new relative on the numbers of known people, put together from known values
(of people in the sample, or of others), or invented (with control keys at random, or with right ones). The likelihood of a row under a class is the product over its
kinds of evidence. The rates were chosen by hand from what patient files hold and are in one table; they are part of no
generator of our tests or benchmarks.

Sources: Fellegi and Sunter 1969 (agreement patterns); Dempster, Laird and Rubin 1977 (EM); Good 1985, "Weight of
evidence" (decimal logarithms of likelihood ratios).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crawler.lineage.authenticity.held_rows import RIGHT_KEY, WRONG_KEY
from crawler.lineage.authenticity.links import AGREES, CONFLICTS, NUMBERS, PARENTS, RowEvidence
from data.arrays.array_types import F64

KNOWN, NEW, RELATIVE, WITHIN, ELSEWHERE, RANDOM, FORMED = range(7)
"""Classes of rows: known people; new ones; new relatives on the numbers of known people; put together from values of the
sample's people, or of others; invented with control keys at random, or with right ones."""
GENUINE, RECOMBINED, INVENTED = (KNOWN, NEW, RELATIVE), (WITHIN, ELSEWHERE), (RANDOM, FORMED)
_CLASSES = len(GENUINE + RECOMBINED + INVENTED)
# A sample counts as genuine up to the first share of other rows; the explanation against it has at least the second.
_NEARLY_NONE, _A_FIFTH = 0.02, 0.2
_ROUNDS = 60
_TINY = 1e-300
# Shares of the mailboxes of real people that resemble their name; the one that fits best is taken.
_RESEMBLING = (0.1, 0.3, 0.5, 0.7, 0.9)
# Whatever happens by chance happens at least so often in a row.
_LEAST_CHANCE = 0.01


def _rates(known: float, new: float, relative: float, recombined: float, invented: float) -> list[float]:
    return [known, new, relative, recombined, recombined, invented, invented]


# Rows with no, one, several record keys held, by class: with one key that could be compared, and with more.
_ONE_LINK = np.array([_rates(0.1, 0.997, 0.99, 0.99, 0.997), _rates(0.9, 0.003, 0.01, 0.01, 0.003)])
_MORE_LINKS = np.array([
    _rates(0.03, 0.993, 0.97, 0.97, 0.993), _rates(0.07, 0.006, 0.02, 0.02, 0.006),
    _rates(0.9, 0.001, 0.01, 0.01, 0.001),
])  # fmt: skip
# Rows without a held key by how many of their numbers are known (none, some, all). A new child has those of its parents.
_ONE_NUMBER = np.array([
    _rates(0.3, 0.95, 0.1, 0.1, 0.97), _rates(1, 1, 1, 1, 1), _rates(0.7, 0.05, 0.9, 0.9, 0.03),
])  # fmt: skip
_MORE_NUMBERS = np.array([
    _rates(0.03, 0.94, 0.02, 0.01, 0.97), _rates(0.27, 0.05, 0.38, 0.14, 0.025), _rates(0.7, 0.01, 0.6, 0.85, 0.005),
])  # fmt: skip
# That two known numbers of a genuine row without a held key have an owner in common: those of one parent have.
_IN_COMMON = 0.6
# That the rest of a person stands in another row, of people with other surnames.
_PARTNER = np.array([0.03, 0.03, 0.03, 0.85, 0.03, 0.01, 0.01])
# That year and month in the number agree with those of the birth date, conflict, or are those of a possible parent.
_NIR_DOB = {AGREES: (0.8, 0.1), CONFLICTS: (0.05, 0.05), PARENTS: (0.15, 0.85)}
"""Of people with their own number as a rule, and of relatives."""
# That a control key is right, and that a telephone number is outside of the plan.
_KEY_RIGHT = np.array([*[0.985] * 5, 1 / 97, 0.985])
_OUTSIDE = np.array([*[0.01] * 5, 0.12, 0.01])


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """The explanation of the rows that fits best.

    Attributes:
        weight: decimal logarithm of the likelihood ratio: (nearly) all rows genuine against a fifth of them or more
            recombined or invented. Positive speaks for genuine.
        likelihoods: shape (n, 7), of each row under each class.
        posterior: shape (n, 7), the probability of each class for each row.
    """

    weight: float
    likelihoods: F64
    posterior: F64

    def ratio(self, of: tuple[int, ...], against: tuple[int, ...]) -> F64:
        """For each row, how much better some classes explain it than others; shape (n,)."""
        ratios: F64 = self.likelihoods[:, of].max(axis=1) / self.likelihoods[:, against].max(axis=1)
        return ratios


def fit(evidence: RowEvidence) -> Mixture:
    """Fit the shares of all classes to the rows of a sample."""
    # one after another for each share of mailboxes that resemble their name; shape (shares, n, classes)
    fixed = _without_mailboxes(evidence)
    likelihoods = np.array([fixed * _of_mailboxes(evidence, share) for share in _RESEMBLING])
    fits, shares = _free_fit(likelihoods)
    of_genuine, of_others = likelihoods[..., GENUINE], likelihoods[..., [*RECOMBINED, *INVENTED]]
    genuine = _fit_with(of_genuine, of_others, most=_NEARLY_NONE)
    others = _fit_with(of_genuine, of_others, least=_A_FIFTH)
    best = int(np.argmax(fits))
    weighted = likelihoods[best] * shares[best]
    return Mixture(
        (genuine - others) / float(np.log(10)), likelihoods[best], weighted / weighted.sum(axis=1, keepdims=True)
    )


def _free_fit(likelihoods: F64) -> tuple[F64, F64]:
    """The largest log-likelihoods over all shares, shape (m,), and the shares, shape (m, 1, 7)."""
    shares = np.full((len(likelihoods), 1, _CLASSES), 1 / _CLASSES)
    for _ in range(_ROUNDS):
        weighted = likelihoods * shares
        shares = (weighted / weighted.sum(axis=2, keepdims=True)).mean(axis=1, keepdims=True)
    return np.log((likelihoods * shares).sum(axis=2)).sum(axis=1), shares


def _fit_with(of_genuine: F64, of_others: F64, *, most: float = 1.0, least: float = 0.0) -> float:
    """The largest log-likelihood if the share of other rows is at most, or at least, this."""
    fits, count = of_genuine.shape[0], of_genuine.shape[1]
    one = np.full((fits, 1, of_genuine.shape[2]), 1 / of_genuine.shape[2])
    two = np.full((fits, 1, of_others.shape[2]), 1 / of_others.shape[2])
    share = np.full((fits, 1, 1), (most + least) / 2 if most < 1 else max(least, 0.5))
    for _ in range(_ROUNDS):
        genuine, others = of_genuine * one * (1 - share), of_others * two * share
        total = (genuine.sum(axis=2) + others.sum(axis=2))[..., np.newaxis]
        genuine, others = (genuine / total).sum(axis=1, keepdims=True), (others / total).sum(axis=1, keepdims=True)
        one = genuine / np.maximum(genuine.sum(axis=2, keepdims=True), _TINY)
        two = others / np.maximum(others.sum(axis=2, keepdims=True), _TINY)
        share = np.clip(others.sum(axis=2, keepdims=True) / count, least, most)
    mixed = (of_genuine * one).sum(axis=2) * (1 - share[..., 0]) + (of_others * two).sum(axis=2) * share[..., 0]
    return float(np.log(mixed).sum(axis=1).max())


def _without_mailboxes(evidence: RowEvidence) -> F64:
    """The likelihood of each row under each class, without what mailboxes say of names; shape (n, 7)."""
    made = np.ones((len(evidence), _CLASSES))
    one, more = evidence.links == 1, evidence.links > 1
    made[one] *= _ONE_LINK[np.minimum(evidence.agreeing[one], 1)]
    made[more] *= _MORE_LINKS[np.minimum(evidence.agreeing[more], 2)]
    open_ = evidence.agreeing == 0
    tested = np.sum([evidence.tested[role] for role in NUMBERS], axis=0)
    known = np.sum([evidence.known[role] for role in NUMBERS], axis=0)
    how_many = np.where(known == 0, 0, np.where(known == tested, 2, 1))
    made[open_ & (tested == 1)] *= _ONE_NUMBER[how_many[open_ & (tested == 1)]]
    made[open_ & (tested > 1)] *= _MORE_NUMBERS[how_many[open_ & (tested > 1)]]
    several = open_ & evidence.several
    chance = _open_chance(evidence.chance_in_common)
    in_common = _by_chance(max(_IN_COMMON, chance), chance)
    made[several] *= np.where(evidence.in_common[several, np.newaxis], in_common, 1 - in_common)
    if evidence.has_partner_test:
        partner = np.any(list(evidence.partner.values()), axis=0)[open_, np.newaxis]
        made[open_] *= np.where(partner, _PARTNER, 1 - _PARTNER)
    for told, (own, of_relatives) in _NIR_DOB.items():
        rates = _by_chance(own, max(_LEAST_CHANCE, evidence.chance["nir_dob"][told]))
        rates[RELATIVE] = of_relatives
        made[evidence.nir_dob == told] *= rates
    for told, right in ((RIGHT_KEY, _KEY_RIGHT), (WRONG_KEY, 1 - _KEY_RIGHT)):
        made[evidence.nir_keys == told] *= right
    made[evidence.outside_plan] *= _OUTSIDE
    return made


def _of_mailboxes(evidence: RowEvidence, share: float) -> F64:
    """What mailboxes say of names, if this share of real ones resembles the name; shape (n, 7)."""
    made = np.ones((len(evidence), _CLASSES))
    chance = _open_chance(evidence.chance["email_names"][AGREES])
    agree = _by_chance(max(chance, share), chance)
    made[evidence.email_names == AGREES] *= agree
    made[evidence.email_names == CONFLICTS] *= 1 - agree
    return made


def _open_chance(measured: float) -> float:
    """A chance that was measured on few pairs; neither it nor its opposite is impossible because none of them showed it."""
    return min(max(_LEAST_CHANCE, measured), 1 - _LEAST_CHANCE)


def _by_chance(of_genuine: float, chance: float) -> F64:
    """A rate for genuine rows, and the rate of chance for all others; shape (7,)."""
    rates = np.full(_CLASSES, chance)
    rates[list(GENUINE)] = of_genuine
    return rates
