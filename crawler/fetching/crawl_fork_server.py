"""The fork server of crawl processes: it has imported Scrapy and forks one process per request, until its socket closes.

It listens on no path and unpickles nothing: requests arrive on one inherited socket pair, as a few numbers with file
descriptors. The runner's end is `scheduler.crawl_processes.fork_server`. Started as
`python -m crawler.fetching.crawl_fork_server FD`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
from typing import NoReturn

import crawler.tor.tor_handler
from crawler.fetching import crawl_process
from crawler.process import privileges, startup_memory
from data.vocabulary import vocabulary

REQUEST = struct.Struct("=B")
"""Number of sample sockets. Descriptors: the life socket, the control socket, the dial socket, the sample sockets.

`BATCH` in place of the number: a process for many crawls. Descriptors: the life socket, the socket on which they arrive.
"""
BATCH, PING = 255, 254
"""With `PING` only the life socket is passed: the server answers on it, which shows that it works."""
STARTED, ENDED = struct.Struct("=i"), struct.Struct("=i")
"""Messages on the life socket: first the process id with a pidfd of the process, last its wait status."""


class _Server:
    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._lives: dict[int, socket.socket] = {}
        self._wakeup, self._wake = os.pipe()
        for end in (self._wakeup, self._wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)

    def serve(self) -> None:
        """Until the runner closes the socket or ends."""
        poll = select.poll()
        poll.register(self._requests, select.POLLIN)
        poll.register(self._wakeup, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wakeup in ready:
                os.read(self._wakeup, 4096)
                self._reap()
            if self._requests.fileno() in ready and not self._fork():
                return

    def _fork(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._requests, REQUEST.size, crawl_process.MAX_SAMPLES + 3)
        if not message:
            return False
        life, *passed = (socket.socket(fileno=each) for each in descriptors)
        if message[0] == PING:
            with contextlib.suppress(OSError), life:
                life.send(STARTED.pack(os.getpid()))
            return True
        pid = os.fork()
        if pid == 0:
            # sockets of other crawls do not belong to this one
            for each in (self._requests, life, *self._lives.values()):
                each.close()
            signal.set_wakeup_fd(-1)
            os.close(self._wakeup)
            os.close(self._wake)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _crawl(message[0], passed)
        for each in passed:
            each.close()
        self._lives[pid] = life
        watch = os.pidfd_open(pid)
        try:
            socket.send_fds(life, [STARTED.pack(pid)], [watch])
        except OSError:
            # nobody waits for this crawl any more
            os.kill(pid, signal.SIGKILL)
        finally:
            os.close(watch)
        return True

    def _reap(self) -> None:
        while self._lives:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with contextlib.suppress(OSError), self._lives.pop(pid) as life:
                life.send(ENDED.pack(status))


def _crawl(kind: int, passed: list[socket.socket]) -> NoReturn:
    try:
        if kind == BATCH:
            crawl_process.main_of_batch(*passed)
        else:
            control, dial, *samples = passed
            crawl_process.main(control, samples, dial)
    finally:
        os._exit(1)


def main(descriptor: int) -> None:
    """Entry of the process: `descriptor` is that of its end of the request socket."""
    requests = socket.socket(fileno=descriptor)
    # the runner may be killed while this process stands still, and does not see that its socket was closed
    privileges.die_with_parent()
    privileges.no_core_dumps()
    # each crawl needs it, and reading it takes 0.01 s of processor time
    vocabulary()
    startup_memory.release_startup_memory()
    _Server(requests).serve()


__all__ = ["crawler", "main"]

if __name__ == "__main__":
    main(int(sys.argv[1]))
