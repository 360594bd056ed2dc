"""Listings of real site software, read again and again: each real change causes an event, volatile fields do not."""

from __future__ import annotations

import contextlib

import pytest

from data.store.store import Store
from tests.synth.page_noise import RENDERERS, injections, watch

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("software", RENDERERS)
def test_every_kind_of_change_causes_an_event_and_volatile_fields_do_not(software, tmp_path):
    reads = 3 * len(injections(software)) + 6
    with contextlib.closing(Store.open(tmp_path / "t.db")) as store:
        outcome = watch(software, 1, reads, store, inject=True)
    assert outcome.injected >= len(injections(software)) - 1
    assert outcome.missed == []
    assert outcome.rang == []
