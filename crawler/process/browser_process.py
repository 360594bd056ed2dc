"""A headless Chromium for one crawl, in a sandbox without any network, which the crawl process drives over one socket.

Whatever a page requests, the browser asks the crawl process for (`crawler.transport.browser`), which requests it as it does
everything else: of declared hosts only, over Tor where the source says so, obeying robots.txt and the rate.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from data.errors import ConfigError

# Bytes of memory that one process of the browser may write to, and processor seconds that it may use.
MAX_MEMORY, MAX_SECONDS = 2 * 2**30, 600
# The browser reads its commands from descriptor 3 and answers on 4. Limits are inherited by all of its processes.
_LAUNCH = (
    "import fcntl, os, resource, sys;"
    f"resource.setrlimit(resource.RLIMIT_DATA, ({MAX_MEMORY}, {MAX_MEMORY}));"
    f"resource.setrlimit(resource.RLIMIT_CPU, ({MAX_SECONDS}, {MAX_SECONDS}));"
    "resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
    "held = fcntl.fcntl(int(sys.argv[1]), fcntl.F_DUPFD_CLOEXEC, 10);"
    "os.dup2(held, 3); os.dup2(held, 4);"
    "os.execv(sys.argv[2], sys.argv[2:])"
)
# What of the machine the browser sees: programs, fonts and its own settings; nothing that belongs to anybody.
_VISIBLE = ("/etc/fonts", "/etc/chromium", "/etc/chromium.d", "/etc/alternatives", "/etc/ld.so.cache")
_TEMPORARY = "/tmp"  # noqa: S108 - a file system of its own, in memory
_SANDBOX = [
    "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "browser", "--clearenv",
    "--setenv", "HOME", _TEMPORARY, "--setenv", "PATH", "/usr/bin", "--setenv", "LANG", "C.UTF-8",
    "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",
    "--symlink", "usr/lib64", "/lib64", *(word for path in _VISIBLE for word in ("--ro-bind-try", path, path)),
    "--proc", "/proc", "--dev", "/dev", "--tmpfs", _TEMPORARY, "--chdir", _TEMPORARY,
]  # fmt: skip
_OPTIONS = [
    "--headless=new", "--remote-debugging-pipe", "--user-data-dir=/tmp/profile", "--no-first-run",
    # the walls of the sandbox stand around the whole browser, which cannot build its own inside of them
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-breakpad", "--disable-default-apps",
    # without HttpsUpgrades a page at http:// is asked for where its source declares it
    "--renderer-process-limit=1", "--disable-features=IsolateOrigins,site-per-process,Translate,MediaRouter,HttpsUpgrades",
    "--js-flags=--max-old-space-size=512", "--mute-audio", "--hide-scrollbars", "--window-size=1280,1600", "about:blank",
]  # fmt: skip
# Debian's program is a script that reads settings of the machine; the browser itself lies beside its library.
_PROGRAMS = ("/usr/lib/chromium/chromium", "/usr/lib/chromium-browser/chromium-browser")


def find_browser() -> str:
    """The path of Chromium.

    Raises:
        ConfigError: it is not installed, or the program that makes its sandbox is not.
    """
    found = next((path for path in _PROGRAMS if Path(path).exists()), "")
    if not found or shutil.which("bwrap") is None:
        raise ConfigError(
            "a source with  render: browser  needs Chromium and bubblewrap, which are not installed",
            hint="apt-get install --no-install-recommends chromium bubblewrap, or take  render  out of the source file",
        )
    return found


@contextlib.contextmanager
def browser_socket(*, wanted: bool) -> Iterator[list[socket.socket]]:
    """The socket of a new browser, which belongs to the crawl process; [] unless one is wanted.

    The browser ends with the context, and with this process.

    Raises:
        ConfigError: as `find_browser`.
    """
    if not wanted:
        yield []
        return
    program, sandbox = find_browser(), shutil.which("bwrap")
    assert sandbox is not None  # noqa: S101 - find_browser has looked
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [
                sys.executable, "-I", "-S", "-c", _LAUNCH, str(theirs.fileno()),
                sandbox, *_SANDBOX, "--", program, *_OPTIONS,
            ],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # it quotes addresses and content of pages
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath},
            cwd="/",
            start_new_session=True,
        )  # fmt: skip
    try:
        yield [ours]
    finally:
        process.kill()
        process.wait()
