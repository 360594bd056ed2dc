"""Raises an error at a chosen await of a coroutine, to test what happens if that await fails."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class RaiseAt(Generic[T]):
    """Awaits a coroutine, and raises an error inside it in place of its n-th suspension.

    Attributes:
        raised: whether there was such a suspension.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], number: int, error: BaseException) -> None:
        self._coroutine, self._number, self._error = coroutine, number, error
        self.raised = False

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._coroutine.__await__()
        try:
            waiting_for = next(steps)
            count = 0
            while True:
                if count == self._number:
                    self.raised = True
                    waiting_for = steps.throw(self._error)
                else:
                    try:
                        given = yield waiting_for
                    except BaseException as error:  # noqa: BLE001 - it is passed on
                        waiting_for = steps.throw(error)
                    else:
                        waiting_for = steps.send(given)
                count += 1
        except StopIteration as end:
            return end.value
