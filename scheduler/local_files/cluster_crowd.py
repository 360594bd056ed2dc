"""Gives the pieces of a scan to the workers of a Dask cluster, and takes their answers.

As many pieces are given away as workers have threads: Dask blames all pieces that a worker had when it ended, also those
that waited. A piece of which a worker says that it cannot be examined is examined by another one before that is believed,
and a worker whose results are refused, or that fails where others succeed, gets no more work.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from crawler.process.examiner_tasks import TaskResult
from crawler.process.file_chunks import Chunk, FileIndex
from data.errors import ExamineError, ExaminerDied, WireError
from data.settings.home import Home
from scheduler.local_files import cluster_worker
from scheduler.local_files.cluster_case import ClusterCase
from scheduler.local_files.cluster_worker import unpack_answer
from scheduler.local_files.scan_plan import Input, Plan
from scheduler.local_files.shared_work import SharedScan

if TYPE_CHECKING:
    from distributed import Client, Future

# So often a piece is examined whose results were refused, and one whose workers all ended (Dask counts the others).
_MAX_REFUSED, _MAX_STRANDED = 3, 3
# A worker gets no more work after so many refused results, failures where others succeeded, and lost cases in a row.
_MAX_LIES, _MAX_FAILURES, _MAX_LOST_CASES = 2, 2, 5
# So many workers must say that a piece cannot be examined; where there were several, a second one is waited for so long.
_WITNESSES, _WITNESS_SECONDS = 2, 180.0
# Seconds after which the workers are looked for while no answer comes, and seconds between two looks at most.
_LOOK_AFTER, _LOOK_EVERY = 2.0, 0.5
_GO_ON = "run the command again: with --out it goes on where it stopped"


@dataclass(frozen=True, slots=True)
class ScanPiece:
    """A piece of a scan: the `index` of a file, a `chunk` of it, or the `whole` file."""

    each: Input
    kind: str
    chunk: Chunk | None = None

    @property
    def number(self) -> int:
        """Of the chunk, from 0."""
        return 0 if self.chunk is None else self.chunk.number


@dataclass(slots=True)
class _Job:
    """A piece on its way.

    Attributes:
        piece: what is examined. name: of its result.
        attempt: how often it was given away. refused: how many results of it were refused. stranded: how often all
            workers that might have it ended.
        failures: sentences of workers that could not examine it, by their addresses. failed: when the first one said so.
        allowed: workers that may have it, () for any.
    """

    piece: ScanPiece
    name: str
    attempt: int = 0
    refused: int = 0
    stranded: int = 0
    failures: dict[str, ExamineError] = field(default_factory=dict)
    failed: float = 0.0
    allowed: tuple[str, ...] = ()


class Crowd:
    """The workers of a cluster, with the case of a home open in them."""

    def __init__(
        self,
        client: Client,
        home: Home,
        work: SharedScan,
        plan: Plan,
        report: Callable[[str], None],
        patience: timedelta,
    ) -> None:
        """Begin; arguments are those of `cluster_scan.examine_on_cluster`."""
        self._client, self._work, self._plan, self._report = client, work, plan, report
        self._case = ClusterCase(client, home, work.passwords, report)
        self._patience = patience
        self._threads: dict[str, int] = {}
        self._looked = 0.0
        # most workers at the same time
        self._most = 0
        # since when there are no workers
        self._alone: float | None = None
        self._lies: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._lost_cases: Counter[str] = Counter()
        self._ended: SimpleQueue[str] = SimpleQueue()

    def close(self) -> None:
        """Let all workers forget the keys."""
        self._case.close()

    def examine(self, pieces: Iterable[ScanPiece]) -> None:
        """Examine pieces until each has a result, or was told to have none.

        Raises:
            ExamineError: the cluster is gone, or has no worker that can be used.
            InputError: a result cannot be kept on this machine.
        """
        waiting = deque(_Job(piece, self._plan.name_of(piece.each, piece.kind, piece.number)) for piece in pieces)
        running: dict[str, tuple[_Job, Future[bytes]]] = {}
        while waiting or running:
            self._look()
            self._submit(waiting, running)
            try:
                key = self._ended.get(timeout=_LOOK_AFTER)
            except Empty:
                self._release_stranded(running)
                continue
            if key not in running:
                continue
            job, future = running.pop(key)
            # the worker has something to do while its answer is taken
            self._submit(waiting, running)
            if self._take(future, job):
                waiting.append(job)

    # --- giving pieces away ------------------------------------------------------------------------------------------

    def _submit(self, waiting: deque[_Job], running: dict[str, tuple[_Job, Future[bytes]]]) -> None:
        for _ in range(len(waiting)):
            if len(running) >= sum(self._threads.values()):
                return
            job = waiting.popleft()
            if job.failures and self._waits_for_witness(job):
                waiting.append(job)
                continue
            piece = job.piece
            plan = Plan((piece.each,), self._plan.chunk_bytes, self._plan.options, self._plan.compared)
            usable = tuple(self._threads)
            others = tuple(each for each in usable if each not in job.failures)
            job.allowed = (others or usable) if self._case.set_aside or job.failures else ()
            job.attempt += 1
            future = self._client.submit(
                cluster_worker.examine_piece,
                self._case.id,
                plan.to_json(),
                piece.kind,
                None if piece.chunk is None else piece.chunk.to_json(),
                # no name of a file
                key=f"{piece.kind}-{piece.number}-{job.name}-{job.attempt}",
                pure=False,
                workers=list(job.allowed) or None,
                allow_other_workers=False,
            )
            running[future.key] = job, future
            future.add_done_callback(lambda ended: self._ended.put(ended.key))

    def _waits_for_witness(self, job: _Job) -> bool:
        """Whether all workers that there are failed at a piece, but another one may come back."""
        others = set(self._threads) - job.failures.keys()
        return not others and self._most > 1 and monotonic() - job.failed < _WITNESS_SECONDS

    def _look(self) -> None:
        """Learn which workers there are, and open the case in new ones.

        Raises:
            ExamineError: for longer than the patience there were none that can be used.
        """
        if monotonic() - self._looked < _LOOK_EVERY:
            return
        # what Dask raises if its scheduler ends between these two lines is found by the next look
        if self._client.status == "closed":
            raise ExamineError("the connection to the scheduler of the cluster ended", hint=_GO_ON)
        try:
            found = {str(worker): int(threads) for worker, threads in self._client.nthreads().items()}
            self._case.open(found)
        except (OSError, AttributeError, RuntimeError):
            # the scheduler does not answer: it may be started again
            found = {}
        self._threads = {worker: threads for worker, threads in found.items() if worker not in self._case.set_aside}
        self._looked = monotonic()
        self._most = max(self._most, len(self._threads))
        why = f"the cluster has no worker{' that can be used' if found else 's'}"
        if self._threads:
            if self._alone is not None:
                self._alone = None
                self._report("note: the cluster has workers again")
        elif self._alone is None:
            self._alone = self._looked
            self._report(f"note: {why}; waiting for some, at most {self._patience}")
        elif self._looked - self._alone > self._patience.total_seconds():
            raise ExamineError(why, hint=f"start workers, and {_GO_ON}")

    def _release_stranded(self, running: Mapping[str, tuple[_Job, Future[bytes]]]) -> None:
        """Take back pieces that may only be examined by workers that have ended: Dask waits for these for ever."""
        self._looked = 0.0
        self._look()
        for job, future in running.values():
            if self._threads and job.allowed and not set(job.allowed) & set(self._threads):
                job.stranded += 1
                future.cancel()

    # --- taking answers ----------------------------------------------------------------------------------------------

    def _take(self, future: Future[bytes], job: _Job) -> bool:
        """Take the answer about a piece; whether it must be examined again."""
        if future.status == "error":
            return self._take_exception(future.exception(), job)
        if future.status != "finished":
            # the scheduler ended, or all workers that might have it
            if job.stranded < _MAX_STRANDED:
                return True
            self._tell(job, "its workers ended while they examined it")
            return False
        answer, worker = self._fetch(future)
        if answer is None:
            return True
        try:
            head, sealed = unpack_answer(answer)
            if head.get("lacks_case"):
                self._open_again(worker)
                return True
            if "error" in head:
                return self._take_failure(job, worker, head)
            self._check(job, head, sealed)
        except ExamineError as error:
            return self._refuse(job, worker, error)
        self._keep(job, head, sealed)
        self._lost_cases[worker] = 0
        for other in job.failures.keys() - {worker}:
            self._failures[other] += 1
            if self._failures[other] >= _MAX_FAILURES:
                self._case.refuse(other, f"it fails where others succeed: {job.failures[other]}")
        return False

    def _fetch(self, future: Future[bytes]) -> tuple[bytes | None, str]:
        """An answer, None if it was lost; and the worker that has it, '' if none is known."""
        seconds = 5 * _LOOK_AFTER
        while True:
            try:
                holders = list(self._client.who_has([future]).get(future.key, ()))
                return future.result(timeout=seconds), holders[0] if len(holders) == 1 else ""
            except TimeoutError:
                self._look()
                if future.status != "finished":
                    # its worker ended before it gave the answer; Dask would examine the piece again with the same workers
                    future.cancel()
                    return None, ""
                # the answer is large
                seconds *= 2
            except Exception:  # noqa: BLE001 - an answer that cannot be fetched is asked for again, whatever Dask raises
                self._look()
                return None, ""

    def _take_exception(self, exception: BaseException | None, job: _Job) -> bool:
        from distributed import KilledWorker

        if isinstance(exception, KilledWorker):
            self._tell(job, "its workers ended while they examined it")
            return False
        # not even begun: a worker that has no Tocsin, or not this version of it
        self._looked = 0.0
        self._look()
        return self._refuse(job, "", ExamineError(f"a worker could not begin ({type(exception).__name__})"))

    def _open_again(self, worker: str) -> None:
        self._lost_cases[worker] += 1
        if worker and self._lost_cases[worker] >= _MAX_LOST_CASES:
            self._case.refuse(worker, "it loses the case again and again")
        self._case.open([worker] if worker else self._threads, again=True)

    def _take_failure(self, job: _Job, worker: str, head: Mapping[str, Any]) -> bool:
        """A worker says that a piece cannot be examined; whether another one shall try."""
        job.failed = job.failed or monotonic()
        job.failures[worker] = ExamineError(str(head["error"]), hint=str(head.get("hint", "")))
        has_others = bool(set(self._threads) - job.failures.keys())
        if len(job.failures) < _WITNESSES and (has_others or self._waits_for_witness(job)):
            return True
        self._work.tell(job.piece.each, job.failures[worker])
        return False

    def _refuse(self, job: _Job, worker: str, error: ExamineError) -> bool:
        """Refuse an answer; whether the piece is to be examined again."""
        job.refused += 1
        self._report(f"note: a worker's result was refused: {error}")
        if worker:
            self._lies[worker] += 1
            if self._lies[worker] >= _MAX_LIES:
                self._case.refuse(worker, "its results are refused")
                self._looked = 0.0
        if job.refused < _MAX_REFUSED:
            return True
        self._work.tell(job.piece.each, ExamineError("all results for a piece of it were refused"))
        return False

    def _tell(self, job: _Job, sentence: str) -> None:
        self._work.tell(job.piece.each, ExamineError(f"a piece of it could not be examined: {sentence}"))

    def _check(self, job: _Job, head: Mapping[str, Any], sealed: bytes) -> None:
        """Let the examiner of this machine open a result.

        Raises:
            ExamineError: the result is refused.
        """
        index = _index(head)
        if job.piece.kind == "index" and index is None:
            raise ExamineError("a worker made no index of a file")
        if index is not None and not index.is_cuttable:
            return
        try:
            self._work.check(job.name, sealed)
        except ExaminerDied:
            # that was not the result's fault, unless it happens again
            self._work.check(job.name, sealed)

    def _keep(self, job: _Job, head: Mapping[str, Any], sealed: bytes) -> None:
        """Keep a result that the examiner of this machine has opened."""
        piece = job.piece
        if piece.kind == "index":
            self._work.keep_index(piece.each, TaskResult(sealed, _index(head)))
        else:
            self._work.keep(piece.each, piece.kind, piece.chunk, TaskResult(sealed, None))


def _index(head: Mapping[str, Any]) -> FileIndex | None:
    """The index that an answer holds.

    Raises:
        WireError: it is damaged.
    """
    value = head.get("index")
    if value is not None and not isinstance(value, dict):
        raise WireError("an index of a file is damaged")
    return None if value is None else FileIndex.from_json(value)
