"""A zip of CSV of any size, made while it is sent, crawled by the real command: memory of all its processes, and time.

    python -m benchmarks stream --gigabytes=5 [--notes] [--local=bounded | --local=exact]

The rows are all different from each other, and come again the same in every run. Nothing of it is ever on a disk. The
rival downloads and unpacks the same bytes and looks at nothing: curl, and bsdtar or funzip behind it.

With --local the same bytes are written to a file first, and scanned: `tocsin scan --bounded` holds as many rows as a
crawl and has to say the same in every field, `tocsin scan` holds all (100 bytes a row), and what differs is printed.
With --notes every row ends with a medical note of 300 letters.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import Process
from pathlib import Path

import numpy as np
from isal import isal_zlib

NAME = b"patients.csv"
HEAD = b"nom;prenom;date_naissance;nir;email;telephone;code_postal;ville;medecin;visite;motif;montant\n"
ROW = b"AAAAAAAAA;Bbbbbb;12/03/19cc;1ddddddddddddd;p.eeeeeeee@exemple.fr;06ffffffff;69001;Lyon;Dr Martin;02/05/2024;Renouvellement;25,00\n"
ROWS = 8192
"""Rows of a piece, about 1 MiB."""
CANARY = 0
"""The number of the row whose person is a canary."""
WORDS, LETTERS, WORD = 512, 8, 38
"""Words there are, letters of a word, words of a note."""


@cache
def vocabulary() -> np.ndarray:
    """Shape (`WORDS`, `LETTERS` + 1): made words, each with a space behind it."""
    dice = np.random.default_rng(7)
    words = np.full((WORDS, LETTERS + 1), ord(" "), np.uint8)
    words[:, :LETTERS] = np.frombuffer(b"aeioulmnrstdpcvb", np.uint8)[dice.integers(0, 16, (WORDS, LETTERS))]
    return words


def notes(number: int) -> np.ndarray:
    """Shape (`ROWS`, letters of a note): those of one piece."""
    drawn = np.random.default_rng(number).integers(0, WORDS, (ROWS, WORD))
    return vocabulary()[drawn].reshape(ROWS, -1)


def rows(number: int, *, with_notes: bool = False) -> bytes:
    """The rows of one piece; those of different pieces differ."""
    table = np.tile(np.frombuffer(ROW, np.uint8), (ROWS, 1))
    first = np.uint64(number) * np.uint64(ROWS)
    # an odd factor mixes the numbers so that no two rows of 2^40 are the same person
    mixed = (np.arange(ROWS, dtype=np.uint64) + first) * np.uint64(0x9E3779B97F4A7C15)
    for letter, low, high in (
        (b"A", 65, 26),
        (b"b", 97, 26),
        (b"c", 48, 10),
        (b"d", 48, 10),
        (b"e", 48, 10),
        (b"f", 48, 10),
    ):
        for at in [place for place in range(len(ROW)) if ROW[place : place + 1] == letter and _field(place) == letter]:
            mixed = mixed * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            table[:, at] = low + (mixed >> np.uint64(40)) % np.uint64(high)
    if not with_notes:
        return table.tobytes()
    of = np.full((ROWS, 1), ord(";"), np.uint8)
    return np.hstack((table[:, :-1], of, notes(number), table[:, -1:])).tobytes()


def _field(place: int) -> bytes:
    """The letter of the field that a place of `ROW` is in, so that a word's own letters stay."""
    column = ROW[:place].count(b";")
    return {0: b"A", 1: b"b", 2: b"c", 3: b"d", 4: b"e", 5: b"f"}.get(column, b"")


def zipped(size: int, *, with_notes: bool) -> Iterator[bytes]:
    """A zip of one CSV, about `size` bytes, with its sizes behind the data (zip64), as a pipe writes it."""
    name = NAME
    extra = struct.pack("<HHQQ", 1, 16, 0, 0)
    head = struct.pack(
        "<4s5H3I2H", b"PK\x03\x04", 45, 8, 8, 0, 0x5A21, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra)
    )
    yield head + name + extra
    packer = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
    crc, packed, unpacked, number = 0, 0, 0, 0
    piece = HEAD if not with_notes else HEAD.replace(b"\n", b";observations\n")
    while packed < size:
        crc, unpacked = zlib.crc32(piece, crc), unpacked + len(piece)
        data = packer.compress(piece)
        packed += len(data)
        yield data
        piece, number = rows(number, with_notes=with_notes), number + 1
    data = packer.flush()
    packed += len(data)
    yield data + struct.pack("<4sIQQ", b"PK\x07\x08", crc, packed, unpacked)
    start = len(head) + len(name) + len(extra) + packed + 24
    more = struct.pack("<HHQQQ", 1, 24, unpacked, packed, 0)
    entry = struct.pack(
        "<4s6H3I5H2I", b"PK\x01\x02", 45, 45, 8, 8, 0, 0x5A21, crc, 0xFFFFFFFF, 0xFFFFFFFF,
        len(name), len(more), 0, 0, 0, 0, 0xFFFFFFFF,
    )  # fmt: skip
    central = entry + name + more
    end = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(central), start)
    yield central + end + struct.pack("<4sIQI", b"PK\x06\x07", 0, start + len(central), 1)
    yield struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, 0xFFFFFFFF, 0xFFFFFFFF, 0)


