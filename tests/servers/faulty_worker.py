"""Makes a worker of a Dask cluster faulty (`--preload`): `CLUSTER_FAULT` says how.

- `forger` changes a byte of each result; `blind` seals results without the planted person that must be found;
- `other_list` compares with a watch-list of its own; `breaks_files` damages a file of the case that it received;
- `fails` says of each piece that it cannot be examined, once it has made the file `CLUSTER_FAILED`; `forgets` says of each that it has not the case;
- `dies` ends when its answer is fetched;
- `no_tocsin` cannot import what is asked of it;
- `poison-N` ends when it is to examine chunk N.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.arrays import array_codec
from data.errors import InputError
from data.hashing.case_keys import parse_keys
from data.hashing.sealed_states import seal, unseal
from scheduler.local_files import cluster_worker
from scheduler.local_files.cluster_worker import pack_answer, unpack_answer
from scheduler.local_files.scan_plan import Plan

_examine, _open_case, _receive = cluster_worker.examine_piece, cluster_worker.open_case, cluster_worker.receive_file
_keys: dict[str, str] = {}


def dask_setup(worker: Any) -> None:
    """Take the place of what a worker does for us."""
    fault = os.environ["CLUSTER_FAULT"]
    if fault == "no_tocsin":
        for name in [name for name in sys.modules if name.partition(".")[0] == "scheduler"]:
            del sys.modules[name]
        # what Python does then is what it does where there is no such package
        sys.modules["scheduler"] = None  # type: ignore[assignment]
    elif fault.startswith("poison-"):
        cluster_worker.examine_piece = _poisoned(int(fault.removeprefix("poison-")))
    elif fault == "breaks_files":
        cluster_worker.receive_file = _breaks
    else:
        cluster_worker.open_case = _noting_keys
        cluster_worker.examine_piece = _ANSWERS[fault]


def _noting_keys(case: str, files: Any, secrets: Any, dask_worker: Any) -> str:
    _keys[case] = secrets.keys
    return _open_case(case, files, secrets, dask_worker)


def _breaks(digest: str, place: int, data: bytes, is_last: bool, dask_worker: Any) -> str:
    return _receive(digest, place, data + b" " if is_last else data, is_last, dask_worker)


def _poisoned(number: int) -> Callable[..., bytes]:
    def examine_piece(case: str, plan: Any, kind: str, chunk: Any) -> bytes:
        if chunk is not None and chunk["number"] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return _examine(case, plan, kind, chunk)

    return examine_piece


def _forged(case: str, plan: Any, kind: str, chunk: Any) -> bytes:
    head, sealed = unpack_answer(_examine(case, plan, kind, chunk))
    return pack_answer(head, sealed[:-1] + bytes([sealed[-1] ^ 1]) if sealed else b"")


def _sealed_anew(**wrong: str) -> Callable[..., bytes]:
    def examine_piece(case: str, plan: Any, kind: str, chunk: Any) -> bytes:
        head, sealed = unpack_answer(_examine(case, plan, kind, chunk))
        if not sealed:
            return pack_answer(head)
        keys, _ = parse_keys(_keys[case])
        read = Plan.from_json(plan)
        name = read.name_of(read.inputs[0], kind, 0 if chunk is None else chunk["number"])
        body = array_codec.decode(unseal(keys.post, name, sealed))
        return pack_answer(head, seal(keys.post, name, array_codec.encode({**body, **wrong})))

    return examine_piece


def _failing(case: str, plan: Any, kind: str, chunk: Any) -> bytes:
    Path(os.environ["CLUSTER_FAILED"]).touch()
    error = InputError("a worker sees another file under this path")
    return pack_answer({"error": str(error), "hint": error.hint})


def _forgetting(case: str, plan: Any, kind: str, chunk: Any) -> bytes:
    return pack_answer({"lacks_case": True})


class _Deadly:
    """An answer that ends the process which writes it down for another one."""

    def __reduce__(self) -> tuple[Any, ...]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def _dying(case: str, plan: Any, kind: str, chunk: Any) -> Any:
    return _Deadly()


_ANSWERS: dict[str, Callable[..., bytes]] = {
    "forger": _forged,
    "blind": _sealed_anew(control=""),
    "other_list": _sealed_anew(sets=""),
    "dies": _dying,
    "fails": _failing,
    "forgets": _forgetting,
}
