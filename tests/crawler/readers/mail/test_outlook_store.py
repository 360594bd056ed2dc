"""A mailbox that Outlook wrote (of the tests of pst-extractor, MIT), and mailboxes that are damaged."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from tests.crawler.readers.frames import Member, read

SHAPES = Path(__file__).parents[3] / "samples" / "shapes"


@pytest.fixture(scope="module")
def mailbox() -> bytes:
    return lzma.decompress((SHAPES / "65-outlook.ost.xz").read_bytes())


@pytest.fixture(scope="module")
def found(mailbox: bytes) -> Member:
    return read(mailbox)


@pytest.mark.slow
def test_messages_are_text_and_their_bodies_and_attachments_members(found: Member) -> None:
    assert found.format == "pst"
    assert "Day After Thanksgiving Day" in bytes(found.text).decode()
    kinds = {member.format for member in found.members}
    assert {"html", "rtf", "pdf"} <= kinds
    assert any(member.name.endswith(".pdf") for member in found.members)
    # pictures are the only thing that is not read
    assert found.all_problems <= {"unread", "picture"}


@pytest.mark.slow
def test_a_mailbox_that_is_cut_says_so(mailbox: bytes) -> None:
    part = read(mailbox[: len(mailbox) // 3])
    assert not part.all_complete
    assert "cut" in part.problems
    assert "reader" not in part.all_problems


def test_a_header_alone_is_damaged():
    part = read(b"!BDN" + bytes(2000))
    assert part.format == "pst"
    assert "damaged" in part.problems
    assert not part.all_complete
