"""When posts are seen: fixed intervals beside the learned cadence, at equal requests, in three invented worlds.

    python -m benchmarks cadence [--sources=1000] [--days=30] [--every=60]

Worlds: `heavy` (few sources post most), `daily` (posts follow the hours of the day), `bursts` (quiet sources that post a
hundred times in an evening). Each source is visited at the times that a policy gives; what it posted since the last visit
is seen then, and waited that long. Posts that rolled off the listing (25 rows) before a visit are missed.
"""

from __future__ import annotations

import heapq
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from data.sources.definition import Definition
from data.store.sources import RECENT, USUAL, Pace, averaged, in_surge
from scheduler.daemon.intervals import Price, interval_of, request_price

ROWS = 25
START = datetime(2026, 1, 1, tzinfo=UTC)
# Days at the beginning in which rates are learned; posts of this time are not counted.
LEARNING = 3.0
# Days between two reckonings of the price of a request.
PRICE_EVERY = 0.25
POLICIES = ("every", "learned")


@dataclass
class Outcome:
    """Of one policy in one world: visits, the waits of posts in minutes, and posts that were missed."""

    visits: int
    waits: np.ndarray
    missed: int


def worlds(sources: int, days: float, seed: int = 1) -> dict[str, list[np.ndarray]]:
    """World -> times of the posts of each source, in days, sorted."""
    draw = np.random.default_rng(seed)
    # half of the posts come from about a twentieth of the sources
    rates = np.clip(0.3 * (draw.pareto(0.9, sources) + 0.05), 0.02, 400)
    found: dict[str, list[np.ndarray]] = {"heavy": [], "daily": [], "bursts": []}
    for rate in rates:
        times = np.sort(draw.uniform(0, days, draw.poisson(rate * days)))
        found["heavy"].append(times)
        # three quarters of a day's posts come around the same hour
        phase = draw.uniform()
        wanted = np.sort(draw.uniform(0, days, draw.poisson(2 * rate * days)))
        kept = draw.uniform(size=len(wanted)) < (1 + 0.9 * np.sin(2 * np.pi * (wanted - phase))) / 2
        found["daily"].append(wanted[kept])
        # the same posts a day, but most of them in evenings of about two hours
        evenings = draw.uniform(0, days, draw.poisson(max(rate * days / 100, 0.5)))
        burst = [begin + draw.exponential(0.05, draw.poisson(80)) for begin in evenings]
        quiet = draw.uniform(0, days, draw.poisson(0.2 * rate * days))
        every = np.sort(np.concatenate([quiet, *burst]))
        found["bursts"].append(every[every < days])
    return found


def simulate(posts: list[np.ndarray], days: float, every: timedelta, policy: str) -> Outcome:
    """Visit all sources as a policy says."""
    number = len(posts)
    definitions = [
        Definition(name=f"s{at}", platform="feed", url="https://s.example/feed", every=every) for at in range(number)
    ]
    averages = [[0.0, 0.0, 0.0, 0.0, 0.0] for _ in range(number)]
    last, position, paces = [0.0] * number, [0] * number, dict[str, Pace]()
    waits: list[np.ndarray] = []
    visits = missed = 0
    price: Price | None = None
    reckoned = 0.0
    interval = every / timedelta(days=1)
    queue = [(interval * at / number, at) for at in range(number)]
    heapq.heapify(queue)
    while queue and queue[0][0] < days:
        now, at = heapq.heappop(queue)
        end = int(np.searchsorted(posts[at], now, side="right"))
        new = end - position[at]
        if now > LEARNING:
            visits += 1
            missed += max(0, new - ROWS)
            if new:
                waits.append(now - posts[at][position[at] : end])
        state, passed = averages[at], now - last[at]
        if passed > 0:
            expected = state[0] / state[1] * passed if state[1] else 0.0
            state[4], _ = averaged(state[4], state[1], in_surge(min(new, ROWS), expected, last[at]), passed, USUAL)
            state[0], state[1] = averaged(state[0], state[1], min(new, ROWS), passed, USUAL)
            state[2], state[3] = averaged(state[2], state[3], min(new, ROWS), passed, RECENT)
            paces[f"s{at}"] = Pace(START, now, state[0] / state[1], state[2] / state[3], ROWS, state[4] / state[1])
        last[at], position[at] = now, end
        if policy == "learned" and now > LEARNING / 3 and now >= reckoned:
            price, reckoned = request_price(definitions, paces), now + PRICE_EVERY
        step = interval
        if policy != "fixed":
            step = interval_of(definitions[at], paces.get(f"s{at}"), price) / timedelta(days=1)
        heapq.heappush(queue, (now + step, at))
    return Outcome(visits, np.concatenate(waits) * 24 * 60 if waits else np.zeros(0), missed)


def compare(sources: int, days: float, every: timedelta, seed: int = 1) -> dict[str, dict[str, Outcome]]:
    """World -> policy -> outcome; `equal` has fixed intervals with as many requests as the learned cadence made."""
    found = {}
    for name, posts in worlds(sources, days, seed).items():
        learned = simulate(posts, days, every, "learned")
        ratio = sources * (days - LEARNING) / (every / timedelta(days=1)) / learned.visits
        found[name] = {
            "learned": learned,
            "equal": simulate(posts, days, every * ratio, "fixed"),
            "every": simulate(posts, days, every, "every"),
        }
    return found


def main() -> None:
    """Print the waits of posts for each world and policy."""
    given = dict(each.removeprefix("--").split("=") for each in sys.argv[1:])
    sources, days = int(given.get("sources", 1000)), float(given.get("days", 30))
    every = timedelta(minutes=float(given.get("every", 60)))
    began = time.process_time()
    print(f"{sources} sources, {days:g} days, every {every}, listings of {ROWS} rows")
    for name, outcomes in compare(sources, days, every).items():
        fixed = outcomes["equal"]
        for policy, outcome in outcomes.items():
            mean, late = outcome.waits.mean(), np.percentile(outcome.waits, 95)
            print(
                f"{name:7} {policy:8} {outcome.visits:9,} visits  {len(outcome.waits):8,} posts seen"
                f"  wait mean {mean:6.1f} min, p95 {late:6.1f} min  {outcome.missed:7,} missed"
                + (
                    f"   ({1 - mean / fixed.waits.mean():+.0%} mean, {1 - late / np.percentile(fixed.waits, 95):+.0%} p95)"
                    if policy != "equal"
                    else ""
                )
            )
    print(f"{time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