def serve(sock: socket.socket, size: int, with_notes: bool) -> None:
    """A listing at / and the zip at /dump.zip, without a length."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path != "/dump.zip":
                body = b'<ul><li><a href="/dump.zip">dump</a></li></ul>'
                self.send_response(200 if self.path == "/" else 404)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/zip")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                for data in zipped(size, with_notes=with_notes):
                    if data:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = sock
    server.serve_forever()


def family_of(root: int) -> list[int]:
    """A process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    family = [root]
    for pid in family:
        family += [child for child, parent in parents.items() if parent == pid]
    return family


def stored_by(family: list[int]) -> dict[int, int]:
    """Bytes that each process has sent to a disk so far, temporary files included; of those that still run."""
    found = {}
    for pid in family:
        try:
            lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        except OSError:
            continue
        found[pid] = next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))
    return found


def memory(family: list[int]) -> tuple[int, dict[str, int]]:
    """Proportional bytes of processes, in all and by what they are."""
    found: dict[str, int] = {}
    for pid in family:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kind = next(
            (
                word
                for word in ("examiner.main", "crawl_process", "crawl_fork_server", "sandbox.fork_server", "bwrap")
                if word in words
            ),
            "runner",
        )
        pss = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
        found[kind] = found.get(kind, 0) + pss
    return sum(found.values()), found


@dataclass
class Watched:
    """A command and all that it started: wall seconds, the peak of memory in all and by process, bytes sent to a disk."""

    seconds: float
    peak: int
    by: dict[str, int]
    disk: int
    done: subprocess.CompletedProcess[bytes]


def watched(command: list[str], **options: object) -> Watched:
    """Run a command to its end."""
    peak: list[tuple[int, dict[str, int]]] = [(0, {})]
    disk: dict[int, int] = {}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload]
    over = threading.Event()

    def watch() -> None:
        told = began
        while not over.wait(0.25):
            family = family_of(process.pid)
            peak[0] = max(peak[0], memory(family), key=lambda pair: pair[0])
            disk.update(stored_by(family))
            if time.perf_counter() - told > 60:
                # long runs show where they are
                told = time.perf_counter()
                print(
                    f"{told - began:.0f} s: at most {peak[0][0] / 1e6:.0f} MB", peak[0][1], file=sys.stderr, flush=True
                )

    thread = threading.Thread(target=watch)
    thread.start()
    out, err = process.communicate()
    took = time.perf_counter() - began
    over.set()
    thread.join()
    return Watched(
        took, *peak[0], sum(disk.values()), subprocess.CompletedProcess(command, process.returncode, out, err)
    )


SOURCE = """\
name: site
platform: declared
url: {url}/
list:
  as: html
  each: ["css:li"]
  fields: {{id: "css:a::attr(href)", title: "css:a::text", link: "css:a::attr(href)"}}
"""


# What a finding says of the bytes of a sample and of what is in them; the rest is where it was found.
SAID = ("bytes", "format", "rows", "records", "complete", "problems", "hits", "lineage")


def prepared(folder: Path, url: str) -> list[str]:
    """A home that knows one canary and one source; the command to use it with."""
    home = folder / "home"
    tocsin = [sys.executable, "-m", "scheduler", "--home", str(home)]
    quiet = {"check": True, "capture_output": True}
    subprocess.run([sys.executable, "-m", "scheduler", "init", str(home)], **quiet)
    (home / "tocsin.toml").write_text('[crawl]\nwall = "6h"\n[examine]\nwall = "6h"\ncpu = "6h"\n')
    canary = HEAD + rows(CANARY).split(b"\n")[0] + b"\n"
    table, bundle, source = folder / "canary.csv", folder / "canary.bundle", folder / "site.yaml"
    table.write_bytes(canary)
    enrol = [
        "canary",
        "enrol",
        "--key",
        str(home / "keys" / "enrol.key"),
        "--client",
        "one",
        str(table),
        "--out",
        str(bundle),
    ]
    subprocess.run([*tocsin, *enrol], **quiet)
    subprocess.run([*tocsin, "canary", "import", str(bundle)], **quiet)
    source.write_text(SOURCE.format(url=url))
    subprocess.run([*tocsin, "source", "add", str(source)], **quiet)
    return tocsin


