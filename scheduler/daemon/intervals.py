"""How often each source is read: as its file says, sooner if its listing would roll over, or where it helps most.

With `daemon.cadence = "learned"` all sources share the requests that their `every` allow together. A post waits for half an
interval on average; the sum of all waits, each with the weight of its source, is smallest if the interval of a source goes
with one over the square root of its weight and its posting rate. No source is given up, and none is read more often
than its file allows. How seldom a quiet one is read depends on how much of all posts came in surges, whose beginning
nobody can know.

Source: the square-root rule of polling; Cho and Garcia-Molina 2003, "Effective page refresh policies for web crawlers".
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from data.sources.definition import Definition
from data.store.sources import Pace

# A listing is read again when, at the present rate, this share of its rows would be new.
ROLLED = 0.5
# Without `fastest` and `slowest` in its file, a source is read this many times as often as `every`, or as seldom.
FASTEST, SLOWEST = 4, 2
MIN_INTERVAL = timedelta(minutes=1)
# Where all posts come in surges, nobody knows which quiet source begins one, and none is read more seldom than so.
SLOWEST_OF_SURGES = 1.1
# Posts a day above which a source says no more of others than one with so many.
BUSY = 10.0
# A source that an incident names counts so many times its `weight`: it is read about twice as often.
TIED = 4.0
# Posts a day that every source is taken to have, so that a quiet one keeps its share.
LEAST_RATE = 0.2
_STEPS = 40


@dataclass(frozen=True, slots=True)
class Price:
    """What all sources together decide of the interval of each.

    Attributes:
        request: the higher, the fewer requests are made.
        slowest: as many times its `every` is a quiet source left alone, unless its file says `slowest`.
    """

    request: float
    slowest: float = SLOWEST


def bounds(definition: Definition, slowest_times: float = SLOWEST) -> tuple[float, float]:
    """The shortest and the longest interval that a source allows, in days."""
    every = _days(definition.every)
    fastest = _days(definition.fastest) if definition.fastest else max(every / FASTEST, _days(MIN_INTERVAL))
    slowest = _days(definition.slowest) if definition.slowest else every * slowest_times
    return min(fastest, every), max(slowest, every)


def before_rolling(pace: Pace) -> float:
    """Days in which half of the listing becomes new, at the faster of the usual and the recent rate; infinite if unknown."""
    rate = max(pace.usual, pace.recent)
    return ROLLED * pace.rows / rate if rate > 0 and pace.rows > 0 else math.inf


def interval_of(
    definition: Definition, pace: Pace | None, price: Price | None = None, *, tied: bool = False
) -> timedelta:
    """How often a source is read.

    Args:
        definition: of the source.
        pace: how fast it posts; None if that is not known yet.
        price: of a request, as `request_price` gives it; None reads the source as its file says.
        tied: whether an incident names the source.
    """
    if pace is None:
        return definition.every
    fastest, slowest = bounds(definition, price.slowest if price is not None else SLOWEST)
    longest = _days(definition.every)
    if price is not None:
        longest = min(slowest, max(fastest, _wished(definition, pace, tied=tied) * price.request))
    return timedelta(days=max(fastest, min(longest, before_rolling(pace))))


def request_price(definitions: Iterable[Definition], paces: Mapping[str, Pace], tied: Collection[str] = ()) -> Price:
    """The price at which all sources together make as many requests as their `every` allow.

    The higher it is, the fewer requests are made. Sources whose pace is not known keep their `every`; `tied` are named by
    incidents.
    """
    known = [(each, paces[each.name]) for each in definitions if each.enabled and each.name in paces]
    budget = sum(1 / _days(each.every) for each, _ in known)
    if not known:
        return Price(1.0)
    slowest_times = _slowest_times([pace for _, pace in known])
    wished = [
        (_wished(each, pace, tied=each.name in tied), *bounds(each, slowest_times), before_rolling(pace))
        for each, pace in known
    ]
    low, high = 1e-6, 1e6
    for _ in range(_STEPS):
        price = math.sqrt(low * high)
        spent = sum(
            1 / max(fastest, min(slowest, max(fastest, wish * price), rolling))
            for wish, fastest, slowest, rolling in wished
        )
        low, high = (price, high) if spent > budget else (low, price)
    return Price(high, slowest_times)


def _slowest_times(paces: Sequence[Pace]) -> float:
    """How many times its `every` a quiet source may be left alone: the less, the more of what sources post comes in surges.

    A busy source counts no more than one of `BUSY` posts a day: it is read often anyway, and says little of quiet ones.
    """
    surged = usual = 0.0
    for pace in paces:
        weight = min(1.0, BUSY / pace.usual) if pace.usual > 0 else 1.0
        usual += weight * pace.usual
        surged += weight * min(pace.surged, pace.usual)
    return SLOWEST + (SLOWEST_OF_SURGES - SLOWEST) * (surged / usual if usual else 0.0)


def _wished(definition: Definition, pace: Pace, *, tied: bool) -> float:
    """The interval of a source at the price 1."""
    weight = definition.weight * (TIED if tied else 1.0)
    return 1 / math.sqrt(weight * ((pace.usual + pace.recent) / 2 + LEAST_RATE))


def _days(span: timedelta) -> float:
    return span.total_seconds() / 86400
