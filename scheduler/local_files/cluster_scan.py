"""Lets the workers of a Dask cluster examine the pieces of a scan (`scheduler.local_files.shared_work`).

Dask only decides which worker does what, and notices workers that end. What makes the result exact is not left to it: each
piece has a name and one place for its result, and each result is opened by the examiner of this machine before it is kept:
it must be of this case, for this piece, with these tags and releases, and from an examiner that finds a planted person.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import tomlkit

from crawler.process.examiner_tasks import TaskResult
from crawler.process.file_chunks import Chunk, FileIndex, cut
from data.errors import ConfigError, ExamineError, InputError, TocsinError
from data.hashing.case_keys import format_work_keys, parse_match_key
from data.settings.home import Home
from scheduler.local_files import cluster_worker
from scheduler.local_files.cluster_worker import CaseSecrets, unpack_answer
from scheduler.local_files.scan_plan import Input, Plan
from scheduler.local_files.shared_work import SharedScan

if TYPE_CHECKING:
    from distributed import Client, Future

LOCAL = "local:"
# A file travels to a worker in pieces of so many bytes.
_PIECE = 2**23
# So often a piece is examined whose result was refused or whose worker had lost the case.
_MAX_REFUSED, _MAX_WITHOUT_CASE = 3, 20
# A worker whose results were refused so often gets no more work.
_MAX_LIES = 2
_INSTALL = "pip install 'tocsin[dask]'"


@dataclass(frozen=True, slots=True)
class _Piece:
    each: Input
    kind: str
    chunk: Chunk | None = None

    @property
    def label(self) -> str:
        """What it is, for a key of Dask: no name of a file."""
        return f"{self.kind}-{0 if self.chunk is None else self.chunk.number}"


def check_address(address: str) -> None:
    """Raise ConfigError unless an address is `local:N`, of this machine, or of a cluster with certificates."""
    if address.startswith(LOCAL):
        if not address.removeprefix(LOCAL).isdecimal() or not int(address.removeprefix(LOCAL)):
            raise ConfigError(
                "a cluster on this machine is given as local:N with the number of workers", hint="local:2"
            )
        return
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.scheme == "tls":
        return
    host = parts.hostname or ""
    is_local = host == "localhost"
    with contextlib.suppress(ValueError):
        is_local = is_local or ipaddress.ip_address(host).is_loopback
    if parts.scheme != "tcp" or not is_local:
        raise ConfigError(
            "keys and tags travel to a cluster on other machines only over TLS",
            hint="give the address as tls://HOST:PORT, and the certificates in Dask's configuration (docs/scale.md)",
        )


@contextlib.contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the cluster at an address; a cluster `local:N` is started, and ended again.

    Raises:
        ConfigError: Dask is not installed, the address is refused, or certificates are missing.
        ExamineError: the cluster does not answer.
    """
    check_address(address)
    try:
        from distributed import Client, LocalCluster, Security
    except ImportError as error:
        raise ConfigError("the extra for clusters is not installed", hint=_INSTALL) from error
    with contextlib.ExitStack() as opened:
        try:
            if address.startswith(LOCAL):
                cluster = LocalCluster(
                    n_workers=int(address.removeprefix(LOCAL)),
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address=None,
                    silence_logs=50,
                )
                client = opened.enter_context(Client(opened.enter_context(cluster)))
            elif address.startswith("tls://"):
                security = Security(require_encryption=True)
                tls = security.get_tls_config_for_role("client")
                if not all(tls.get(name) for name in ("ca_file", "cert", "key")):
                    raise ConfigError(
                        "the certificates of the cluster are not configured",
                        hint="set distributed.comm.tls.ca-file and .client.cert and .client.key of Dask (docs/scale.md)",
                    )
                client = opened.enter_context(Client(address, security=security))
            else:
                client = opened.enter_context(Client(address))
        except OSError as error:
            raise ExamineError("the cluster does not answer", hint="check its address and its scheduler") from error
        yield client


