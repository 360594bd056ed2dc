"""The examiner process.

It reads the match key itself, gives up the network before it reports that it is ready, and from then on uses only
sockets that it was given. Protocol: docs/protocols.md, section 2; `crawler.process.examiner_client` has the other ends.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawler.examiner.sample_socket import describe_error
from crawler.process.examiner_client import Greeting
from crawler.process.examiner_limits import ExaminerLimits
from crawler.process.frames import load, pack_json, receive, receive_with_socket, send_json
from data.durable_files import read_file
from data.errors import ExamineError, WireError
from data.settings.home import Home
from data.settings.key_keeper import DESCRIPTOR_VARIABLE

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner
    from data.hashing.chain_keys import ChainKeys


# Orders that do not change the watch-list or the releases: keys of chains, a ping and a self-test.
KEEPING_SETS = frozenset({b"K", b"P", b"T"})


class _ExaminerService:
    """Opens the examiner, and serves the orders that come on its control socket."""

    def __init__(self, control: socket.socket, home: Home) -> None:
        self.control = control
        self.home = home
        self.examiner: Examiner | None = None
        self.chain_keys: ChainKeys | None = None
        # to be asked before the key is read: a descriptor gives it once
        self.has_match_key = home.match_key_came_from_its_file and DESCRIPTOR_VARIABLE not in home.environ

    def current(self) -> Examiner:
        assert self.examiner is not None  # noqa: S101 - opened before the first connection is taken
        return self.examiner

    def open(self) -> Greeting:
        """Load the key, the sets and the kernels, start the sandbox, and give up the network."""
        from crawler.process import memory_limits, privileges
        from crawler.sandbox.sandbox import Limits, Sandbox
        from data.hashing.case_keys import parse_keys

        kind, payload = receive(self.control)
        if kind != b"S":
            raise WireError("an examiner is told its limits first")
        chosen = ExaminerLimits(**load(payload))
        keys, self.chain_keys = parse_keys(self.home.match_key_text())
        keys.protect()
        limits = Limits(
            memory=chosen.memory,
            cpu=chosen.cpu,
            wall=chosen.wall,
            max_output=chosen.max_output,
            max_entries=chosen.max_entries,
            max_depth=chosen.max_depth,
            max_ratio=chosen.max_ratio,
        )
        # it starts while the kernels are loaded, which takes about as long, if there are two processors
        sandbox = Sandbox(limits, bwrap=True if chosen.require_bubblewrap else None, wait=False)
        privileges.no_new_privs()
        network = privileges.without_network()

        from crawler.examiner.examination import Examiner
        from crawler.examiner.kernel_warmup import is_compiled, warm_up
        from data.case.watchlist import Watchlist
        from data.releases.known_releases import KnownReleases

        if not is_compiled():
            send_json(self.control, b"N", {"text": "compiling the matching kernels, once on this machine…"})
        warm_up()
        watchlist = Watchlist.open(self.home.watchlist_dir, case=keys.case)
        releases = KnownReleases.open(self.home.releases_dir)
        recipient = ""
        if self.home.evidence_key_path.is_file():
            recipient = read_file(self.home.evidence_key_path).decode(errors="replace").strip()
        self.examiner = Examiner(keys, watchlist, releases, sandbox, recipient, chosen.exact_rows)
        clients = watchlist.clients()
        sandbox.ready()
        # not before: compiling kernels takes memory once, and the process that forks readers has limits of its own
        memory = memory_limits.limit_data(chosen.examiner_memory)
        return Greeting(
            post_key=keys.post,
            case=keys.case,
            clients=len(clients),
            canaries=sum(client.active for client in clients),
            releases=len(releases),
            protection={
                "examiner network": network,
                "examiner memory": f"at most {memory // 2**20} MiB that it can write to",
                "memory of all processes": memory_limits.describe_cgroup(),
                **sandbox.protection(),
            },
        )

    def serve(self) -> None:
        """Carry out orders until the runner closes its end of the control socket."""
        from crawler.examiner.connections import ConnectionManager

        connections = ConnectionManager(self.current, max_workers(), [self.control])
        while True:
            poll = select.poll()
            for descriptor in (self.control.fileno(), *connections.descriptors()):
                poll.register(descriptor, select.POLLIN)
            readable = {descriptor for descriptor, _ in poll.poll()}
            connections.handle_readable(readable - {self.control.fileno()})
            if self.control.fileno() not in readable:
                continue
            kind, payload, sock = receive_with_socket(self.control)
            if kind == b"A" and sock is not None:
                connections.serve(sock)
                continue
            try:
                answer = pack_json(b"O", self._order(kind, load(payload)))
            except Exception as error:  # noqa: BLE001 - the error is sent to the runner, which decides
                answer = pack_json(b"X", describe_error(error))
            if kind not in KEEPING_SETS:
                # whatever else the order was, no worker may continue with sets that this process has replaced
                connections.note_new_sets()
            self.control.sendall(answer)

    def _order(self, kind: bytes, value: Mapping[str, Any]) -> Any:
        """Carry out one order; returns the payload of the answer."""
        from data.case.watchlist import Watchlist
        from data.releases.known_releases import KnownReleases

        examiner = self.current()
        if kind == b"W":
            builder = examiner.builders.pop(value["release"], None)
            if builder is None:
                raise ExamineError("nothing was collected for this release")
            manifest = builder.write(self.home.releases_dir, {**value["manifest"], "case": examiner.keys.case})
            examiner.releases = KnownReleases.open(self.home.releases_dir)
            return manifest
        if kind == b"L":
            examiner.watchlist = Watchlist.open(self.home.watchlist_dir, case=examiner.keys.case)
            examiner.releases = KnownReleases.open(self.home.releases_dir)
            return {}
        if kind == b"P":
            return {"reader_restarts": examiner.sandbox.restarts}
        if kind == b"T":
            from crawler.examiner.key_files import key_file_faults
            from crawler.examiner.self_test import run_self_test

            keys = key_file_faults(self.home, examiner.keys.case, has_match_key=self.has_match_key)
            return {"wrong": run_self_test(examiner) + keys}
        if kind == b"K":
            return self._chain_keys(value)
        raise WireError("an order of an unknown kind")

    def _chain_keys(self, numbers: Mapping[str, Any]) -> dict[str, Any]:
        """Keys of the next entries of the chains; keys of earlier entries are forgotten here as well."""
        keys = self.chain_keys
        if keys is None:
            raise ExamineError("a worker has no keys of chains")
        given = {}
        for name, key in (("evidence", keys.evidence), ("audit", keys.audit)):
            key.advance(max(key.number, int(numbers[name])))
            given[name] = {"number": key.number, "secret": key.secret.hex()}
        return given


def max_workers() -> int:
    """How many workers may be forked for small samples: one for each processor, none if there is only one."""
    processors = len(os.sched_getaffinity(0))
    return processors if processors > 1 else 0


def main() -> None:
    """Run the process: `python -m crawler.examiner.main FD HOME`, with the control socket as descriptor FD."""
    from crawler.process import privileges, startup_memory

    control = socket.socket(fileno=int(sys.argv[1]))
    home = Home(Path(sys.argv[2]))
    privileges.die_with_parent()
    privileges.no_core_dumps()
    # objects that are created during the start stay, so that the garbage collector need not search them each time
    gc.disable()
    service = _ExaminerService(control, home)
    try:
        greeting = service.open()
        startup_memory.release_startup_memory()
        gc.enable()
    except Exception as error:  # noqa: BLE001 - it is sent to the runner, which raises it again
        send_json(control, b"X", describe_error(error))
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
    # the text of an uncaught exception could hold content of a sample: print its class only
    sys.excepthook = lambda kind, _value, _trace: print(f"examiner: {kind.__name__}", file=sys.stderr)  # noqa: T201
    threading.excepthook = lambda failed: print(f"examiner: {failed.exc_type.__name__}", file=sys.stderr)  # noqa: T201
    main()
