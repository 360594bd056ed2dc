"""Time stamps of the record's head by a time-stamp authority (RFC 3161): proof towards others of when the record held what it holds.

The authority learns a digest and nothing else. Requests and answers are made and verified by `openssl ts`, so that anybody can
verify a stamp without Tocsin. Stamps are kept in table `stamp`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from crawler.alerts.channels.registry import masked
from data.errors import ConfigError, DeliveryDeferred
from data.settings.service_settings import TimeStamps
from data.store.database import stamp
from data.store.store import Store

# A stamp with the certificates of its authority takes 2 to 6 KiB.
MAX_ANSWER = 64 * 1024
SECONDS = 30.0
ASKS = "application/timestamp-query"
_FRACTION = re.compile(r"\.\d+(?= )")


def stamped_text(head: str) -> bytes:
    """What a stamp is about: the head of the record as alerts show it, with a line end."""
    return f"{head}\n".encode()


async def stamp_head(settings: TimeStamps, folder: Path, store: Store, now: datetime) -> str:
    """Have the head of the record stamped and keep the stamp; returns the head. A head that has a stamp gets no other one.

    Args:
        settings: `[timestamps]`, with a `url`.
        folder: to which its `certificates` are relative.
        store: of the home.
        now: aware UTC.

    Raises:
        DeliveryDeferred: the authority cannot be reached, or its answer is no valid stamp of this head.
        ConfigError: `openssl` or the certificates are missing, or it makes no request.
    """
    import httpx

    head = str(store.head())
    if store.database.first_row("select 1 from stamp where head = ?", head) is not None:
        return head
    shown = masked(settings.url)
    try:
        query = await asyncio.to_thread(
            _openssl, "ts", "-query", "-sha256", "-cert", "-data", "text", text=stamped_text(head)
        )
    except _Failed as error:
        raise ConfigError("openssl makes no request for a time stamp", hint="run: openssl ts -query -help") from error
    try:
        async with asyncio.timeout(SECONDS), httpx.AsyncClient(trust_env=False, timeout=SECONDS) as client:
            request = client.build_request("POST", settings.url, content=query, headers={"content-type": ASKS})
            answer = await client.send(request, stream=True)
            token = b""
            async for part in answer.aiter_bytes():
                token += part
                if len(token) > MAX_ANSWER:
                    raise DeliveryDeferred(f"{shown} answered with more than a time stamp takes")
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        raise DeliveryDeferred(f"{shown} gave no time stamp ({type(error).__name__})") from error
    if answer.status_code != 200:
        raise DeliveryDeferred(f"{shown} gave no time stamp ({answer.status_code})", status=answer.status_code)
    problem = await asyncio.to_thread(problem_of, head, token, folder / settings.certificates)
    if problem:
        raise DeliveryDeferred(f"{shown} gave no valid time stamp: {problem}")
    store.database.execute("insert into stamp (head, at, token) values (?, ?, ?)", (head, stamp(now), token))
    return head


def problem_of(head: str, token: bytes, certificates: Path) -> str:
    """What is wrong with a stamp of a head; '' for nothing. Needs no network.

    The certificate of the authority must have been valid at the time that the stamp states: it expires long before the
    stamp is of no more use.

    Args:
        head: of the record.
        token: the answer of the authority, DER.
        certificates: PEM file with the certificate of the authority that is trusted.
    """
    if not certificates.is_file():
        raise ConfigError(
            f"{certificates} is missing: no time stamp can be verified",
            hint="put the authority's root certificate (PEM) there; see timestamps.certificates",
        )
    at = time_of_stamp(token)
    if at is None:
        return "it is no time stamp, or states no time"
    try:
        _openssl(
            "ts", "-verify", "-in", "token", "-data", "text", "-CAfile", str(certificates.absolute()),
            "-attime", str(int(at.timestamp())), text=stamped_text(head), token=token,
        )  # fmt: skip
    except _Failed:
        return "it is not one of this head, or not by an authority of timestamps.certificates"
    return ""


def time_of_stamp(token: bytes) -> datetime | None:
    """When a stamp was made, as the authority says; None if it is unreadable."""
    try:
        said = _openssl("ts", "-reply", "-in", "token", "-text", token=token).decode(errors="replace")
    except _Failed:
        return None
    line = next((line for line in said.splitlines() if line.startswith("Time stamp: ")), "")
    try:
        # "Nov 30 12:00:00 2026 GMT"; some authorities state fractions of a second
        text = _FRACTION.sub("", line.removeprefix("Time stamp: "))
        return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    except ValueError:
        return None


class _Failed(Exception):
    """`openssl` ended with an error."""


def _openssl(*arguments: str, text: bytes = b"", token: bytes = b"") -> bytes:
    """What `openssl` prints, in a folder of its own with the files `text` and `token`."""
    program = shutil.which("openssl")
    if program is None:
        raise ConfigError("time stamps need openssl, which is not installed", hint="apt install openssl")
    with tempfile.TemporaryDirectory(prefix="tocsin-stamp-") as folder:
        Path(folder, "text").write_bytes(text)
        Path(folder, "token").write_bytes(token)
        try:
            done = subprocess.run(
                [program, *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(
                f"openssl cannot be run, or did not end within {SECONDS:.0f} s", hint="run: openssl version"
            ) from error
    if done.returncode:
        raise _Failed
    return done.stdout


def stamps(store: Store) -> Sequence[tuple[str, bytes]]:
    """All stamps, oldest first: the head and the token of each."""
    return [
        (row["head"], row["token"]) for row in store.database.rows("select head, token from stamp order by at, rowid")
    ]


def is_due(store: Store, settings: TimeStamps, now: datetime) -> bool:
    """Whether the last stamp is older than `timestamps.every`."""
    row = store.database.first_row("select max(at) as at from stamp")
    return row is None or row["at"] is None or datetime.fromisoformat(row["at"]) + settings.every <= now
