"""Checks the record of a home while the daemon runs, and reports when entries were removed or changed."""

from __future__ import annotations

import asyncio
from datetime import datetime

from data.errors import StoreError
from data.hashing.chain_keys import ChainHead
from data.model import Severity
from data.settings.home import Home
from data.settings.settings import Settings
from data.store.store import Store
from scheduler.delivery.lasting_states import update_fault_state
from scheduler.delivery.routing import route_by
from scheduler.reports.record_check import RecordCheck, check_record

SUBJECT = "record"


class RecordWatch:
    """Remembers the head that the record had at the last check that found nothing wrong.

    The match key is not used: the daemon must not hold it. Digests, findings and the remembered head are compared.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._head: ChainHead | None = None

    async def check(self, settings: Settings, store: Store, now: datetime) -> list[str]:
        """What is wrong with the record, one sentence each; begins or ends the state that says so."""
        try:
            found = await asyncio.to_thread(check_record, self._home, now, self._head, with_keys=False)
        except StoreError as error:
            found = RecordCheck(problems=[str(error)])
        more = f"; and {len(found.problems) - 1} further problems" if len(found.problems) > 1 else ""
        reason = f"{found.problems[0]}{more} (run: tocsin evidence verify)" if found.problems else ""
        update_fault_state(
            store, SUBJECT, found.problems, route_by(settings), now, severity=Severity.CRITICAL, reason=reason
        )
        if not found.problems:
            self._head = ChainHead.parse(found.head)
        return found.problems
