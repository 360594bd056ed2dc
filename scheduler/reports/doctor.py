"""The checks of `tocsin doctor`: each reports a result and, if something is wrong, how to repair it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from data.durable_files import read_file
from data.errors import KeyFileError, TocsinError
from data.plural import counted
from data.settings.home import Home
from data.settings.settings import Channel
from scheduler.reports.check import Check

# Receivers that follow Standard Webhooks refuse a timestamp that is off by more than five minutes.
MAX_SKEW = 60.0
# Bytes; with less free space on the disk `doctor` warns.
MIN_FREE = 512 * 2**20
RUN_AGAIN = "repair what is wrong above, then run this again; if this line remains, report it"


def examine_home(home: Home) -> list[Check]:
    """All checks of an installation, in the order in which they should be repaired.

    A part that raises an error becomes one check with the part's name and the error.
    """
    checks: list[Check] = []
    for name, part in PARTS.items():
        try:
            checks.extend(part(home))
        except TocsinError as error:
            checks.append(Check(name, "wrong", str(error), error.hint or RUN_AGAIN))
    return checks


def _folder(home: Home) -> Iterator[Check]:
    if not home.config_path.is_file():
        yield Check("home", "wrong", f"{home.path} holds no tocsin.toml", f"tocsin init {home.path}")
        return
    exposed = [path for path in _owned(home) if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    for path in exposed:
        yield Check("permissions", "wrong", f"{path} can be accessed by other users", f"chmod go-rwx {path}")
    foreign = [path for path in _owned(home) if path.lstat().st_uid != os.geteuid()]
    for path in foreign:
        yield Check("owner", "warning", f"{path} belongs to another user", f"chown -R $(id -un) {home.path}")
    if not exposed and not foreign:
        yield Check("home", "ok", f"{home.path}, readable by its owner only")
    if not os.access(home.path, os.W_OK):
        yield Check(
            "writing",
            "wrong",
            f"nothing can be written to {home.path}: nothing can be watched, and the database cannot even be read",
            "make it writable for the user who runs this: is its file system mounted read-only?",
        )
    free = shutil.disk_usage(home.path).free
    if free < MIN_FREE:
        yield Check(
            "disk",
            "warning",
            f"{free / 2**20:,.0f} MiB are free",
            "free some space: with a full disk nothing can be stored",
        )
    else:
        yield Check("disk", "ok", f"{free / 2**30:,.1f} GiB are free")


def _owned(home: Home) -> list[Path]:
    """The home folder and everything in it, except symbolic links."""
    return [home.path, *sorted(path for path in home.path.rglob("*") if not path.is_symlink())]


def _keys(home: Home) -> Iterator[Check]:
    from data.hashing.case_keys import parse_enrol_key, parse_match_key

    match = parse_match_key(home.match_key_text()).derive()
    yield Check("match key", "ok", f"case {match.case}")
    if not home.enrol_key_path.is_file():
        yield Check(
            "enrolment key", "warning", "missing: no canaries can be created here", "tocsin doctor --restore-enrol-key"
        )
    else:
        try:
            case = parse_enrol_key(read_file(home.enrol_key_path).decode(errors="replace")).case
            problem = "" if case == match.case else "it belongs to another case"
        except KeyFileError as error:
            problem = str(error)
        repair = "tocsin doctor --restore-enrol-key writes the right key"
        if problem:
            yield Check("enrolment key", "wrong", problem, repair)
        else:
            yield Check("enrolment key", "ok", "belongs to the same case")
    yield from _evidence_key(home)


def _evidence_key(home: Home) -> Iterator[Check]:
    from data.case import evidence

    if not home.evidence_key_path.is_file():
        yield Check(
            "evidence key",
            "warning",
            "keys/evidence.pub is missing: no evidence is sealed",
            "run age-keygen, and write the public half to keys/evidence.pub",
        )
        return
    evidence.seal(read_file(home.evidence_key_path).decode(errors="replace").strip(), b"trial")
    yield Check("evidence key", "ok", "can seal evidence")
    if (home.keys_dir / "evidence.key").exists():
        yield Check(
            "evidence key",
            "warning",
            "its private half is still in the home folder",
            f"move {home.keys_dir / 'evidence.key'} to where only your team reads it",
        )


def _settings(home: Home) -> Iterator[Check]:
    settings = home.settings()
    if not settings.channels:
        yield Check(
            "channels",
            "warning",
            "none is declared: nobody is told of anything, and alerts wait in the outbox for the first one",
            "add a [channels.NAME] table to tocsin.toml",
        )
    yield Check("settings", "ok", f"{home.config_path.name} is valid")


def _store(home: Home) -> Iterator[Check]:
    from data.store.store import Store

    if not home.db_path.exists():
        yield Check("store", "ok", "does not exist yet: the first crawl creates it")
        return
    with contextlib.closing(Store.open(home.db_path)) as store:
        damage = store.database.integrity_problems()
    if damage:
        yield Check("store", "wrong", f"tocsin.db is damaged: {damage[0]}", "restore tocsin.db from a backup")
        return
    yield Check("store", "ok", "can be opened; every row agrees with its copy")
    yield from _record(home)


def _record(home: Home) -> Iterator[Check]:
    """The evidence and the audit chain, against each other and the findings."""
    from scheduler.reports.record_check import AUDIT, check_record

    found = check_record(home, datetime.now(UTC))
    repair = "tocsin evidence verify shows everything; restore the home from a backup and compare"
    for problem in found.problems:
        if problem.startswith(AUDIT):
            yield Check("audit", "wrong", f"the chain is broken: {problem.removeprefix(AUDIT)}", repair)
        else:
            yield Check("evidence", "wrong", problem, repair)
    if found.problems:
        return
    keys = {
        "checked": "their keys are right",
        "not available": "without the match key only their digests were checked",
        "none": "they are not keyed yet",
    }[found.keys]
    at_rest = (
        "; the match key lies in this home, so only a head in an alert reveals a record that was forged with it"
        if home.match_key_is_at_rest
        else ""
    )
    yield Check("record", "ok", f"evidence and audit chain agree with the findings; {keys}{at_rest}")


def _sources(home: Home) -> Iterator[Check]:
    from data.sources.source_files import load_sources

    good, bad = load_sources(home.sources_dir)
    for error in bad:
        yield Check("sources", "wrong", str(error), error.hint or "correct the file")
    yield Check(
        "sources",
        "ok" if good else "warning",
        f"{counted(len(good), 'source')} declared",
        "" if good else "tocsin source add FILE",
    )


def _tag_sets(home: Home) -> Iterator[Check]:
    from data.case.watchlist import Watchlist
    from data.hashing.case_keys import parse_match_key
    from data.releases.known_releases import KnownReleases
    from scheduler.canaries.known_watchlist import check_watchlist
    from scheduler.crawls.known_releases import check_releases

    case = parse_match_key(home.match_key_text()).derive().case
    check_watchlist(home)
    watchlist = Watchlist.open(home.watchlist_dir, case=case)
    watchlist.verify()
    clients = watchlist.clients()
    active = sum(client.active for client in clients)
    yield Check(
        "watch-list",
        "ok" if active else "warning",
        f"{counted(active, 'canary', 'canaries')} of {counted(len(clients), 'client')}",
        "" if active else "tocsin canary generate, or import a bundle",
    )
    if not watchlist.has_checksums:
        yield Check(
            "watch-list",
            "warning",
            "an earlier version wrote it without checksums, so damage to it may go unnoticed",
            "tocsin canary import BUNDLE with any bundle, also one that was imported before, converts it",
        )
    if 2 * watchlist.count_shared() >= max(1, len(watchlist)):
        yield Check(
            "watch-list",
            "wrong",
            "most of its entries recognise nobody, because too many entries have the same values",
            "if the same people were enrolled many times: tocsin canary retire, for the older bundles",
        )
    check_releases(home)
    releases = KnownReleases.open(home.releases_dir)
    releases.verify()
    yield Check("releases", "ok", f"{counted(len(releases), 'release')} known")


def _system(home: Home) -> Iterator[Check]:
    from crawler.process import landlock, privileges
    from scheduler.reports.machine_checks import machine_checks

    yield from machine_checks(home)
    support = landlock.describe_support()
    if support.startswith("none"):
        yield Check(
            "crawl files",
            "warning",
            f"{support}: a crawl process could read the home folder",
            "use Linux 5.13 or newer, with Landlock",
        )
    else:
        yield Check("crawl files", "ok", f"crawl processes cannot read the home folder ({support})")
    if privileges.inherited_sockets_filter_works():
        yield Check("crawl network", "ok", "crawl processes can make no connections and start no programs of their own")
    else:
        yield Check(
            "crawl network",
            "warning",
            "this machine has no system call filter: a crawl process that is taken over could make connections of its own",
            "use a kernel with seccomp, on x86_64 or aarch64",
        )


def _tor(home: Home) -> Iterator[Check]:
    from data.sources.source_files import load_sources
    from scheduler.crawls.definitions import complete_definition
    from scheduler.reports import tor_report

    definitions = []
    for source in load_sources(home.sources_dir)[0]:
        # the check of the source files has reported its errors already
        with contextlib.suppress(TocsinError):
            definitions.append(complete_definition(source))
    yield from tor_report.checks(home, home.settings(), definitions)


def _examiner(home: Home) -> Iterator[Check]:
    from scheduler.canaries.known_watchlist import start_examiner

    began = time.monotonic()
    with start_examiner(home) as examiner:
        took = time.monotonic() - began
        yield Check("examiner", "ok", f"ready after {took:.1f} s")
        failures = examiner.selftest()
        yield Check(
            "self-test",
            "wrong" if failures else "ok",
            "; ".join(failures) or "both passes find a test canary in a zip file",
            "reinstall (make setup); restore watchlist/ from a backup if its entries are lost" if failures else "",
        )
        for name, level in examiner.greeting.protection.items():
            weak = level.startswith(("none", "degraded"))
            yield Check(
                name,
                "warning" if weak else "ok",
                level,
                "apt-get install bubblewrap, or run as a user who may create namespaces" if weak else "",
            )


def _channels(home: Home) -> Iterator[Check]:
    for name, channel in home.settings().channels.items():
        yield from _channel(name, channel)
    yield from _routes(home)


def _routes(home: Home) -> Iterator[Check]:
    """Names in routes that nothing has: such a route sends nothing, and nobody would notice."""
    from data.case.incidents import read_incidents, slug
    from data.watchlist.manifest import client_names

    routes = home.settings().routes
    known = {
        "incident": {each.id for each in read_incidents(home.path)},
        "source": {path.stem for path in home.sources_dir.glob("*.y*ml")},
        "client": set(client_names(home.watchlist_dir)),
    }
    for kind, names in known.items():
        for name in sorted({name for route in routes for name in getattr(route, f"{kind}s")}):
            if (slug(name) if kind == "incident" else name) in names:
                continue
            yield Check(
                "routes",
                "warning",
                f"a route names the {kind} '{name}', which does not exist: that name takes no event",
                f"correct it in tocsin.toml; the names are in: tocsin {'canary' if kind == 'client' else kind} list",
            )


def _channel(name: str, channel: Channel) -> Iterator[Check]:
    """Send a harmless request to the channel's server, or open a connection if it is a mail or syslog server.

    An answer of any status shows that the server can be reached, and its Date header what time its clock shows.
    """
    import socket

    import httpx

    from crawler.alerts.channels.registry import masked
    from scheduler.delivery import mail, syslog

    if channel.kind == "apprise":
        yield _apprise_channel(name, channel)
        return
    address = channel.url.get_secret_value()
    shown = masked(address)
    parts, answer = urlsplit(address), None
    port = (mail.PORTS | syslog.PORTS).get(parts.scheme)
    seconds = channel.timeout.total_seconds()
    try:
        if port is not None:
            socket.create_connection((parts.hostname or "", parts.port or port), seconds).close()
        else:
            with httpx.Client(trust_env=False, follow_redirects=False, timeout=seconds) as client:
                answer = client.request("OPTIONS", address)
    except (httpx.HTTPError, OSError) as error:
        yield Check(
            f"channel {name}",
            "wrong",
            f"{shown} cannot be reached ({type(error).__name__})",
            f"check the address and the network, then: tocsin alert test {name}",
        )
        return
    yield Check(f"channel {name}", "ok", f"{shown} answers; `tocsin alert test {name}` sends a message")
    if answer is None:
        return
    with contextlib.suppress(KeyError, ValueError, TypeError):
        skew = time.time() - parsedate_to_datetime(answer.headers["date"]).timestamp()
        if abs(skew) > MAX_SKEW:
            yield Check(
                "clock",
                "wrong",
                f"this machine is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} {shown}",
                "set the clock (timedatectl set-ntp true): receivers refuse signed alerts whose time is wrong",
            )


def _apprise_channel(name: str, channel: Channel) -> Check:
    """Whether Apprise knows the service of a channel; nothing is sent, because only a message would show that it answers."""
    import asyncio

    from crawler.alerts.channels.registry import masked
    from data.errors import DeliveryError
    from scheduler.delivery.apprise import ask_apprise

    shown = masked(channel.url.get_secret_value())
    try:
        known = asyncio.run(ask_apprise(channel, {"url": channel.url.get_secret_value()})).known
    except DeliveryError as error:
        return Check(f"channel {name}", "wrong", str(error), error.hint or f"then: tocsin alert test {name}")
    if not known:
        return Check(
            f"channel {name}", "wrong", f"{shown} is no service that Apprise knows", "correct the channel's url"
        )
    return Check(f"channel {name}", "ok", f"Apprise knows {shown}; `tocsin alert test {name}` sends a message")


# The parts of `examine_home`, under the names that a part's error has in `doctor --json`.
PARTS = {
    "folder": _folder,
    "keys": _keys,
    "settings": _settings,
    "store": _store,
    "sources": _sources,
    "sets": _tag_sets,
    "system": _system,
    "tor": _tor,
    "examiner": _examiner,
    "channels": _channels,
}
