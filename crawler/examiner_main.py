"""The examiner process.

It reads the match key itself, loses the network before it says that it is ready, and from then on talks only on sockets
that it was given. Protocol: docs/architecture.md, section 2; the ends that others hold are `crawler.examiner`.
"""

from __future__ import annotations

import array
import contextlib
import gc
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawler.examiner import Greeting
from crawler.wire import load, pack_json, receive, send_json
from data.errors import ExamineError, TocsinError, WireError
from data.home import Home

if TYPE_CHECKING:
    from crawler.examine import Examiner
    from data.model import Finding


class _Samples:
    """The chunks of one sample on a socket, and what the peer said at their end."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.ending: dict[str, Any] = {}
        self.over = self.told = False

    def __iter__(self) -> Iterator[bytearray]:
        while not self.over:
            kind, payload = receive(self.socket)
            if kind == b"D":
                yield payload
            elif kind == b"E":
                self.ending.update(load(payload))
                self.over = True
            else:
                raise WireError("an unknown frame in the middle of a sample")

    def enough(self) -> None:
        """Tell the peer, once, that nothing further of the sample can be examined; it may still send some."""
        if not self.told:
            self.told = True
            with contextlib.suppress(OSError):
                # a peer that is gone is met by whoever reads next
                send_json(self.socket, b"C", {})

    def drain(self) -> None:
        """Read to the end of the sample, so that the connection can go on after an error."""
        for _ in self:
            pass


def _describe(error: Exception) -> dict[str, str]:
    if isinstance(error, TocsinError):
        return {"code": type(error).__name__, "message": str(error), "hint": error.hint}
    # the text of a foreign error may hold content of the sample: only its class leaves this process
    return {"code": "ExamineError", "message": f"the examiner failed with {type(error).__name__}", "hint": ""}


def finding_frame(finding: Finding) -> bytes:
    """The frame of a finding; without its members where they make it too large: what was found is always told."""
    try:
        return pack_json(b"F", finding.to_json())
    except WireError:
        said = "members: its members were examined and are too many to be listed"
        return pack_json(b"F", replace(finding, members=(), problems=(*finding.problems, said)).to_json())


def _serve_samples(sock: socket.socket, examiner: Callable[[], Examiner]) -> None:
    from crawler.examine import Request
    from crawler.sandbox import Kept

    with sock, contextlib.closing(Kept(examiner().sandbox)) as kept:
        while True:
            try:
                kind, payload = receive(sock)
            except (EOFError, OSError):
                return
            samples = _Samples(sock)
            try:
                if kind != b"S":
                    raise WireError("a sample must begin with a start frame")
                finding = examiner().examine(
                    Request.from_json(load(payload)), samples, samples.ending, kept, samples.enough
                )
                answer = finding_frame(finding)
            except (EOFError, ConnectionError):
                return
            except Exception as error:  # noqa: BLE001 - one sample must not end the others' process; it is told
                answer = pack_json(b"X", _describe(error))
                with contextlib.suppress(EOFError, OSError, WireError):
                    samples.drain()
            try:
                sock.sendall(answer)
            except OSError:
                return


class _Service:
    """The process's own end of its control socket."""

    def __init__(self, control: socket.socket, home: Home) -> None:
        self.control = control
        self.home = home
        self.examiner: Examiner | None = None

    def current(self) -> Examiner:
        assert self.examiner is not None  # noqa: S101 - opened before the first connection is taken
        return self.examiner

    def open(self) -> Greeting:
        """Key, sets, sandbox and kernels; then no network any more."""
        from crawler import confine
        from crawler.sandbox import Limits, Sandbox
        from data.tags import parse_match_key

        settings = self.home.settings().examine
        keys = parse_match_key(self.home.match_key_text()).derive()
        os.environ.pop("TOCSIN_MATCH_KEY", None)
        limits = Limits(
            memory=settings.memory,
            cpu=settings.cpu.total_seconds(),
            wall=settings.wall.total_seconds(),
            max_output=settings.max_output,
            max_entries=settings.max_entries,
            max_depth=settings.max_depth,
            max_ratio=settings.max_ratio,
        )
        # it takes as long to start as the kernels take to load: with two processors both are done at once
        sandbox = Sandbox(limits, wait=False)
        confine.no_new_privs()
        network = confine.without_network()

        from crawler.examine import Examiner
        from crawler.warm import is_compiled, warm_up
        from data.releases import Releases
        from data.watchlist import Watchlist

        if not is_compiled():
            send_json(self.control, b"N", {"text": "compiling the matching kernels, once on this machine…"})
        warm_up()
        watchlist = Watchlist.open(self.home.watchlist_dir, case=keys.case)
        releases = Releases.open(self.home.releases_dir)
        recipient = ""
        if self.home.evidence_key_path.is_file():
            recipient = self.home.evidence_key_path.read_text(errors="replace").strip()
        self.examiner = Examiner(keys, watchlist, releases, sandbox, recipient, settings.exact_rows)
        clients = watchlist.clients()
        sandbox.ready()
        return Greeting(
            post_key=keys.post,
            case=keys.case,
            clients=len(clients),
            canaries=sum(client.active for client in clients),
            releases=len(releases),
            protection={"examiner network": network, **sandbox.protection()},
        )

    def serve(self) -> None:
        """Take orders until the runner closes its end."""
        while True:
            message, ancillary, _, _ = self.control.recvmsg(5, socket.CMSG_SPACE(4))
            if not message:
                return
            header = message + self._rest(5 - len(message))
            kind, size = header[:1], int.from_bytes(header[1:], "little")
            payload = self._rest(size)
            if kind == b"A":
                descriptors = array.array("i")
                for _, _, data in ancillary:
                    descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
                sock = socket.socket(fileno=descriptors[0])
                threading.Thread(target=_serve_samples, args=(sock, self.current), daemon=True).start()
                continue
            try:
                answer = pack_json(b"O", self._order(kind, load(payload)))
            except Exception as error:  # noqa: BLE001 - the runner is told, and decides
                answer = pack_json(b"X", _describe(error))
            self.control.sendall(answer)

    def _rest(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.control.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def _order(self, kind: bytes, value: Mapping[str, Any]) -> Any:
        from data.releases import Releases
        from data.watchlist import Watchlist

        examiner = self.current()
        if kind == b"W":
            builder = examiner.builders.pop(value["release"], None)
            if builder is None:
                raise ExamineError("nothing was collected for this release")
            manifest = builder.write(self.home.releases_dir, {**value["manifest"], "case": examiner.keys.case})
            examiner.releases = Releases.open(self.home.releases_dir)
            return manifest
        if kind == b"L":
            examiner.watchlist = Watchlist.open(self.home.watchlist_dir, case=examiner.keys.case)
            examiner.releases = Releases.open(self.home.releases_dir)
            return {}
        if kind == b"T":
            from crawler.selftest import selftest

            return {"wrong": selftest(examiner)}
        raise WireError("an unknown order")


def main() -> None:
    """Entry of the process: `python -m crawler.examiner_main FD HOME`."""
    from crawler import confine, footprint

    control = socket.socket(fileno=int(sys.argv[1]))
    home = Home(Path(sys.argv[2]))
    confine.die_with_parent()
    confine.no_core_dumps()
    # what is loaded now stays, and is looked through once, at the end
    gc.disable()
    service = _Service(control, home)
    try:
        greeting = service.open()
        footprint.settle()
        gc.enable()
    except Exception as error:  # noqa: BLE001 - said on the socket, where the runner raises it again
        send_json(control, b"X", _describe(error))
        sys.exit(2)
    send_json(
        control,
        b"G",
        {
            "post_key": greeting.post_key.hex(),
            "case": greeting.case,
            "clients": greeting.clients,
            "canaries": greeting.canaries,
            "releases": greeting.releases,
            "protection": dict(greeting.protection),
        },
    )
    with contextlib.suppress(EOFError, ConnectionError):
        service.serve()
    os._exit(0)


if __name__ == "__main__":
    # an uncaught exception's text could hold content: say its class, and no more
    sys.excepthook = lambda kind, _value, _trace: print(f"examiner: {kind.__name__}", file=sys.stderr)  # noqa: T201
    threading.excepthook = lambda arguments: print(f"examiner: {arguments.exc_type.__name__}", file=sys.stderr)  # noqa: T201
    main()
