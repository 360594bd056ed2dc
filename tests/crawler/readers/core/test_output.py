from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.readers.core.limits import MAX_TEXT, Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source


def test_long_text_is_never_divided_inside_a_character():
    """Found by fuzzing: a line longer than a frame made a reader fail."""
    for before in range(4):
        sent: list[bytes] = []
        out = Output(lambda _kind, data, sent=sent: sent.append(data), Limits())
        text = (" " * before + "é€😀" * (MAX_TEXT // 4)).encode()
        out.begin("", "text")
        sent.clear()
        out.text(text)
        assert b"".join(sent) == text
        assert len(sent) > 1
        for frame in sent:
            assert len(frame) <= MAX_TEXT
            frame.decode()
    # the same for bytes that are not valid UTF-8
    out.text(b"\x80" * (3 * MAX_TEXT))


steps = st.lists(
    st.tuples(st.sampled_from(["peek", "read", "piece", "skip", "read here"]), st.integers(0, 40)), max_size=30
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 50), steps)
def test_bytes_that_are_put_back_are_read_again_and_observed_once(
    data: bytes, cut: int, plan: list[tuple[str, int]]
) -> None:
    """However parts of a source are read as sources of their own: nothing is lost, observers see all bytes in order."""
    source = Source(iter([data[at : at + cut] for at in range(0, len(data), cut)]))
    whole: list[bytes] = []
    source.observe(whole.append)
    came = b""
    for step, size in plan:
        if step == "peek":
            assert source.peek(size) == data[len(came) : len(came) + size]
        elif step == "read":
            came += source.read(size)
        elif step == "piece":
            came += source.piece(size + 1)
        elif step == "skip":
            came += data[len(came) : len(came) + source.skip(size)]
        else:
            inner = Source(iter(source.piece, b""))
            seen: list[bytes] = []
            inner.observe_read(seen.append)
            inner.peek(size // 2)
            taken = inner.read(size)
            inner.peek(3)
            source.put_back(inner.take_rest())
            assert b"".join(seen) == taken
            assert inner.position == inner.bytes == len(taken)
            came += taken
        assert source.position == len(came)
        assert data.startswith(came)
    source.drain()
    assert b"".join(whole) == data
