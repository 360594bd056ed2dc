"""What `tocsin doctor` looks at: each check says what is so and, where something is wrong, how to mend it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

from data.errors import KeyFileError, TocsinError
from data.plural import counted
from data.settings.home import Home
from data.settings.settings import Channel
from scheduler.reports.check import Check

# Receivers that follow Standard Webhooks refuse a timestamp that is off by more than five minutes.
MAX_SKEW = 60.0
MIN_FREE = 512 * 2**20
AGAIN = "mend what is wrong above, then run this again; if this line stays, report it"


def examine_home(home: Home) -> list[Check]:
    """Every check of an installation, in the order in which one would mend."""
    checks: list[Check] = []
    for part in (_folder, _keys, _settings, _store, _sources, _sets, _system, _tor, _examiner, _channels):
        try:
            checks.extend(part(home))
        except TocsinError as error:
            checks.append(Check(part.__name__.strip("_"), "wrong", str(error), error.hint or AGAIN))
    return checks


def _folder(home: Home) -> Iterator[Check]:
    if not home.config_path.is_file():
        yield Check("home", "wrong", f"{home.path} holds no tocsin.toml", f"tocsin init {home.path}")
        return
    loose = [path for path in _owned(home) if stat.S_IMODE(path.lstat().st_mode) & 0o077]
    for path in loose:
        yield Check("permissions", "wrong", f"{path} is open to others", f"chmod go-rwx {path}")
    foreign = [path for path in _owned(home) if path.lstat().st_uid != os.geteuid()]
    for path in foreign:
        yield Check("owner", "warning", f"{path} belongs to another user", f"chown -R $(id -un) {home.path}")
    if not loose and not foreign:
        yield Check("home", "ok", f"{home.path}, readable by its owner alone")
    free = shutil.disk_usage(home.path).free
    if free < MIN_FREE:
        yield Check("disk", "warning", f"{free / 2**20:,.0f} MiB are free", "make room: a full disk stops the store")
    else:
        yield Check("disk", "ok", f"{free / 2**30:,.1f} GiB are free")


def _owned(home: Home) -> list[Path]:
    return [home.path, *sorted(path for path in home.path.rglob("*") if not path.is_symlink())]


def _keys(home: Home) -> Iterator[Check]:
    from data.hashing.case_keys import parse_enrol_key, parse_match_key

    match = parse_match_key(home.match_key_text()).derive()
    yield Check("match key", "ok", f"case {match.case}")
    if not home.enrol_key_path.is_file():
        yield Check(
            "enrolment key", "warning", "missing: no canaries can be made here", "tocsin doctor --restore-enrol-key"
        )
    else:
        try:
            case = parse_enrol_key(home.enrol_key_path.read_text(errors="replace")).case
            trouble = "" if case == match.case else "it belongs to another case"
        except KeyFileError as error:
            trouble = str(error)
        mend = "tocsin doctor --restore-enrol-key writes the right one"
        if trouble:
            yield Check("enrolment key", "wrong", trouble, mend)
        else:
            yield Check("enrolment key", "ok", "of the same case")
    yield from _evidence_key(home)


def _evidence_key(home: Home) -> Iterator[Check]:
    from data.case import evidence

    if not home.evidence_key_path.is_file():
        yield Check(
            "evidence key",
            "warning",
            "keys/evidence.pub is missing: no evidence is sealed",
            "age-keygen, and put the public half there",
        )
        return
    evidence.seal(home.evidence_key_path.read_text(errors="replace").strip(), b"trial")
    yield Check("evidence key", "ok", "seals")
    if (home.keys_dir / "evidence.key").exists():
        yield Check(
            "evidence key",
            "warning",
            "its private half still lies in the home",
            f"move {home.keys_dir / 'evidence.key'} to where only your team reads it",
        )


def _settings(home: Home) -> Iterator[Check]:
    settings = home.settings()
    if not settings.channels:
        yield Check(
            "channels", "warning", "none: alerts stay in the outbox", "add a [channels.NAME] table to tocsin.toml"
        )
    yield Check("settings", "ok", f"{home.config_path.name} is understood")


def _store(home: Home) -> Iterator[Check]:
    from data.store.store import Store

    if not home.db_path.exists():
        yield Check("store", "ok", "not made yet: the first crawl makes it")
        return
    with contextlib.closing(Store.open(home.db_path)) as store:
        problems = store.audit.verify()
        if problems:
            yield Check(
                "audit", "wrong", f"the chain is broken: {problems[0]}", "restore tocsin.db from a backup and compare"
            )
        else:
            yield Check("store", "ok", "opens; its audit chain is whole")


def _sources(home: Home) -> Iterator[Check]:
    from data.sources.source_files import load_sources

    good, bad = load_sources(home.sources_dir)
    for error in bad:
        yield Check("sources", "wrong", str(error), error.hint or "correct the file")
    yield Check(
        "sources", "ok" if good else "warning", f"{len(good)} are declared", "" if good else "tocsin source add FILE"
    )


def _sets(home: Home) -> Iterator[Check]:
    from data.case.watchlist import Watchlist
    from data.hashing.case_keys import parse_match_key
    from data.releases.known_releases import KnownReleases

    case = parse_match_key(home.match_key_text()).derive().case
    clients = Watchlist.open(home.watchlist_dir, case=case).clients()
    active = sum(client.active for client in clients)
    yield Check(
        "watch-list",
        "ok" if active else "warning",
        f"{counted(active, 'canary', 'canaries')} of {counted(len(clients), 'client')}",
        "" if active else "tocsin canary generate, or import a bundle",
    )
    yield Check("releases", "ok", f"{len(KnownReleases.open(home.releases_dir))} are known")


# Each program, the Debian package that brings it, and what is lost without it.
PROGRAMS = (("bwrap", "bubblewrap", "readers run with fewer walls around them"),)


def _system(home: Home) -> Iterator[Check]:  # noqa: ARG001 - every check takes the home
    from crawler.process import landlock

    for program, package, loss in PROGRAMS:
        if shutil.which(program) is None:
            yield Check("system", "warning", f"{program} is missing: {loss}", f"apt-get install {package}")
        else:
            yield Check("system", "ok", f"{program} is installed")
    files = landlock.describe_support()
    if files.startswith("none"):
        yield Check(
            "crawl files", "warning", f"{files}: crawls could read the home folder", "use a kernel of 5.13 or newer"
        )
    else:
        yield Check("crawl files", "ok", f"crawls read no file of the home ({files})")


def _tor(home: Home) -> Iterator[Check]:
    from data.sources.source_files import load_sources
    from scheduler.crawls.definitions import complete_definition
    from scheduler.reports import tor_report

    definitions = []
    for source in load_sources(home.sources_dir)[0]:
        # what is wrong with one was said above
        with contextlib.suppress(TocsinError):
            definitions.append(complete_definition(source))
    yield from tor_report.checks(home, home.settings(), definitions)


def _examiner(home: Home) -> Iterator[Check]:
    from crawler.process.examiner_client import ExaminerProcess

    began = time.monotonic()
    with ExaminerProcess.start(home) as examiner:
        took = time.monotonic() - began
        yield Check("examiner", "ok", f"ready after {took:.1f} s")
        wrong = examiner.selftest()
        yield Check(
            "self-test",
            "wrong" if wrong else "ok",
            "; ".join(wrong) or "a planted canary in a zip is found by both passes",
            "reinstall (make setup); restore watchlist/ from a backup if its entries are lost" if wrong else "",
        )
        for name, level in examiner.greeting.protection.items():
            weak = level.startswith(("none", "degraded"))
            yield Check(
                name,
                "warning" if weak else "ok",
                level,
                "apt-get install bubblewrap, or run as a user with namespaces" if weak else "",
            )


def _channels(home: Home) -> Iterator[Check]:
    for name, channel in home.settings().channels.items():
        yield from _channel(name, channel)


def _channel(name: str, channel: Channel) -> Iterator[Check]:
    """Ask the channel's server anything: an answer of any status shows that it is there, and what time it has."""
    import httpx

    from crawler.alerts.channels.registry import masked

    address = channel.url.get_secret_value()
    shown = masked(address)
    try:
        with httpx.Client(trust_env=False, follow_redirects=False, timeout=channel.timeout.total_seconds()) as client:
            answer = client.request("OPTIONS", address)
    except httpx.HTTPError as error:
        yield Check(
            f"channel {name}",
            "wrong",
            f"{shown} is not reached ({type(error).__name__})",
            f"check the address and the network, then: tocsin alert test {name}",
        )
        return
    yield Check(f"channel {name}", "ok", f"{shown} answers; `tocsin alert test {name}` sends a message")
    with contextlib.suppress(KeyError, ValueError, TypeError):
        skew = time.time() - parsedate_to_datetime(answer.headers["date"]).timestamp()
        if abs(skew) > MAX_SKEW:
            yield Check(
                "clock",
                "wrong",
                f"this machine is {abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} {shown}",
                "set the clock (timedatectl set-ntp true): signed alerts are refused by receivers otherwise",
            )