def examine_on_cluster(client: Client, home: Home, work: SharedScan, plan: Plan, report: Callable[[str], None]) -> None:
    """Examine all pieces of a plan whose results are not there yet.

    A piece that cannot be examined is told, and the others are examined all the same.

    Args:
        client: of the cluster. Its workers must see the files under the same paths.
        home: whose tags and releases samples are compared with.
        work: keeps the results.
        plan: what is scanned.
        report: gets sentences for the person who waits.
    """
    crowd = _Crowd(client, home, work, plan, report)
    try:
        open_ = [each for each in plan.inputs if plan.may_cut(each) and work.known_index(each) is None]
        crowd.examine([_Piece(each, "index") for each in open_])
        pieces = []
        for each in plan.inputs:
            index = work.known_index(each) if plan.may_cut(each) else FileIndex.whole("")
            if each.error or index is None:
                continue
            found = [_Piece(each, "whole")]
            if index.is_cuttable:
                found = [_Piece(each, "chunk", chunk) for chunk in cut(index, plan.chunk_bytes)]
            pieces += [piece for piece in found if not work.has(piece.each, piece.kind, piece.chunk)]
        crowd.examine(pieces)
    finally:
        crowd.close()


class _Crowd:
    """The workers of a cluster, with the case that is open in them."""

    def __init__(self, client: Client, home: Home, work: SharedScan, plan: Plan, report: Callable[[str], None]) -> None:
        self._client, self._home, self._work, self._plan, self._report = client, home, work, plan, report
        self._files = _case_files(home)
        about = sorted((name, digest) for name, (digest, _) in self._files.items()), work.passwords
        self._case = hashlib.sha256(repr(about).encode()).hexdigest()
        self._opened: set[str] = set()
        self._refused: Counter[str] = Counter()

    def close(self) -> None:
        """Let all workers forget the keys."""
        try:
            self._client.run(cluster_worker.close_case, self._case)
        except Exception as error:  # noqa: BLE001 - whatever Dask raises, findings that are there are printed
            self._report(f"note: a worker may still hold the keys of the case until it ends ({type(error).__name__})")

    def examine(self, pieces: list[_Piece]) -> None:
        """Examine pieces until each has a result, or was told to have none."""
        if not pieces:
            return
        from distributed import as_completed

        self._prepare()
        tries: Counter[str] = Counter()
        running = {self._submit(piece, 0): piece for piece in pieces}
        done = as_completed(list(running), raise_errors=False)
        for future in done:
            piece = running.pop(future)
            again = self._take(future, piece, tries)
            if again:
                name = self._plan.name_of(piece.each, piece.kind, 0 if piece.chunk is None else piece.chunk.number)
                tries[name] += 1
                following = self._submit(piece, tries[name])
                running[following] = piece
                done.add(following)

    def _submit(self, piece: _Piece, attempt: int) -> Future[bytes]:
        plan = Plan((piece.each,), self._plan.chunk_bytes, self._plan.options, self._plan.compared)
        chunk = None if piece.chunk is None else piece.chunk.to_json()
        name = plan.name_of(piece.each, piece.kind, 0 if piece.chunk is None else piece.chunk.number)
        workers = [each for each in self._workers() if self._refused[each] < _MAX_LIES]
        if not workers:
            raise ExamineError(
                "the cluster has no worker whose results can be believed",
                hint="start workers, and run the command again",
            )
        return self._client.submit(
            cluster_worker.examine_piece, self._case, plan.to_json(), piece.kind, chunk,
            key=f"{piece.label}-{name}-{attempt}", pure=False, workers=workers if self._refused else None,
            allow_other_workers=False,
        )  # fmt: skip

    def _take(self, future: Future[bytes], piece: _Piece, tries: Counter[str]) -> bool:
        """Take the answer about a piece; whether the piece must be examined again."""
        name = self._plan.name_of(piece.each, piece.kind, 0 if piece.chunk is None else piece.chunk.number)
        if future.status != "finished":
            # the workers that had it ended: Dask tells so after as many as it allows
            sentence = "its workers ended while they examined it, or their answer was lost"
            self._work.tell(piece.each, ExamineError(f"a piece of it could not be examined: {sentence}"))
            return False
        holders = list(self._client.who_has([future]).get(future.key, ()))
        try:
            head, sealed = unpack_answer(future.result())
            if head.get("lacks_case"):
                if tries[name] >= _MAX_WITHOUT_CASE:
                    raise ExamineError("the workers of the cluster lose the case again and again")
                self._prepare()
                return True
            if "error" in head:
                raise InputError(str(head["error"]), hint=str(head.get("hint", "")))
        except (InputError, ExamineError) as error:
            self._work.tell(piece.each, error)
            return False
        try:
            self._keep(piece, head, sealed, name)
        except TocsinError as error:
            for each in holders:
                self._refused[each] += 1
            self._report(f"note: a worker's result was refused: {error}")
            if tries[name] + 1 < _MAX_REFUSED:
                return True
            self._work.tell(piece.each, ExamineError("all results for a piece of it were refused"))
        return False

    def _keep(self, piece: _Piece, head: Mapping[str, Any], sealed: bytes, name: str) -> None:
        """Keep a result that the examiner of this machine has opened."""
        index = None if head.get("index") is None else FileIndex.from_json(head["index"])
        if piece.kind != "index":
            self._work.check(name, sealed)
            self._work.keep(piece.each, piece.kind, piece.chunk, TaskResult(sealed, None))
            return
        if index is not None and index.is_cuttable:
            self._work.check(name, sealed)
        self._work.keep_index(piece.each, TaskResult(sealed, index))

    # --- the case in the workers -------------------------------------------------------------------------------------

    def _workers(self) -> list[str]:
        return list(self._client.scheduler_info(n_workers=-1)["workers"])

    def _prepare(self) -> None:
        """Bring the files to the workers that lack them, and open the case in all of them."""
        try:
            self._open_case()
        except OSError as error:
            raise ExamineError(
                "the case cannot be opened in the workers: one of them ended, or a connection",
                hint="run the command again",
            ) from error

    def _open_case(self) -> None:
        digests = sorted({digest for digest, _ in self._files.values()})
        lacking: dict[str, list[str]] = self._client.run(cluster_worker.missing_files, digests)
        by_digest = dict(self._files.values())
        for worker, missing in lacking.items():
            for digest in missing:
                self._send(worker, digest, by_digest[digest])
        match_key = parse_match_key(self._home.match_key_text())
        secrets = CaseSecrets(format_work_keys(match_key.derive()), self._work.passwords)
        files = {name: digest for name, (digest, _) in self._files.items()}
        wrong: dict[str, str] = self._client.run(cluster_worker.open_case, self._case, files, secrets)
        if said := next(filter(None, wrong.values()), ""):
            raise ExamineError(said, hint="run the command again")

    def _send(self, worker: str, digest: str, path: Any) -> None:
        content = path if isinstance(path, bytes) else path.read_bytes()
        for place in range(0, max(1, len(content)), _PIECE):
            piece = content[place : place + _PIECE]
            is_last = place + _PIECE >= len(content)
            answer = self._client.run(cluster_worker.receive_file, digest, place, piece, is_last, workers=[worker])
            if said := next(filter(None, answer.values()), ""):
                raise ExamineError(said, hint="run the command again")


def _case_files(home: Home) -> dict[str, tuple[str, Any]]:
    """The files that a worker needs, by their names in a home: digest and path, or content."""
    found: dict[str, tuple[str, Any]] = {}
    paths = [home.evidence_key_path]
    for folder in (home.watchlist_dir, home.releases_dir):
        paths += sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    for path in paths:
        if path.is_file():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            found[str(path.relative_to(home.path))] = digest, path
    # channels and their secrets stay here; what the environment of this machine sets holds in the workers as well
    limits = home.settings().examine.model_dump()
    plain = {name: value.total_seconds() if isinstance(value, timedelta) else value for name, value in limits.items()}
    text = tomlkit.dumps({"examine": plain}).encode()
    found["tocsin.toml"] = hashlib.sha256(text).hexdigest(), text
    return found
