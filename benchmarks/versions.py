"""Changes of known posts: how many are told, and how often noise rings, beside the rule that the public trackers use
(same title, cut to 90 characters, is the same post) over the same pages."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from pathlib import Path

from data.store.store import Store
from tests.synth.page_noise import RENDERERS, Outcome, watch


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--looks", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=100)
    options = parser.parse_args(arguments)
    print(f"{'software':22} {'re-fetches':>10} {'false alarms':>12} {'changes':>8} {'told':>6}   trackers' rule tells")
    total = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        for software in RENDERERS:
            outcome = Outcome()
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                with contextlib.closing(Store.open(Path(folder) / f"{software}-{seed}.db")) as store:
                    outcome.add(watch(software, seed, options.looks, store, inject=True))
                with contextlib.closing(Store.open(Path(folder) / f"{software}-{seed}-quiet.db")) as store:
                    outcome.add(watch(software, seed, options.looks, store, inject=False))
            print(
                f"{software:22} {outcome.looks:10} {outcome.false:12} {outcome.injected:8} {outcome.told:6}"
                f"   {outcome.renamed} (as new posts)"
            )
            total.add(outcome)
    print(
        f"{'all':22} {total.looks:10} {total.false:12} {total.injected:8} {total.told:6}   {total.renamed}; "
        f"told {total.told / total.injected:.1%}, {1000 * total.false / total.looks:.2f} false in 1,000"
    )
    for missed in sorted(set(total.missed)):
        print(f"missed: {missed}")
    for rang in sorted(set(total.rang))[:20]:
        print(f"noise rang: {rang}")


if __name__ == "__main__":
    main()
