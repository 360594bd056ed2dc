"""Lets the workers of a Dask cluster examine the pieces of a scan (`scheduler.local_files.shared_work`).

Dask only decides which worker does what, and notices workers that end. What makes the result exact is not left to it: each
piece has a name and one place for its result, and each result is opened by the examiner of this machine before it is kept:
it must be of this case, for this piece, with these tags and releases, and from an examiner that finds a planted person.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from crawler.process.file_chunks import FileIndex, cut
from data.errors import ConfigError, ExamineError
from data.settings.home import Home
from scheduler.local_files.cluster_crowd import Crowd, ScanPiece
from scheduler.local_files.scan_plan import Plan
from scheduler.local_files.shared_work import SharedScan

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local:"
PATIENCE = timedelta(minutes=10)
"""So long a command waits for workers of a cluster that has none."""
_INSTALL = "pip install 'tocsin[dask]'"


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
        opened.enter_context(_quiet_dask())
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


@contextlib.contextmanager
def _quiet_dask() -> Iterator[None]:
    """Keep what Dask says of workers and connections that end from the person who waits: it is told in our words."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # It says what becomes of the tasks of a client that was closed, whenever they are collected.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def examine_on_cluster(
    client: Client,
    home: Home,
    work: SharedScan,
    plan: Plan,
    report: Callable[[str], None],
    patience: timedelta = PATIENCE,
) -> None:
    """Examine all pieces of a plan whose results are not there yet.

    A piece that cannot be examined is told, and the others are examined all the same.

    Args:
        client: of the cluster. Its workers must see the files under the same paths.
        home: whose tags and releases samples are compared with.
        work: keeps the results.
        plan: what is scanned.
        report: gets sentences for the person who waits.
        patience: how long to wait for workers if there are none.

    Raises:
        ExamineError: there were none for so long, or none that can examine this case; results that are there are kept.
    """
    crowd = Crowd(client, home, work, plan, report, patience)
    try:
        open_ = [each for each in plan.inputs if plan.may_cut(each) and work.known_index(each) is None]
        crowd.examine([ScanPiece(each, "index") for each in open_])
        pieces = []
        for each in plan.inputs:
            index = work.known_index(each) if plan.may_cut(each) else FileIndex.whole("")
            if each.error or index is None:
                continue
            found = [ScanPiece(each, "whole")]
            if index.is_cuttable:
                found = [ScanPiece(each, "chunk", chunk) for chunk in cut(index, plan.chunk_bytes)]
            pieces += [piece for piece in found if not work.has(piece.each, piece.kind, piece.chunk)]
        crowd.examine(pieces)
    finally:
        crowd.close()
