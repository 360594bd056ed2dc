"""A case in the workers of a Dask cluster: brings its files to them, opens it, and tells which of them cannot be used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit

from data.hashing.case_keys import format_work_keys, parse_match_key
from data.settings.home import Home
from scheduler.local_files import cluster_worker
from scheduler.local_files.cluster_worker import CaseSecrets

if TYPE_CHECKING:
    from distributed import Client

# A file travels to a worker in pieces of so many bytes.
_PIECE = 2**23


class ClusterCase:
    """The case of a home, in those workers of a cluster that can examine samples for it.

    Attributes:
        id: digest of its files and passwords.
        set_aside: workers that get no work, and why.
    """

    def __init__(self, client: Client, home: Home, passwords: tuple[str, ...], report: Callable[[str], None]) -> None:
        """Begin; nothing is sent yet.

        Args:
            client: of the cluster.
            home: whose tags and releases samples are compared with.
            passwords: that are tried on locked archives.
            report: gets sentences for the person who waits.
        """
        self._client, self._home, self._passwords, self._report = client, home, passwords, report
        self._files = case_files(home)
        about = sorted((name, digest) for name, (digest, _) in self._files.items()), passwords
        self.id = hashlib.sha256(repr(about).encode()).hexdigest()
        self.set_aside: dict[str, str] = {}
        self._opened: set[str] = set()

    def open(self, workers: Iterable[str], *, again: bool = False) -> None:
        """Open the case in workers in which it is not open; one in which that fails is set aside, and told of.

        Args:
            workers: their addresses.
            again: also in those in which it was opened: one of them has lost it.
        """
        wanted = [each for each in workers if each not in self.set_aside and (again or each not in self._opened)]
        digests = sorted({digest for digest, _ in self._files.values()})
        lacking: dict[str, list[str]] = {}
        for worker, said in self._order(cluster_worker.greet, digests, workers=wanted):
            if said["version"] != version("tocsin"):
                self.refuse(worker, f"it has version {said['version']} of Tocsin, this command {version('tocsin')}")
                continue
            for digest in said["lacks"]:
                lacking.setdefault(digest, []).append(worker)
        by_digest = dict(self._files.values())
        for digest, lacks in lacking.items():
            self._send(digest, by_digest[digest], lacks)
        match_key = parse_match_key(self._home.match_key_text())
        secrets = CaseSecrets(format_work_keys(match_key.derive()), self._passwords)
        files = {name: digest for name, (digest, _) in self._files.items()}
        for worker, said in self._order(cluster_worker.open_case, self.id, files, secrets, workers=wanted):
            if said:
                self.refuse(worker, said)
            else:
                self._opened.add(worker)

    def refuse(self, worker: str, why: str) -> None:
        """Give a worker no more work, for the first reason of several."""
        if worker not in self.set_aside:
            self.set_aside[worker] = why
            self._report(f"note: the worker {worker} gets no more work: {why}")

    def close(self) -> None:
        """Let all workers forget the keys."""
        try:
            self._client.run(cluster_worker.close_case, self.id, on_error="ignore")
        except Exception as error:  # noqa: BLE001 - whatever Dask raises, findings that are there are printed
            self._report(
                f"note: workers hold the keys of the case until it was not used for {cluster_worker.UNUSED} seconds "
                f"({type(error).__name__})"
            )

    def _order(self, order: Callable[..., Any], *arguments: Any, workers: list[str]) -> Iterator[tuple[str, Any]]:
        """What each worker answers to an order; one that cannot answer is set aside, one that has ended is left out."""
        asked = [each for each in workers if each not in self.set_aside]
        answers: dict[str, Any] = {}
        if asked:
            answers = self._client.run(order, *arguments, workers=asked, on_error="return")
        for worker, said in answers.items():
            if isinstance(said, OSError):
                # the connection broke: the worker is no more, or is asked again
                self._opened.discard(worker)
            elif isinstance(said, Exception):
                # orders return what goes wrong in them; Dask gives most of what it cannot load as a plain Exception
                self.refuse(worker, "it does not obey; is this version of Tocsin installed there?")
            else:
                yield worker, said

    def _send(self, digest: str, content: Path | bytes, workers: list[str]) -> None:
        """Send one file to all workers that lack it."""
        for place, piece, is_last in _pieces(content):
            for worker, said in self._order(
                cluster_worker.receive_file, digest, place, piece, is_last, workers=workers
            ):
                if said:
                    self.refuse(worker, said)


def _pieces(content: Path | bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Place and bytes of each piece of a file, and whether it is the last one."""
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    for place in range(0, max(1, size), _PIECE):
        if isinstance(content, bytes):
            piece = content[place : place + _PIECE]
        else:
            with content.open("rb") as stream:
                stream.seek(place)
                piece = stream.read(_PIECE)
        yield place, piece, place + _PIECE >= size


def case_files(home: Home) -> Mapping[str, tuple[str, Path | bytes]]:
    """The files that a worker needs, by their names in a home: digest and path, or content."""
    found: dict[str, tuple[str, Path | bytes]] = {}
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
