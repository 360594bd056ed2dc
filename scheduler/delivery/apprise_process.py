"""The process that has Apprise send one message: the only code that imports it, bounded in time and memory by its parent.

It reads one JSON object from standard input (`url`, `seconds`, and `title`, `body`, `type`; without these it only looks whether
there is such a service) and prints one: `known`, `sent`, and `status` and `retry_after` of the last answer over HTTP, 0 and `""` for none.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from crawler.process.privileges import die_with_parent

MAX_MEMORY = 1024 * 1024 * 1024
# Importing Apprise takes a second, more on a busy machine; that is no time of the service.
START_SECONDS = 20


def main() -> None:
    """Send what standard input says."""
    # the message of a process that was killed is sent again by the next one
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    order = json.load(sys.stdin)
    # if nobody is left who would end it
    signal.alarm(math.ceil(order["seconds"]) + START_SECONDS)
    answer = os.dup(1)
    # whatever a service prints may hold its address, which is its secret
    with (
        Path(os.devnull).open("w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        found = _send(order)
    with os.fdopen(answer, "w") as out:
        json.dump(found, out)


def _send(order: dict[str, Any]) -> dict[str, Any]:
    import apprise
    import requests

    found: dict[str, Any] = {"known": False, "sent": False, "status": 0, "retry_after": ""}
    send = requests.Session.send

    def send_here(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        # a redirect leads the message to a host that nobody declared
        response = send(self, request, **{**options, "allow_redirects": False})
        found.update(status=response.status_code, retry_after=response.headers.get("retry-after", ""))
        return response

    # Apprise tells no status, and follows redirects
    requests.Session.send = send_here  # type: ignore[method-assign]
    asset = apprise.AppriseAsset(
        storage_mode=apprise.PersistentStoreMode.MEMORY, http_redirects=False, async_mode=False, interpret_emojis=False
    )
    service = apprise.Apprise.instantiate(order["url"], asset=asset)
    if service is None:
        return found
    found["known"] = True
    if "body" in order:
        service.overflow_mode = apprise.OverflowMode.SPLIT
        sent = service.notify(
            body=order["body"], title=order["title"], notify_type=order["type"], body_format=apprise.NotifyFormat.TEXT
        )
        # some services take any answer below 400 for a success
        found["sent"] = bool(sent) and found["status"] < 300
    return found


if __name__ == "__main__":
    main()
