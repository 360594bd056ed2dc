"""Fixtures of all tests: real servers, started when a test first asks for one, and a home of its own for each test."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from data.settings.home import Home
from tests.servers.flaskbb import FlaskBB
from tests.servers.nginx import Nginx
from tests.servers.pinnwand import Pinnwand
from tests.servers.public_inbox import PublicInbox
from tests.servers.spirit import Spirit
from tests.servers.synapse import Synapse
from tests.servers.tor_network import TorNetwork

# files of homes that tests write must not be writable by the group, whatever the user's own umask is
os.umask(0o022)

# pytest's workers set it, and tables would be as narrow
os.environ.pop("COLUMNS", None)

# Modules and collected tests stay: to search them for garbage again and again took a tenth of the time of the tests that
# start no process, and a sixth of that of collecting them.
gc.set_threshold(20_000, 10, 10)

# the same examples in every run: a suite says what it says of one commit; looking further is what `make fuzz` is for
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


class Server(Protocol):
    def stop(self) -> None: ...


S = TypeVar("S", bound=Server)


# Files of tests that share a server which is dear to start: they run one after another on one worker.
SHARED = {
    "tests/servers/": "servers",
    "tests/whole/test_kill.py": "servers",
    "tests/whole/test_large_messages.py": "servers",
    "tests/whole/test_whole_way.py": "servers",
}
# Folders whose files take longest: they run first, so that no worker waits for them at the end.
LONGEST = ("tests/servers/", "tests/whole/", "tests/promises/", "tests/scheduler/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one shared server stand together, the longest files first; the order is otherwise that of the files."""
    groups = list(dict.fromkeys(SHARED.values()))

    def place(item: pytest.Item) -> tuple[int, int]:
        scope = _scope(item.nodeid)
        folder = next((at for at, begin in enumerate(LONGEST) if item.nodeid.startswith(begin)), len(LONGEST))
        return (groups.index(scope), 0) if scope in groups else (len(groups), folder)

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """What is there now is never garbage."""
    gc.freeze()


def _scope(nodeid: str) -> str:
    """What of the tests runs on one worker: those of a file, which share its fixtures, or those of a shared server."""
    return next((group for begin, group in SHARED.items() if nodeid.startswith(begin)), nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByFileOrServer(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _scope(nodeid)

    # in the order of `pytest_collection_modifyitems`, not by how many tests a file has
    config.option.loadscopereorder = False
    return ByFileOrServer(config, log)


def _run(make: Callable[[Path], S], folder: Path) -> Iterator[S]:
    server = make(folder)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def pinnwand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pinnwand]:
    """A pastebin."""
    yield from _run(Pinnwand, tmp_path_factory.mktemp("pinnwand"))


@pytest.fixture(scope="session")
def spirit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spirit]:
    """A forum."""
    yield from _run(Spirit, tmp_path_factory.mktemp("spirit"))


@pytest.fixture(scope="session")
def flaskbb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskBB]:
    """A forum."""
    yield from _run(FlaskBB, tmp_path_factory.mktemp("flaskbb"))


@pytest.fixture(scope="session")
def public_inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicInbox]:
    """An archive of mailing lists."""
    yield from _run(PublicInbox, tmp_path_factory.mktemp("public-inbox"))


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """An open directory and feed server."""
    yield from _run(Nginx, tmp_path_factory.mktemp("nginx"))


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """A chat server."""
    yield from _run(Synapse, tmp_path_factory.mktemp("synapse"))


@pytest.fixture(scope="module")
def tor_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorNetwork]:
    """A private Tor network with onion services; nothing of it leaves this machine.

    It ends with the module, because its relays take a fifth of a small machine for as long as they run.
    """
    yield from _run(TorNetwork, tmp_path_factory.mktemp("tor"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that `tocsin init` has just made."""
    from click.testing import CliRunner

    from scheduler.cli import tocsin

    folder = tmp_path / "home"
    made = CliRunner().invoke(tocsin, ["init", str(folder)], catch_exceptions=False)
    assert made.exit_code == 0, made.output
    return Home(folder, {}).require()
