"""Splits a stream of JSON text of any size into values small enough to parse; a handler decides what they mean.

A value of at most `max_size` bytes is handed over whole. A larger container is *entered*: its children are handed over
instead, and large children are entered in turn. So an array of ten million patients yields one patient after another,
wherever in the document the array is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol

import orjson

from crawler.readers.core.encoding import BLOCK
from crawler.readers.core.regex_compat import possessive
from crawler.readers.structured.json_values import (
    BLANKS_AND_COMMAS,
    StringPatterns,
    Validity,
    decode_json,
    may_repeat_keys,
    parse_children,
    parse_json,
    unescape_string,
)

MAX_ENTERED = 10_000
"""The splitter enters at most this many containers inside each other."""
# after so many wrong guesses in one container, its children are no longer split by guessing
MAX_FAILED_GUESSES = 3

_KEY = possessive(rb'(?:"((?:[^"\\]|\\.)*+)"|([\w$.-]++))\s*+:\s*+\Z', re.DOTALL)
# from the end of a child to the first key of the next one: in the output of a program it is the same for all children
_SEPARATOR = re.compile(rb'[}\]]\s*+,\s*+[{\[]\s*+(?:"[^"\\]{0,100}+"\s*+:)?')
_OPENING = b"{["
_OPENING_OF = {0x7D: 0x7B, 0x5D: 0x5B}
# a long string is split behind one of these characters, if there is one in the last bytes of the window
_SPLIT_POINT = re.compile(rb"[\s,;|](?=[\w@.+-])")
_SPLIT_WINDOW = 4096
_BARE = b"[]{},\t\n\r "
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_CLOSING = b"]}"
# open brackets among which the partner of a mismatched closing bracket is searched
_LOOK_BACK = 8


class ValueHandler(Protocol):
    """Receives what the splitter finds."""

    def handle_document(self, value: Any, validity: Validity, text: bytes) -> None:
        """Take a value that is not part of another value."""
        ...

    def handle_children(self, values: Any, validity: Validity, text: bytes) -> None:
        """Take some children, as a list or an object, of the container that was entered last."""
        ...

    def enter_container(self, key: str | None) -> None:
        """Begin a container whose children follow; `key` is its key in the object around it, if there is one."""
        ...

    def leave_container(self) -> None:
        """End the container that was entered last."""
        ...

    def handle_text(self, text: bytes) -> None:
        """Take text (UTF-8) that belongs to no value, or to a value that is too long for memory."""
        ...


class JsonSplitter:
    """Takes blocks of text in order and hands the values in them to a handler.

    Attributes:
        ended_inside_value: the text ended inside a value.
        mismatched_brackets: how many brackets have no partner.
        long_values: how many values were too long for memory.
    """

    def __init__(self, handler: ValueHandler, max_size: int, quote: bytes = b'"') -> None:
        """Prepare to split one text.

        Args:
            handler: receives the values.
            max_size: a value of up to this many bytes is handed over whole.
            quote: the character that most strings of the text stand in.
        """
        self.handler = handler
        self._patterns = StringPatterns.for_quote(quote)
        self.max_size = max_size
        self.ended_inside_value = False
        self.mismatched_brackets = self.long_values = 0
        self._data = b""
        # where the next value begins, and up to where brackets were found
        self._value_start = self._scanned = 0
        # how many of the open containers were entered: the outermost ones
        self._entered = 0
        # for each open container: its bracket, its position, and the end of its last child that is a container
        self._open_brackets = bytearray()
        self._open_positions: list[int] = []
        self._last_child_ends: list[int] = []
        self._in_long_string = False
        self._separator = b""
        self._failed_guesses = 0

    def feed(self, block: bytes) -> None:
        """Take the next bytes of the text."""
        if not block.translate(None, _BARE):
            block = self._without_empty_containers(block)
        self._data += block
        if self._in_long_string and not self._emit_long_string(last=False):
            return
        if not self._split_by_guess():
            self._scan(last=False)
            self._emit_or_enter()
        self._discard_emitted()

    def _without_empty_containers(self, block: bytes) -> bytes:
        """A block that holds no value at all, without the containers that begin and end in it: 500 MB of brackets are legal."""
        inner = block.translate(None, _NOT_BRACKETS)
        if len(inner) < len(_BARE):
            return block
        first, last = block.index(inner[:1]), block.rindex(inner[-1:]) + 1
        before, after = block[:first], block[last:]
        size = len(inner) + 1
        while len(inner) < size:
            size = len(inner)
            inner = inner.replace(b"[]", b"").replace(b"{}", b"")
            if len(inner) > size * 3 // 4 and size - len(inner) < size // 64:
                # nested so deep that this would take long
                break
        opening = len(inner) - len(inner.rstrip(_OPENING))
        closing = len(inner) - len(inner.lstrip(_CLOSING))
        for many in (opening, closing):
            self.mismatched_brackets += max(0, many - MAX_ENTERED)
        if closing > MAX_ENTERED:
            inner = inner[closing - MAX_ENTERED :]
        if opening > MAX_ENTERED:
            # no program nests so deep
            inner = inner[: MAX_ENTERED - opening]
        # a comma needs a value on each side
        if inner[:1] not in (b"[", b"{") and b"," in before:
            inner = b"[]" + inner
        if inner[-1:] not in (b"]", b"}") and b"," in after:
            inner += b"[]"
        for left in _CLOSING:
            for right in _OPENING:
                inner = inner.replace(bytes((left, right)), bytes((left, 0x2C, right)))
        return before + (inner or b"[]") + after

    def finish(self) -> None:
        """Hand over what is left at the end of the text."""
        if self._in_long_string:
            self._emit_long_string(last=True)
        self._scan(last=True)
        self._emit_or_enter()
        if len(self._open_positions) > self._entered:
            self.ended_inside_value = True
            _, start = self._key_before(self._open_positions[self._entered])
            if self._entered:
                self._emit_children(start)
            else:
                self._emit_text(self._data[self._value_start : start])
            self._parse_and_emit(self._data[start:])
        elif self._entered:
            self.ended_inside_value = True
            self._emit_children(len(self._data))
        else:
            self._emit_text(self._data[self._value_start :])
        for _ in range(self._entered):
            self.handler.leave_container()
        self._entered = 0

    # --- finding brackets ----------------------------------------------------------------------------------------

    def _scan(self, *, last: bool) -> None:
        """Find the brackets in the new bytes; `last` if no more bytes follow."""
        data, at, end = self._data, self._scanned, len(self._data)
        patterns, to_bracket, quote = self._patterns, self._patterns.to_bracket.match, self._patterns.quote
        brackets, opened, ended = self._open_brackets, self._open_positions, self._last_child_ends
        while True:
            at = to_bracket(data, at).end()  # type: ignore[union-attr] # it also matches an empty string
            if at == end:
                break
            char = data[at]
            if char == quote:
                # a string that is damaged, or that may continue in the next block
                found = (patterns.final_string_end if last else patterns.string_end).match(data, at + 1)
                if found is None:
                    if not last:
                        break
                    at = end
                else:
                    at = found.end()
            elif char in _OPENING:
                brackets.append(char)
                opened.append(at)
                at += 1
                ended.append(at)
            else:
                at = self._close_bracket(at)
        self._scanned = at

    def _close_bracket(self, at: int) -> int:
        """Match the closing bracket at a position with an open one; return where to continue."""
        wanted = _OPENING_OF[self._data[at]]
        brackets = self._open_brackets
        if not brackets:
            self.mismatched_brackets += 1
            return at + 1
        if brackets[-1] != wanted:
            self.mismatched_brackets += 1
            low = max(self._entered - 1, len(brackets) - _LOOK_BACK, 0)
            place = brackets.rfind(wanted, low)
            if place < 0:
                return at + 1
            while len(brackets) > place + 1:
                self._close_innermost(at)
        self._close_innermost(at)
        return at + 1

    def _close_innermost(self, at: int) -> None:
        """End the innermost open container at a position; a document that ends here is handed over."""
        level = len(self._open_brackets) - 1
        if level < self._entered:
            # it was entered
            self._emit_children(at)
            self._value_start = at + 1
            self._entered = level
            self._failed_guesses = 0
            self.handler.leave_container()
        self._open_brackets.pop()
        start = self._open_positions.pop()
        self._last_child_ends.pop()
        if self._last_child_ends:
            self._last_child_ends[-1] = at + 1
        elif self._value_start <= start:
            self._emit_text(self._data[self._value_start : start])
            text = self._data[start : at + 1]
            self._value_start = at + 1
            value, validity = parse_json(text)
            self.handler.handle_document(value, validity, text)

    # --- handing over values -------------------------------------------------------------------------------------

    def _emit_or_enter(self) -> None:
        """Hand over the children that are complete, and enter the containers that have become too large."""
        while True:
            if len(self._open_positions) == self._entered:
                if self._entered:
                    self._emit_children(self._after_last_comma(len(self._data)))
                break
            if self._entered:
                self._learn_separator()
                self._emit_children(self._after_last_comma(self._open_positions[self._entered]))
            if len(self._data) - self._value_start <= self.max_size:
                return
            before = self._entered
            self._enter_large_containers()
            if self._entered == before and self._open_positions:
                # the text before the container is too long
                self.long_values += bool(
                    self._data[self._value_start : self._open_positions[before]].strip(BLANKS_AND_COMMAS)
                )
                self._emit_text(self._data[self._value_start : self._open_positions[before]])
                self._value_start = self._open_positions[before]
        if len(self._data) - self._value_start > self.max_size:
            self._begin_long_text()

    def _after_last_comma(self, end: int) -> int:
        """The position behind the last comma between children before `end`."""
        found = self._patterns.to_last_comma.match(
            self._data, max(self._value_start, self._last_child_ends[self._entered - 1]), end
        )
        place = found.end() if found else self._value_start
        return max(place, self._last_child_ends[self._entered - 1], self._value_start)

    def _emit_children(self, end: int) -> None:
        """Hand over the children from the beginning of the next value to `end`."""
        text = self._data[self._value_start : end]
        self._value_start = max(self._value_start, end)
        self._parse_and_emit(text)

    def _parse_and_emit(self, text: bytes) -> None:
        if not text.strip(BLANKS_AND_COMMAS):
            return
        if not self._entered:
            value, validity = parse_json(text)
            self.handler.handle_document(value, validity, text)
            return
        opening = bytes(self._open_brackets[self._entered - 1 : self._entered])
        for values, validity, part in parse_children(text, opening, self._patterns):
            self.handler.handle_children(values, validity, part)

    def _enter_large_containers(self) -> None:
        """Enter the open containers, from the outermost to the last one that is too large."""
        size = len(self._data)
        while (
            self._entered < len(self._open_positions)
            and size - self._open_positions[self._entered] > self.max_size // 2
        ):
            place = self._open_positions[self._entered]
            key, start = self._key_before(place)
            if self._entered:
                self._emit_children(start)
            else:
                self._emit_text(self._data[self._value_start : start])
            self._value_start = place + 1
            self._entered += 1
            self.handler.enter_container(key)
            self._failed_guesses, self._separator = 0, b""
            if self._entered < len(self._open_positions):
                self._emit_children(self._after_last_comma(self._open_positions[self._entered]))
            if self._entered > MAX_ENTERED:
                # no program nests so deep: the text that follows is read as a document of its own
                self.mismatched_brackets += 1
                for _ in range(self._entered):
                    self.handler.leave_container()
                self._forget_containers()
                return

    def _forget_containers(self) -> None:
        self._entered = 0
        self._open_brackets.clear()
        self._open_positions.clear()
        self._last_child_ends.clear()
        self._emit_text(self._data[self._value_start : self._scanned])
        self._value_start = self._scanned

    def _key_before(self, place: int) -> tuple[str | None, int]:
        """The key of the container that opens at `place`, and where the key begins; (None, place) without a key."""
        low = max(self._value_start, place - 1024)
        found = _KEY.search(self._data, low, place) if self._data[low:place].rstrip().endswith(b":") else None
        if found is None:
            return None, place
        return unescape_string(decode_json(found[1] if found[1] is not None else found[2])), found.start()

    def _emit_text(self, text: bytes) -> None:
        if text.strip(BLANKS_AND_COMMAS):
            self.handler.handle_text(decode_json(text).encode("utf-8", "replace") + b"\n")

    # --- very long strings ---------------------------------------------------------------------------------------

    def _begin_long_text(self) -> None:
        """Hand over as text what has had no bracket and no comma for too long; it is mostly one long string."""
        self.long_values += bool(self._data[self._value_start :].strip(BLANKS_AND_COMMAS))
        self._emit_text(self._data[self._value_start : self._scanned])
        self._value_start = self._scanned
        if self._data[self._scanned : self._scanned + 1] == bytes((self._patterns.quote,)):
            self._value_start = self._scanned = self._scanned + 1
            self._in_long_string = True
            self._emit_long_string(last=False)

    def _emit_long_string(self, *, last: bool) -> bool:
        """Hand over the part of a long string that has arrived, as text; True if the string ends in it."""
        pattern = self._patterns.final_string_end if last else self._patterns.string_end
        found = pattern.match(self._data, self._value_start)
        if found is None and not last:
            # Do not split inside a word. Keep the last bytes: they may be the beginning of an escape, or a quote of
            # which the next bytes decide whether it ends the string.
            low = max(self._value_start, len(self._data) - _SPLIT_WINDOW)
            points = [each.end() for each in _SPLIT_POINT.finditer(self._data, low)]
            end = points[-1] if points else max(self._value_start, len(self._data) - 12)
            if not points and (back := self._data.rfind(b"\\", max(self._value_start, end - 12), end)) >= 0:
                end = back
        else:
            end = found.end() - 1 if found else len(self._data)
        part = unescape_string(decode_json(self._data[self._value_start : end])).encode("utf-8", "replace")
        if part:
            self.handler.handle_text(part)
        if found is None and not last:
            self._value_start = self._scanned = end
            self._discard_emitted()
            return False
        self._value_start = self._scanned = min(end + 1, len(self._data))
        self._in_long_string = False
        return True

    def _discard_emitted(self) -> None:
        """Drop the bytes that were handed over, and shift all positions accordingly."""
        by = self._value_start
        if not by:
            return
        self._data = self._data[by:]
        self._value_start, self._scanned = 0, max(0, self._scanned - by)
        self._open_positions[self._entered :] = [place - by for place in self._open_positions[self._entered :]]
        self._last_child_ends = (
            [max(0, place - by) for place in self._last_child_ends] if self._entered < 64 else self._shifted_ends(by)
        )

    def _shifted_ends(self, by: int) -> list[int]:
        # only the innermost entered container, and the containers inside it, are still needed
        low = self._entered - 1
        return [*([0] * low), *(max(0, place - by) for place in self._last_child_ends[low:])]

    # --- splitting by a guess instead of a scan ------------------------------------------------------------------

    def _learn_separator(self) -> None:
        if (
            self._open_brackets[self._entered - 1] == 0x5B
            and self._last_child_ends[self._entered - 1] > self._value_start
        ):
            found = _SEPARATOR.match(self._data, self._last_child_ends[self._entered - 1] - 1)
            self._separator = found[0] if found else b""

    def _split_by_guess(self) -> bool:
        """Split where the last child seems to end; True if the text before that place parses.

        A text that parses as an array ends at a bracket of its own level, so a guess that parses is always right. It
        saves the scan for brackets in text whose children a program wrote in one form.
        """
        if (
            not self._entered
            or not self._separator
            or self._failed_guesses >= MAX_FAILED_GUESSES
            or self._in_long_string
        ):
            return False
        if self._open_brackets[self._entered - 1] != 0x5B or len(self._data) - self._value_start > 2 * BLOCK:
            return False
        at = self._data.rfind(self._separator, self._value_start)
        if at < 0:
            self._failed_guesses += 1
            return False
        text = self._data[self._value_start : at + 1].strip(BLANKS_AND_COMMAS)
        try:
            values = orjson.loads(b"[%b]" % text)
        except orjson.JSONDecodeError:
            self._failed_guesses += 1
            return False
        if may_repeat_keys(text, values):
            return False
        self._failed_guesses = 0
        self._value_start = self._scanned = at + 1
        del (
            self._open_brackets[self._entered :],
            self._open_positions[self._entered :],
            self._last_child_ends[self._entered :],
        )
        self._last_child_ends[self._entered - 1] = at + 1
        self.handler.handle_children(values, Validity.VALID, text)
        return True


def equal_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in blocks of one size, so that a text is always split in the same way, however it arrives."""
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
