"""Opens encrypted members of a zip with the passwords that come with the sample, such as those that a post gives.

libarchive decrypts, with the cipher of PKWARE and with that of WinZip (AES). A password is tried on the first bytes of
a member, and on all bytes and the checksum of one that is small; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator

from crawler.readers.archives.libarchive_decoder import password_fits, read_archive
from crawler.readers.archives.zip_methods import Stored
from crawler.readers.core.limits import Limits
from crawler.readers.core.output import Output
from crawler.readers.core.source import Source

OPENED = "opened with a password that the post gives"
REFUSED = "no password that the post gives opens it"
# Enough for the check of a password and some bytes behind it.
_TRIED = 2**16
_DESCRIPTOR = 24


class PasswordTrial:
    """Finds the password of each encrypted member among those that the output has.

    Args:
        out: takes the members.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self._passwords = [password.encode("utf-8", "replace") for password in out.passwords]

    def read_member(self, header: bytes, size: int, source: Source, limits: Limits) -> bool:
        """Read a member with the password that opens it.

        Args:
            header: of the member, as it stands before its bytes.
            size: of its encrypted bytes.
            source: stands at the first of them, and behind the last of them afterwards if there is such a password.
            limits: of the sample.

        Returns:
            False if no password opens it; nothing was read.
        """
        if not self._passwords or not size:
            return False
        begin, whole = header + source.peek(min(_TRIED, size + _DESCRIPTOR)), size + _DESCRIPTOR <= _TRIED
        found = next((each for each in self._passwords if password_fits("zip", begin, each, whole=whole)), None)
        if found is None:
            self._out.problem_once("password", REFUSED)
            return False
        # the members of an archive mostly have one password
        self._passwords = [found, *(each for each in self._passwords if each != found)]
        self._out.problem_once("password", OPENED)
        body = Stored(source, size)

        def pieces() -> Iterator[bytes]:
            yield header
            yield from body.pieces()
            # what follows may be the descriptor with the size and the checksum
            yield source.peek(_DESCRIPTOR)

        member = Source(pieces(), "", source.amplification)
        read_archive(member, self._out, limits, "zip", password=found)
        left = size - body.size
        source.skip(left)
        return True
