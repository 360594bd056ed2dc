"""Examines the pieces of a scan that several machines share (`scheduler.local_files.scan_plan`), and folds the results.

A piece is a whole file or a chunk of a large one. Its name is a digest of what it is about, and its sealed result lies
under that name in a folder. So a piece that was examined twice, or by a machine that was killed, changes nothing.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from crawler.process.examiner_tasks import TaskResult, check_result, fold_results, run_task
from crawler.process.file_chunks import CUTTABLE_FORMATS, Chunk, FileIndex, cut
from data.durable_files import read_file, replace_file
from data.errors import ExamineError, InputError, WireError
from data.model import Finding
from scheduler.local_files.scan_plan import Input, Plan, input_of, to_bytes
from scheduler.local_files.scanning import Scanner, ScanResult, content_of, shown_name

# The beginning of a file by which its format is recognised.
_PROBE = 2**17


class SharedScan:
    """Examines pieces of a plan with one examiner, and keeps their results in a folder.

    Attributes:
        examined: pieces that were examined. found: those whose results were there already. failed: those that could not be.
    """

    def __init__(self, scanner: Scanner, plan: Plan, folder: Path, report: Callable[[str], None]) -> None:
        """Begin.

        Args:
            scanner: has the examiner.
            plan: what is scanned.
            folder: holds the results.
            report: gets sentences for the person who waits.
        """
        self._scanner, self._plan, self._folder, self._report = scanner, plan, folder, report
        self.examined = self.found = self.failed = 0

    @property
    def passwords(self) -> tuple[str, ...]:
        """The passwords that are tried on locked archives."""
        return tuple(filter(None, self._scanner.passwords.split("\n")))

    # --- one part ----------------------------------------------------------------------------------------------------

    def examine_part(self, part: int, count: int) -> None:
        """Examine every `count`-th piece; part 0 only finds where the files can be cut.

        A piece that cannot be examined is told, and the others are examined all the same.
        """
        number = 0
        for each in self._plan.inputs:
            slots = self._plan.slots(each)
            mine = [slot for slot in range(slots) if part and (number + slot) % count == part - 1]
            number += slots
            if mine or (not part and self._plan.may_cut(each)):
                self._examine_slots(each, mine, slots)

    def _examine_slots(self, each: Input, mine: Sequence[int], slots: int) -> None:
        """Examine some pieces of a file, given by their numbers from 0."""
        pieces: list[Callable[[], None]] = []
        try:
            index = self.index(each) if self._plan.may_cut(each) else FileIndex.whole("")
        except (InputError, ExamineError) as error:
            self.tell(each, error)
            return
        if index.is_cuttable:
            chunks = [chunk for chunk in cut(index, self._plan.chunk_bytes) if chunk.number % slots in mine]
            pieces = [partial(self._examine, each, "chunk", chunk) for chunk in chunks]
        elif 0 in mine:
            pieces = [partial(self._examine, each, "whole")]
        for piece in pieces:
            try:
                piece()
            except (InputError, ExamineError) as error:
                self.tell(each, error)

    def tell(self, each: Input, error: InputError | ExamineError) -> None:
        """Tell that a piece of a file could not be examined."""
        self.failed += 1
        self._report(f"error: {shown_name(each.path)}: {error}")
        if error.hint:
            self._report(f"hint: {error.hint}")

    def index(self, each: Input) -> FileIndex:
        """The index of a file that may be cut, made once."""
        index = self.known_index(each)
        if index is None:
            index = self.keep_index(each, self.run(each, "index"))
            self.examined += 1
        return index

    def known_index(self, each: Input) -> FileIndex | None:
        """The index of a file, if it was made."""
        held = self._read(f"{self._plan.name_of(each, 'index')}.index")
        if held is not None:
            # a damaged index is made again
            with contextlib.suppress(WireError, ValueError):
                return FileIndex.from_json(json.loads(held))
        return None

    def keep_index(self, each: Input, result: TaskResult) -> FileIndex:
        """Keep the index that was made of a file."""
        if result.index is None:
            raise ExamineError("the examiner made no index of a file")
        name = self._plan.name_of(each, "index")
        if result.index.is_cuttable:
            self._write(f"{name}.result", result.sealed)
        self._write(f"{name}.index", to_bytes(result.index.to_json()))
        return result.index

    def run(self, each: Input, kind: str, chunk: Chunk | None = None) -> TaskResult:
        """Examine one piece: the `index` of a file, a `chunk`, or the `whole` file."""
        name = self._plan.name_of(each, kind, 0 if chunk is None else chunk.number)
        if chunk is not None:
            return self._run(each, _chunk_task(chunk, name), self._chunk_bytes(each, chunk))
        task = {"kind": kind, "name": name}
        if kind == "index":
            probe = self._run(each, task, _first_bytes(self._bytes(each), _PROBE))
            if probe.index is None or probe.index.format not in CUTTABLE_FORMATS:
                return replace(probe, index=FileIndex.whole("" if probe.index is None else probe.index.format))
            return self._run(each, task, self._bytes(each))
        read_errors: list[str] = []
        with contextlib.ExitStack() as opened:
            pieces = content_of(each.content, opened, read_errors)
            return self._run(each, task, pieces, lambda: "; ".join(read_errors))

    def check(self, name: str, sealed: bytes) -> None:
        """Open a result of a piece that another machine made, and drop what is in it.

        Raises:
            ExamineError: it is damaged or forged, lacks the planted person, or was made with other tags or releases.
        """
        try:
            check_result(self._scanner.client(), name, sealed)
        except ExamineError:
            self._scanner.restart()
            raise

    @staticmethod
    def require_same(each: Input) -> None:
        """Raise InputError unless a file of this machine has the size and the edges that the plan states."""
        found = input_of(each.content)
        if (found.size, found.edges) != (each.size, each.edges):
            raise InputError(
                f"{each.path}: a worker sees another file under this path", hint="let all workers mount the same folder"
            )

    def _examine(self, each: Input, kind: str, chunk: Chunk | None = None) -> None:
        """Examine one piece unless its result is there."""
        if not self.has(each, kind, chunk):
            self.keep(each, kind, chunk, self.run(each, kind, chunk))

    def _chunk_bytes(self, each: Input, chunk: Chunk) -> Iterator[bytes]:
        yield from _first_bytes(self._bytes(each), chunk.head)
        yield from _first_bytes(self._bytes(each, chunk.start), chunk.end - chunk.start)

    def _run(
        self, each: Input, task: Mapping[str, Any], pieces: Iterable[bytes], problem: Callable[[], str] = lambda: ""
    ) -> TaskResult:
        try:
            return run_task(self._scanner.client(), self._request(each), task, pieces, problem)
        except ExamineError:
            self._scanner.restart()
            raise

    def _request(self, each: Input) -> dict[str, Any]:
        return {"name": shown_name(each.content), "passwords": self._scanner.passwords, **self._plan.options}

    def _bytes(self, each: Input, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from a place on."""
        with contextlib.ExitStack() as opened:
            read_errors: list[str] = []
            yield from content_of(each.path, opened, read_errors, start)
            if read_errors:
                raise InputError(f"{each.path}: {read_errors[0]}", hint="check the disk, and run the command again")

    # --- the fold ----------------------------------------------------------------------------------------------------

    def fold(self) -> Iterator[ScanResult]:
        """The findings of all inputs in their order; what must be examined as a whole is examined here."""
        for each in self._plan.inputs:
            if each.error:
                yield each.path, InputError(each.error, hint=each.hint)
                continue
            try:
                yield each.path, self._fold(each)
            except (InputError, ExamineError) as error:
                yield each.path, error

    def _fold(self, each: Input) -> Finding:
        chunks: Sequence[Chunk] = ()
        if self._plan.may_cut(each):
            index = self.known_index(each)
            if index is None:
                raise _incomplete(each)
            chunks = cut(index, self._plan.chunk_bytes) if index.is_cuttable else ()
        names = [self._plan.name_of(each, "whole")]
        if chunks:
            names = [self._plan.name_of(each, "chunk", chunk.number) for chunk in chunks]
        by_name = dict(zip(names, chunks, strict=False))
        if missing := sum(not (self._folder / f"{name}.result").exists() for name in names):
            raise _incomplete(each, missing, len(names))
        if chunks:
            names.insert(0, self._plan.name_of(each, "index"))

        def again(name: str, placeholders: str) -> bytes:
            # on a connection of its own: the other one holds the fold
            other = self._scanner.attach()
            try:
                task = _chunk_task(by_name[name], name, placeholders)
                return run_task(other, self._request(each), task, self._chunk_bytes(each, by_name[name])).sealed
            finally:
                other.close()

        results = ((name, self._read(f"{name}.result") or b"") for name in names)
        try:
            found = fold_results(self._scanner.client(), self._request(each), self._plan.chunk_bytes, results, again)
        except ExamineError:
            self._scanner.restart()
            raise
        if isinstance(found, Finding):
            return found
        self._report(f"note: {shown_name(each.path)} is examined here as a whole: {found}")
        return self._scanner.examine(
            each.content, bounded=not self._plan.options["exact"], explain=self._plan.options["explain"]
        )

    # --- the folder --------------------------------------------------------------------------------------------------

    def has(self, each: Input, kind: str, chunk: Chunk | None = None) -> bool:
        """Whether the result of a piece is there."""
        name = self._plan.name_of(each, kind, 0 if chunk is None else chunk.number)
        there = (self._folder / f"{name}.result").exists()
        self.found += there
        return there

    def keep(self, each: Input, kind: str, chunk: Chunk | None, result: TaskResult) -> None:
        """Keep the result of a piece."""
        name = self._plan.name_of(each, kind, 0 if chunk is None else chunk.number)
        self._write(f"{name}.result", result.sealed)
        self.examined += 1

    def _write(self, name: str, content: bytes) -> None:
        try:
            replace_file(self._folder / name, [content])
        except OSError as error:
            raise InputError(
                f"{self._folder}: a result cannot be written: {error.strerror}", hint="check the folder and its disk"
            ) from error

    def _read(self, name: str) -> bytes | None:
        try:
            return read_file(self._folder / name)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"{self._folder / name}: {error.strerror}", hint="check the permissions") from error


def _chunk_task(chunk: Chunk, name: str, placeholders: str = "") -> dict[str, Any]:
    return {"kind": "chunk", "name": name, "chunk": chunk.to_json(), "placeholders": placeholders}


def _first_bytes(pieces: Iterable[bytes], count: int) -> Iterator[bytes]:
    """The first bytes of some pieces."""
    for piece in pieces if count else ():
        yield piece[:count]
        count -= len(piece[:count])
        if not count:
            return


def _incomplete(each: Input, missing: int = 1, count: int = 1) -> ExamineError:
    pieces = f"{missing} of {count} pieces of it were" if count > 1 else "it was"
    return ExamineError(
        f"{shown_name(each.path)}: {pieces} not examined", hint="examine its part again, then fold again"
    )
