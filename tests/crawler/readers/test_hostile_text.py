"""Pages and mail with a few changed bytes. Samples that are made to break a reader are in `test_hostile`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.readers.core.limits import Limits
from crawler.sandbox.sandbox import Sandbox
from tests.crawler.readers.frames import read, read_in_sandbox
from tests.crawler.readers.mail.test_mail import ROWS, message
from tests.crawler.readers.test_any_bytes import check

LIMITS = Limits(max_output=2**22, max_entries=50, max_line=4096, max_columns=64)


MAIL = message(html="<p>a</p><table><tr><td>a<td title='b'>c</table>", attach=True).as_bytes()
PAGE = (
    b"<!doctype html><table><tr><th>a</th><th>b</th></tr><tr><td x='1'>c</td><td>d</td></tr></table><script>e</script>"
)
BOX = b"From a@b.example Wed Mar 12 10:00:00 1975\n" + MAIL.replace(b"\r\n", b"\n") + b"\n"


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_mail_and_pages_make_no_reader_fail(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([MAIL, PAGE, BOX + BOX]))
    changed = bytearray(whole)
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        changed[at] = data.draw(st.integers(0, 255) | st.sampled_from(b"<>\"'=-\n;:"))
    low = data.draw(st.integers(0, 200))
    sample = bytes(changed[low if data.draw(st.booleans()) else 0 : data.draw(st.integers(1, len(whole)))])
    found = read(sample, LIMITS, cut=data.draw(st.integers(1, 300)))
    check(found, len(sample))
    assert "reader" not in found.all_problems


@pytest.mark.slow
def test_mail_and_pages_are_read_in_the_sandbox_as_outside() -> None:
    with Sandbox(Limits(wall=30)) as sandbox:
        for sample in (
            MAIL,
            BOX,
            PAGE,
            b"Content-Type: text/csv; charset=mac-roman\nFrom: a\nTo: b\n\n" + b"a;b\nc;d\n",
        ):
            inside, outside = read_in_sandbox(sandbox, sample), read(sample)
            assert [(each.format, each.rows, each.text, each.problems) for each in inside.walk()] == [
                (each.format, each.rows, each.text, each.problems) for each in outside.walk()
            ]
        assert ROWS in [member.rows for member in read_in_sandbox(sandbox, MAIL).walk()]
