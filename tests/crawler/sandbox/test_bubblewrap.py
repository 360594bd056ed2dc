"""The files that a reader can see inside bubblewrap."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from crawler.sandbox.bubblewrap import bubblewrap_arguments


def test_a_reader_sees_code_and_no_other_files() -> None:
    shown = [Path(path) for option, path in pairwise(bubblewrap_arguments()) if option == "--ro-bind"]
    checkout = Path(__file__).parents[3]
    assert not any(path in (*checkout.parents, checkout, Path.home(), *Path.home().parents) for path in shown)
    assert {path.name for path in shown} >= {"crawler", "data", "site-packages"}
