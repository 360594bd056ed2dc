"""A reader that is too slow for its bytes is given up; its bytes still go to the byte pass, what follows is read."""

from __future__ import annotations

import io
import itertools
import zipfile
from collections.abc import Callable, Iterator

import orjson
import pytest

from crawler.readers.core.limits import Limits, TooSlow
from crawler.readers.core.members import read_member, read_sample
from crawler.readers.core.output import Output
from crawler.readers.core.registry import readers
from crawler.readers.core.source import Source
from crawler.readers.core.speed_floor import MIN_SPEED, SLOWER, SpeedFloor
from tests.crawler.readers.frames import Consumer

TABLE = b"nom;prenom;naissance\n" + b"".join(b"Durand%d;Anne;12/03/1975\n" % number for number in range(4000))


def clock_of(step: float) -> Callable[[], float]:
    """A clock that goes on by a step each time that it is asked."""
    ticks = itertools.count()
    return lambda: next(ticks) * step


def frames(data: bytes, clock: Callable[[], float]) -> list[tuple[bytes, bytes]]:
    sent: list[tuple[bytes, bytes]] = []
    chunks: Iterator[bytes] = (data[start : start + 16_384] for start in range(0, len(data), 16_384))
    read_sample(chunks, lambda kind, payload: sent.append((kind, payload)), Limits(), clock=clock)
    return sent


def of_kind(sent: list[tuple[bytes, bytes]], kind: bytes) -> list[dict[str, object]]:
    return [orjson.loads(payload) for each, payload in sent if each == kind]


def test_a_slow_reader_is_given_up_and_says_so() -> None:
    sent = frames(TABLE, clock_of(4.0))
    assert [problem["code"] for problem in of_kind(sent, b"P")] == ["slow"]
    assert of_kind(sent, b"E") == [{"bytes": len(TABLE), "complete": False}]


def test_a_reader_at_speed_is_not_given_up() -> None:
    sent = frames(TABLE, clock_of(1e-6))
    assert of_kind(sent, b"P") == []
    assert of_kind(sent, b"E") == [{"bytes": len(TABLE), "complete": True}]


def test_members_beside_a_slow_one_are_read_and_its_bytes_reach_the_byte_pass() -> None:
    """Only the time of a member's own reader counts, and a member that was given up still sends all of its bytes."""
    packed = io.BytesIO()
    names = ["before.csv", "slow.csv", "after.csv"]
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, TABLE)
    state = {"slow": False, "time": 0.0}

    def clock() -> float:
        state["time"] += 4.0 if state["slow"] else 1e-6
        return float(state["time"])

    sent: list[tuple[bytes, bytes]] = []

    def take(kind: bytes, payload: bytes) -> None:
        sent.append((kind, payload))
        if kind == b"M":
            state["slow"] = orjson.loads(payload)["name"] == "slow.csv"
        elif kind == b"E":
            state["slow"] = False

    read_sample(iter([packed.getvalue()]), take, Limits(), clock=clock)
    assert [frame["complete"] for frame in of_kind(sent, b"E")] == [True, False, True, True]
    raw = b"".join(payload for kind, payload in sent if kind == b"B")
    assert raw.count(TABLE) == 3


@pytest.mark.parametrize(("step", "given_up"), [(0.02, True), (1e-6, False)])
def test_very_many_tiny_members_are_given_up_and_what_follows_is_read(step: float, given_up: bool) -> None:
    """Each of them is fast enough by itself, and even the last of their bytes goes to the byte pass."""
    mail = (
        b'From: a@example.org\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="a"\n\n'
        + b"--a\n\nx\n" * 3000
        + b"--a\n\nthe last\n--a--\n"
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("many.eml", mail)
        archive.writestr("after.csv", TABLE)
    consumer, time, depth = Consumer(), 0.0, 0

    def clock() -> float:
        nonlocal time
        # only within the parts of the mail
        time += step if depth == 3 else 0.0
        return time

    def take(kind: bytes, payload: bytes) -> None:
        nonlocal depth
        depth += (kind == b"M") - (kind == b"E")
        consumer.take(kind, payload)

    read_sample(iter([packed.getvalue()]), take, Limits(), clock=clock)
    assert consumer.sample is not None
    [many, after] = consumer.sample.members
    assert ("slow" in many.problems) == given_up
    assert many.complete != given_up
    assert (len(many.members) < 3001) == given_up
    assert bytes(many.raw) == mail
    assert after.complete
    assert len(after.rows) == 4001


def test_a_reader_that_passes_no_point_of_control_is_interrupted() -> None:
    seconds = iter([0.0, 0.0, 0.0, 8.0, 12.0, 12.0])
    floor = SpeedFloor(10.0, lambda: next(seconds))
    floor.begin_member()
    floor.begin_reader("delimited")
    floor.interrupt()
    with pytest.raises(TooSlow) as raised:
        floor.interrupt()
    assert raised.value.depth == 1


def test_a_reader_that_passes_points_of_control_is_not_interrupted() -> None:
    seconds = iter([0.0, 0.0, 0.0, 11.0, 12.0, 13.0])
    floor = SpeedFloor(10.0, lambda: next(seconds))
    floor.begin_member()
    floor.begin_reader("delimited")
    floor.add(20 * MIN_SPEED, 1)
    floor.check(1)
    floor.interrupt()


def test_a_sample_whose_format_takes_too_long_to_recognise_is_left_to_the_byte_pass() -> None:
    consumer, seconds = Consumer(), 0.0
    out = Output(consumer.take, Limits(), lambda: seconds)

    def stuck(head: bytes, name: str) -> None:
        nonlocal seconds
        for _ in range(20):
            seconds += 1
            # what the timer of processor time does
            out.speed.interrupt()

    source = Source(iter([TABLE]))
    read_member(source, out, stuck)
    out.finish()
    assert consumer.sample is not None
    assert (consumer.sample.format, consumer.sample.problems) == ("unknown", ["slow"])
    assert consumer.sample.bytes == len(TABLE)
    assert not consumer.sample.complete
    assert 10 < seconds < 12


def test_formats_with_a_floor_of_their_own_exist() -> None:
    assert set(SLOWER) <= {reader.FORMAT for reader in readers()}
