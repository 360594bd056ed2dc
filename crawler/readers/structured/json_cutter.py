"""A stream of JSON text of any size cut into values small enough to parse; what these mean is left to its taker.

Values of at most `max_size` bytes are taken whole. A larger container is entered: its children are then the values, down to the
level where they are small. So an array of ten million patients is one row after another, wherever in the document it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol

import orjson

from crawler.readers.core.encoding import BLOCK
from crawler.readers.core.regex_compat import possessive
from crawler.readers.structured.json_values import BLANK, Signs, Trust, may_repeat, members, parse, text_of, unescape

MAX_SPINE = 10_000
"""Containers that may be entered inside each other."""
# guesses at where values end that may fail before none is made any more in this container
MAX_MISSES = 3

_KEY = possessive(rb'(?:"((?:[^"\\]|\\.)*+)"|([\w$.-]++))\s*+:\s*+\Z', re.DOTALL)
# from the end of a child to the first key of the next: what stands between all of them where a program wrote them
_SEAM = re.compile(rb'[}\]]\s*+,\s*+[{\[]\s*+(?:"[^"\\]{0,100}+"\s*+:)?')
_OPENING = b"{["
_PAIR = {0x7D: 0x7B, 0x5D: 0x5B}
# a long string is cut behind one of these, where there is one within its last bytes
_EDGE = re.compile(rb"[\s,;|](?=[\w@.+-])")
_EDGE_WINDOW = 4096
# brackets that are looked back over for the one that a closing bracket belongs to
_LOOK_BACK = 8


class Taker(Protocol):
    """Who gets the values."""

    def document(self, value: Any, trust: Trust, text: bytes) -> None:
        """A value that stands by itself."""
        ...

    def children(self, values: Any, trust: Trust, text: bytes) -> None:
        """Some children of the container that was entered last: a list or an object."""
        ...

    def enter(self, key: str | None) -> None:
        """What follows is inside a container, which has this key where it stands in an object."""
        ...

    def leave(self) -> None:
        """The container that was entered last is over."""
        ...

    def rest(self, text: bytes) -> None:
        """Text that is part of no value, or of one too long for memory, as UTF-8."""
        ...


class Cutter:
    """Takes blocks of text in order.

    Attributes:
        cut: the text ended inside a value. faults: brackets that fit nowhere. long: values too long for memory.
    """

    def __init__(self, taker: Taker, max_size: int, quote: bytes = b'"') -> None:
        """Begin.

        Args:
            taker: gets the values.
            max_size: bytes of a value that is taken whole.
            quote: around strings, mostly.
        """
        self.taker = taker
        self._signs = Signs.of(quote)
        self.max_size = max_size
        self.cut = False
        self.faults = self.long = 0
        self._data = b""
        # where the next value begins, and how far was looked
        self._begin = self._at = 0
        self._spine = 0
        # of each open container: its bracket, its place, and where the last child that is a container ended
        self._kinds = bytearray()
        self._opened: list[int] = []
        self._ended: list[int] = []
        self._inside_long = False
        self._seam = b""
        self._misses = 0

    def feed(self, block: bytes) -> None:
        """Take the next bytes."""
        self._data += block
        if self._inside_long and not self._leave_long(last=False):
            return
        if not self._guess():
            self._scan(last=False)
            self._settle()
        self._shift()

    def finish(self) -> None:
        """The text is over."""
        if self._inside_long:
            self._leave_long(last=True)
        self._scan(last=True)
        self._settle()
        if len(self._opened) > self._spine:
            self.cut = True
            _, start = self._key_before(self._opened[self._spine])
            if self._spine:
                self._children(start)
            else:
                self._rest(self._data[self._begin : start])
            self._emit(self._data[start:])
        elif self._spine:
            self.cut = True
            self._children(len(self._data))
        else:
            self._rest(self._data[self._begin :])
        for _ in range(self._spine):
            self.taker.leave()
        self._spine = 0

    # --- looking for brackets ------------------------------------------------------------------------------------

    def _scan(self, *, last: bool) -> None:
        data, at, end = self._data, self._at, len(self._data)
        signs, run, quote = self._signs, self._signs.run.match, self._signs.quote
        kinds, opened, ended = self._kinds, self._opened, self._ended
        while True:
            at = run(data, at).end()  # type: ignore[union-attr] # it matches no byte at least
            if at == end:
                break
            sign = data[at]
            if sign == quote:
                # one that is damaged, or that may go on in the next block
                found = (signs.last_end if last else signs.end).match(data, at + 1)
                if found is None:
                    if not last:
                        break
                    at = end
                else:
                    at = found.end()
            elif sign in _OPENING:
                kinds.append(sign)
                opened.append(at)
                at += 1
                ended.append(at)
            else:
                at = self._close(at)
        self._at = at

    def _close(self, at: int) -> int:
        """A closing bracket; returns where to look on."""
        want = _PAIR[self._data[at]]
        kinds = self._kinds
        if not kinds:
            self.faults += 1
            return at + 1
        if kinds[-1] != want:
            self.faults += 1
            low = max(self._spine - 1, len(kinds) - _LOOK_BACK, 0)
            place = kinds.rfind(want, low)
            if place < 0:
                return at + 1
            while len(kinds) > place + 1:
                self._pop(at)
        self._pop(at)
        return at + 1

    def _pop(self, at: int) -> None:
        level = len(self._kinds) - 1
        if level < self._spine:
            # the innermost of those that were entered
            self._children(at)
            self._begin = at + 1
            self._spine = level
            self._misses = 0
            self.taker.leave()
        self._kinds.pop()
        start = self._opened.pop()
        self._ended.pop()
        if self._ended:
            self._ended[-1] = at + 1
        elif self._begin <= start:
            self._rest(self._data[self._begin : start])
            text = self._data[start : at + 1]
            self._begin = at + 1
            value, trust = parse(text)
            self.taker.document(value, trust, text)

    # --- values out ----------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Give out the children that are whole, and enter what has become too large."""
        while True:
            if len(self._opened) == self._spine:
                if self._spine:
                    self._children(self._commas(len(self._data)))
                break
            if self._spine:
                self._learn()
                self._children(self._commas(self._opened[self._spine]))
            if len(self._data) - self._begin <= self.max_size:
                return
            before = self._spine
            self._enter()
            if self._spine == before and self._opened:
                # what is in front of the container is too long
                self.long += bool(self._data[self._begin : self._opened[before]].strip(BLANK))
                self._rest(self._data[self._begin : self._opened[before]])
                self._begin = self._opened[before]
        if len(self._data) - self._begin > self.max_size:
            self._give_up()

    def _commas(self, end: int) -> int:
        """Behind the last comma between children before a place."""
        found = self._signs.commas.match(self._data, max(self._begin, self._ended[self._spine - 1]), end)
        place = found.end() if found else self._begin
        return max(place, self._ended[self._spine - 1], self._begin)

    def _children(self, end: int) -> None:
        """Give out the children between the place where the next begins and `end`."""
        text = self._data[self._begin : end]
        self._begin = max(self._begin, end)
        self._emit(text)

    def _emit(self, text: bytes) -> None:
        if not text.strip(BLANK):
            return
        if not self._spine:
            value, trust = parse(text)
            self.taker.document(value, trust, text)
            return
        for values, trust, part in members(text, bytes(self._kinds[self._spine - 1 : self._spine]), self._signs):
            self.taker.children(values, trust, part)

    def _enter(self) -> None:
        """Enter the containers that are open, down to what is small again."""
        size = len(self._data)
        while self._spine < len(self._opened) and size - self._opened[self._spine] > self.max_size // 2:
            place = self._opened[self._spine]
            key, start = self._key_before(place)
            if self._spine:
                self._children(start)
            else:
                self._rest(self._data[self._begin : start])
            self._begin = place + 1
            self._spine += 1
            self.taker.enter(key)
            self._misses, self._seam = 0, b""
            if self._spine < len(self._opened):
                self._children(self._commas(self._opened[self._spine]))
            if self._spine > MAX_SPINE:
                # nobody writes so: what follows is read as if it stood by itself
                self.faults += 1
                for _ in range(self._spine):
                    self.taker.leave()
                self._forget()
                return

    def _forget(self) -> None:
        self._spine = 0
        self._kinds.clear()
        self._opened.clear()
        self._ended.clear()
        self._rest(self._data[self._begin : self._at])
        self._begin = self._at

    def _key_before(self, place: int) -> tuple[str | None, int]:
        """The key of a container that opens at a place, and where its key begins."""
        low = max(self._begin, place - 1024)
        found = _KEY.search(self._data, low, place) if self._data[low:place].rstrip().endswith(b":") else None
        if found is None:
            return None, place
        return unescape(text_of(found[1] if found[1] is not None else found[2])), found.start()

    def _rest(self, text: bytes) -> None:
        if text.strip(BLANK):
            self.taker.rest(text_of(text).encode("utf-8", "replace") + b"\n")

    # --- strings without end -------------------------------------------------------------------------------------

    def _give_up(self) -> None:
        """No bracket and no comma for too long: it is text, mostly of one string."""
        self.long += bool(self._data[self._begin :].strip(BLANK))
        self._rest(self._data[self._begin : self._at])
        self._begin = self._at
        if self._data[self._at : self._at + 1] == bytes((self._signs.quote,)):
            self._begin = self._at = self._at + 1
            self._inside_long = True
            self._leave_long(last=False)

    def _leave_long(self, *, last: bool) -> bool:
        """Give out a long string as text as far as it is here; True if it ends here."""
        found = (self._signs.last_end if last else self._signs.end).match(self._data, self._begin)
        if found is None and not last:
            # no value is torn, and what decides whether the string ends may be still to come: an escape, or a quote and
            # what is behind it
            low = max(self._begin, len(self._data) - _EDGE_WINDOW)
            edges = [each.end() for each in _EDGE.finditer(self._data, low)]
            end = edges[-1] if edges else max(self._begin, len(self._data) - 12)
            if not edges and (back := self._data.rfind(b"\\", max(self._begin, end - 12), end)) >= 0:
                end = back
        else:
            end = found.end() - 1 if found else len(self._data)
        part = unescape(text_of(self._data[self._begin : end])).encode("utf-8", "replace")
        if part:
            self.taker.rest(part)
        if found is None and not last:
            self._begin = self._at = end
            self._shift()
            return False
        self._begin = self._at = min(end + 1, len(self._data))
        self._inside_long = False
        return True

    def _shift(self) -> None:
        """Forget what was given out."""
        by = self._begin
        if not by:
            return
        self._data = self._data[by:]
        self._begin, self._at = 0, max(0, self._at - by)
        self._opened[self._spine :] = [place - by for place in self._opened[self._spine :]]
        self._ended = [max(0, place - by) for place in self._ended] if self._spine < 64 else self._shifted(by)

    def _shifted(self, by: int) -> list[int]:
        # only the innermost that was entered, and what is inside it, is looked at again
        low = self._spine - 1
        return [*([0] * low), *(max(0, place - by) for place in self._ended[low:])]

    # --- a guess in place of looking -----------------------------------------------------------------------------

    def _learn(self) -> None:
        if self._kinds[self._spine - 1] == 0x5B and self._ended[self._spine - 1] > self._begin:
            found = _SEAM.match(self._data, self._ended[self._spine - 1] - 1)
            self._seam = found[0] if found else b""

    def _guess(self) -> bool:
        """Cut where the last child seems to end, if all before that then parses.

        Text that parses as an array ends at a bracket of its own level: what a guess gives is always right. That makes
        looking for brackets needless where a program wrote all children alike.
        """
        if not self._spine or not self._seam or self._misses >= MAX_MISSES or self._inside_long:
            return False
        if self._kinds[self._spine - 1] != 0x5B or len(self._data) - self._begin > 2 * BLOCK:
            return False
        at = self._data.rfind(self._seam, self._begin)
        if at < 0:
            self._misses += 1
            return False
        text = self._data[self._begin : at + 1].strip(BLANK)
        try:
            values = orjson.loads(b"[%b]" % text)
        except orjson.JSONDecodeError:
            self._misses += 1
            return False
        if may_repeat(text, values):
            return False
        self._misses = 0
        self._begin = self._at = at + 1
        del self._kinds[self._spine :], self._opened[self._spine :], self._ended[self._spine :]
        self._ended[self._spine - 1] = at + 1
        self.taker.children(values, Trust.GOOD, text)
        return True


def blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of one size, so that the same text is always cut alike."""
    waiting: list[bytes] = []
    have = 0
    for piece in pieces:
        waiting.append(piece)
        have += len(piece)
        if have >= BLOCK:
            data = b"".join(waiting)
            for start in range(0, have - BLOCK + 1, BLOCK):
                yield data[start : start + BLOCK]
            data = data[have - have % BLOCK :]
            waiting, have = [data], len(data)
    if have:
        yield b"".join(waiting)