def crawled(folder: Path, tocsin: list[str]) -> tuple[Watched, dict]:
    """The real command, one crawl, and what it printed; `written` is what files grew by."""
    before = sizes(folder)
    run = watched([*tocsin, "crawl", "site", "--json"])
    result = json.loads(run.done.stdout)["crawls"][0]
    if result["examined"] != 1 or not result["hits"]:
        raise RuntimeError(f"the crawl did not examine the file: {result} {run.done.stderr[-500:]!r}")
    return run, {"written": sizes(folder) - before, **result}


def sizes(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def stored(home: Path) -> dict:
    """What is kept of the one finding."""
    import sqlite3

    with sqlite3.connect(home / "tocsin.db") as database:
        [[body]] = database.execute("select body from finding").fetchall()
    return said(json.loads(body))


def said(value: dict) -> dict:
    """What two findings about the same bytes must both say; of members without the names that no store keeps."""
    return {**{name: value[name] for name in SAID}, "members": [said(member) for member in value["members"]]}


def scanned(folder: Path, tocsin: list[str], pieces: Iterator[bytes], way: str) -> tuple[Watched, dict]:
    """The same bytes from a file that is gone afterwards, and the finding."""
    file = folder / "dump.zip"
    with file.open("wb") as stream:
        stream.writelines(pieces)
    try:
        run = watched([*tocsin, "scan", *(["--bounded"] if way == "bounded" else []), str(file), "--json"])
    finally:
        file.unlink()
    [value] = json.loads(run.done.stdout)["inputs"]
    return run, said(value)


def different(one: dict, other: dict, at: str = "") -> list[str]:
    """Where two findings differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for name in sorted({*one, *other})
            for line in different(one.get(name), other.get(name), f"{at}.{name}".lstrip("."))
        ]
    return [] if one == other else [f"{at}: {one} streamed, {other} local"]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, default=0.1)
    parser.add_argument("--notes", action="store_true")
    parser.add_argument("--local", choices=("bounded", "exact"))
    options, _ = parser.parse_known_args()
    size = int(options.gigabytes * 1e9)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(16)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    server = Process(target=serve, args=(sock, size, options.notes), daemon=True)
    server.start()
    sock.close()
    try:
        with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
            folder = Path(name)
            tocsin = prepared(folder, url)
            pieces = zipped(size, with_notes=options.notes)
            local = scanned(folder, tocsin, pieces, options.local) if options.local else None
            run, result = crawled(folder, tocsin)
            finding = stored(folder / "home")
            with_notes = " with medical notes" if options.notes else ""
            head = f"a zip of CSV of {options.gigabytes:g} GB{with_notes}, made while it is sent"
            print(f"{head:<56}{'wall s':>9}{'MB/s':>8}{'MB mem':>8}{'MB disk':>9}")
            lines = [("tocsin crawl: downloaded, unpacked, examined, stored", run)]
            tool = next((tool for tool in ("bsdtar -xOf -", "funzip") if shutil.which(tool.split()[0])), None)
            if tool and shutil.which("curl"):
                rival = watched(["sh", "-c", f"curl -s {url}/dump.zip | {tool} | wc -c"])
                what = f"curl | {tool.split()[0]}: {int(rival.done.stdout) / 1e6:.0f} MB unpacked and thrown away"
                lines.insert(0, (what, rival))
            else:
                print("no rival: install curl, and unzip or libarchive-tools")
            if local:
                flag = " --bounded" if options.local == "bounded" else ""
                lines.append((f"tocsin scan{flag} of the same file", local[0]))
            for what, each in lines:
                speed = finding["bytes"] / 1e6 / each.seconds
                print(f"{what:<56}{each.seconds:>9.1f}{speed:>8.1f}{each.peak / 1e6:>8.0f}{each.disk / 1e6:>9.1f}")
            print("memory by process, MB:", {kind: round(size / 1e6) for kind, size in sorted(run.by.items())})
            print(json.dumps({"written": result["written"], "resumed": result["resumed"], **finding}))
            if local:
                differing = different(finding, local[1])
                print("the local file's finding:", "the same in every field" if not differing else "")
                for line in differing:
                    print(f"    {line}")
                if differing and options.local == "bounded":
                    sys.exit("a streamed file has another finding than the local one")
    finally:
        server.terminate()
        os.waitpid(server.pid or 0, 0) if server.pid else None


if __name__ == "__main__":
    main()
