"""Listings of real site software, looked at again and again: what changes rings, what only moves does not."""

from __future__ import annotations

import contextlib

import pytest

from data.store.store import Store
from tests.synth.page_noise import RENDERERS, injections, watch

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("software", RENDERERS)
def test_every_kind_of_change_rings_and_the_noise_of_the_page_does_not(software, tmp_path):
    looks = 3 * len(injections(software)) + 6
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        outcome = watch(software, 1, looks, store, inject=True)
    assert outcome.injected >= len(injections(software)) - 1
    assert outcome.missed == []
    assert outcome.rang == []
