"""Memory for keys: locked, left out of core dumps, empty after a fork, overwritten at its end."""

from __future__ import annotations

import os
import re
import resource
import secrets
from pathlib import Path

import pytest

from data.errors import KeyFileError
from data.hashing.case_keys import MatchKey, format_match_key, parse_match_key
from data.locked_memory import LockedBytes, overwrite, protect
from data.settings.credentials import read_locked
from data.settings.key_keeper import frame_descriptor, read_frame


def flags_at(address: int) -> set[str]:
    """The VmFlags of the mapping of this process that holds an address."""
    for part in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
        first, last = (int(each, 16) for each in part.split()[0].split("-"))
        if first <= address < last:
            return set(part.partition("VmFlags:")[2].split())
    raise AssertionError("no mapping holds this address")


def in_fork(check) -> bool:
    """Whether a check is true in a forked process."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_secret_lies_in_locked_memory_and_a_forked_process_finds_zeros():
    import ctypes

    text = secrets.token_bytes(32)
    copy = bytes(bytearray(text))
    secret = LockedBytes.take(copy)
    assert (bytes(secret.view), len(secret), repr(secret)) == (text, 32, "<LockedBytes, 32 bytes>")
    assert copy == bytes(32), "the copy that was taken is overwritten"
    assert secret.locked
    assert {"dd", "lo", "wf"} <= flags_at(ctypes.addressof(ctypes.c_char.from_buffer(secret.view)))
    assert in_fork(lambda: bytes(secret.view) == bytes(32))
    view = secret.view
    secret.__del__()
    assert bytes(view) == bytes(32)


@pytest.mark.slow
def test_keys_that_must_be_bytes_are_protected_where_they_lie():
    keys = MatchKey(bytes(range(32))).derive()
    assert keys.protect()
    for key in (keys.probe, keys.confirm, keys.bundle, keys.post):
        assert {"dd", "lo"} <= flags_at(id(key))
    # a forked process has to lock them again
    assert in_fork(lambda: "dd" in flags_at(id(keys.confirm)) and keys.protect() and "lo" in flags_at(id(keys.confirm)))


def test_without_the_right_to_lock_memory_the_key_can_still_be_used():
    def check() -> bool:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        secret = LockedBytes.take(bytes(bytearray(b"secret")))
        return not secret.locked and bytes(secret.view) == b"secret" and not protect([b"another secret"])

    assert in_fork(check)


def test_overwriting_leaves_single_characters_alone_which_all_of_python_shares():
    overwrite(b"x")
    assert bytes([0x78]) == b"x"


def test_a_match_key_is_read_from_a_file_and_from_a_pipe(tmp_path):
    text = format_match_key(MatchKey(bytes(range(32))))
    (tmp_path / "key").write_text(text)
    from_file, from_pipe = read_locked(tmp_path / "key"), read_frame(frame_descriptor(text.encode()))
    for found in (from_file, from_pipe):
        assert found.locked
        assert parse_match_key(found).derive() == MatchKey(bytes(range(32))).derive()
    assert format_match_key(parse_match_key(from_file)) == text
    (tmp_path / "long").write_bytes(b"x" * 100_000)
    with pytest.raises(KeyFileError, match="not a match key file"):
        parse_match_key(read_locked(tmp_path / "long"))


def test_a_pipe_that_ends_early_is_an_error_with_a_hint():
    descriptor, other_end = os.pipe()
    os.write(other_end, b"\x10\x00half")
    os.close(other_end)
    with pytest.raises(KeyFileError, match="has ended"):
        read_frame(descriptor)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"), (" \n", "empty"), ("tocsin-match-key-1", "not a match key file"), ("x y z", "not a match key file"),
        ("tocsin-enrol-key-1 x", "enrolment key"), ("tocsin-match-key-1 ####", "not base64"),
        ("tocsin-match-key-1 AAAA", "must have 32 bytes"), ("\udcff".encode("utf-8", "surrogatepass").decode("latin-1"), "not a match"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_match_key_is_refused_in_both_kinds_of_memory(text, word):
    for value in (text, LockedBytes.take(bytes(bytearray(text.encode())))):
        with pytest.raises(KeyFileError, match=word):
            parse_match_key(value)
