"""An examiner that hostile bytes have taken over: its answers are refused, or pass without anything that it made up."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from crawler.process.examiner_client import ExaminerClient
from crawler.process.finding_checks import without_identifiers
from crawler.process.frames import pack, receive
from data.case import evidence
from data.errors import ExamineError, TocsinError, WireError
from data.model import Finding
from tests.scheduler.crawls.test_lying_crawl import CANARIES, NUMBERS, finding, lies


@pytest.fixture
def ask() -> Iterator[Any]:
    """Send a sample over a real socket to a thread that answers as it is told; returns what the client makes of it."""
    ours, theirs = socket.socketpair()
    answers: list[bytes] = []

    def examine() -> None:
        while True:
            try:
                kind, _ = receive(theirs)
            except (EOFError, OSError):
                return
            if kind == b"E":
                theirs.sendall(answers.pop())

    thread = threading.Thread(target=examine)
    thread.start()
    client = ExaminerClient(ours)

    def once(kind: bytes, value: Any) -> Finding:
        answers.append(pack(kind, json.dumps(value).encode()))
        return client.examine({"name": "x"}, [b"bytes"])

    yield once
    client.close()
    thread.join(10)
    theirs.close()


@pytest.mark.slow
def test_no_text_of_a_lying_examiner_passes_in_a_finding(ask: Any) -> None:
    _, recipient = evidence.new_identity()
    sound = finding(recipient).to_json()
    whole = ask(b"F", sound)
    assert whole.problems == ("locked: it is encrypted and was not read",)
    assert whole.format == "zip"
    changed = passed = 0
    said: list[str] = []
    for place, lie in lies(sound):
        try:
            found = ask(b"F", lie)
        except (WireError, ExamineError) as error:
            said.append(f"{error} {error.hint}")
            continue
        # as the runner keeps it: without names, which are for the person at the terminal
        shown = json.dumps(without_identifiers(found).to_json(public=True), ensure_ascii=False)
        # the runner replaces ids of clients and releases that it does not know
        known_elsewhere = ("hits.", "lineage.parents.")
        words = [] if place.startswith(known_elsewhere) else [canary for canary in CANARIES if canary in shown]
        assert words == [], (place, words)
        passed += 1
        changed += any(problem.startswith("invalid: ") for problem in found.problems) and not found.complete
    assert passed
    assert said
    assert not any(canary in text for canary in CANARIES for text in said)
    assert changed, "a sentence that is not ours makes the sample incomplete"


@pytest.mark.parametrize("field", ["code", "message", "hint"])
@pytest.mark.parametrize("lie", [*CANARIES, *NUMBERS, None, [CANARIES[0]], {CANARIES[0]: 1}])
def test_no_text_of_a_lying_examiner_passes_in_an_error(ask: Any, field: str, lie: Any) -> None:
    sound = {"code": "ExamineError", "message": "the examiner failed with ValueError", "hint": "run: tocsin doctor"}
    with pytest.raises(TocsinError) as caught:
        ask(b"X", sound | {field: lie})
    shown = f"{type(caught.value).__name__} {caught.value} {caught.value.hint}"
    assert not any(str(canary) in shown for canary in (*CANARIES, *NUMBERS))


def test_a_sound_error_of_the_examiner_is_shown(ask: Any) -> None:
    with pytest.raises(ExamineError, match="the examiner failed with ValueError"):
        ask(b"X", {"code": "ExamineError", "message": "the examiner failed with ValueError", "hint": ""})
    with pytest.raises(WireError):
        ask(b"Q", {})
    with pytest.raises(WireError):
        ask(b"F", [CANARIES[0]])
