"""Opens the store of a home with the keys of its chains: from the examiner, or from the match key itself."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from data.case import evidence
from data.errors import KeyFileError, StoreError
from data.hashing.chain_keys import ChainKeys
from data.settings.home import Home
from data.store.store import Store

if TYPE_CHECKING:
    from crawler.process.examiner_client import ExaminerProcess


def open_store(home: Home, examiner: ExaminerProcess) -> Store:
    """The store for a process that runs crawls or scans; it gets keys for new entries of the chains, not for old ones.

    Raises:
        StoreError: as `Store.open`.
        ExaminerDied: the examiner has ended.
    """
    keys = examiner.chain_keys(*next_entries(home))
    return Store.open(home.db_path, seal_key=examiner.greeting.post_key, chain_keys=keys)


def next_entries(home: Home) -> tuple[int, int]:
    """The numbers of the next entries of the evidence chain and of the audit chain."""
    with contextlib.closing(Store.open(home.db_path)) as store:
        recorded, _ = store.audit.head()
        known = len(store.audit.evidence_kept())
    try:
        kept, _ = evidence.head(home.evidence_dir)
    except StoreError:
        # A key of an earlier entry serves as well. That the evidence cannot be read is reported, and delays no alert.
        kept = known
    return kept, recorded + 1


def chain_keys_here(home: Home) -> ChainKeys | None:
    """The first keys of the chains, for a command of the operator; None if the match key is not available to it.

    Entries of the audit chain that such a command makes without the key have no mac; the next keyed entry covers them.
    """
    from data.hashing.case_keys import parse_match_key

    try:
        return parse_match_key(home.match_key_text()).chain_keys()
    except KeyFileError:
        return None


def unusable_key(home: Home) -> str:
    """Why the match key cannot be used although it is there; '' if it can, is absent, or not for this user to read."""
    from data.hashing.case_keys import parse_match_key

    try:
        parse_match_key(home.match_key_text())
    except KeyFileError as error:
        return "" if isinstance(error.__cause__, FileNotFoundError | PermissionError) else str(error)
    return ""


def open_operator_store(home: Home) -> Store:
    """The store for a command of the operator, whose entries of the audit chain are keyed if the match key is here."""
    return Store.open(home.db_path, chain_keys=chain_keys_here(home))
