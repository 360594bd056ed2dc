"""Changes files of one format, guided by the code of the reader that they reach. fuzz.py starts this process.

It prints a line for each fault, and ends after its time. Usage: fuzz_guided.py FORMAT SECONDS SEED BYTES CORPUS KEEP
"""

from __future__ import annotations

import sys
import time
from hashlib import sha256
from pathlib import Path

import atheris

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

with atheris.instrument_imports(include=["crawler.readers", "pypdf"]):
    from crawler.readers.core.members import read_sample
    from crawler.readers.core.registry import readers

    readers()

from fuzz import HANG_SECONDS, fault_of, pieces  # noqa: E402 - what is instrumented comes first

from crawler.readers.core.limits import Limits  # noqa: E402 - the same
from tests.crawler.readers.frames import Consumer  # noqa: E402 - the same

# a changed file that decompresses to more finds nothing new, and takes the time of thousands of others
LIMITS = Limits(max_output=2**20, max_entries=300)
# bytes that mean something to some reader
TOKENS = (b"\0", b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"'", b'"', b"\\", b"\n", b"\r\n", b"<",
          b">", b"{", b"}", b"[", b"]", b"<!--", b"]]>", b"&#", b"PK\x03\x04", b"stream\n", b"9" * 30, b"-1",
          b"\xed\xa0\x80", b"\xef\xbb\xbf")  # fmt: skip


class Target:
    """Reads each file in this process, and reports each kind of fault once."""

    def __init__(self, keep: Path, kind: str) -> None:
        self.keep, self.kind = keep, kind
        self._reported: set[str] = set()

    def __call__(self, data: bytes) -> None:
        """Read one file."""
        if not data:
            return
        consumer, began = Consumer(), time.process_time()
        try:
            read_sample(pieces(data), consumer.take, LIMITS)
            fault = fault_of(consumer)
        except AssertionError as error:
            fault = f"protocol: {error}"
        except Exception as error:  # noqa: BLE001 - an error that a reader lets pass is what is searched for
            fault = f"{type(error).__name__}: {error}"
        if not fault and time.process_time() - began > HANG_SECONDS / 2:
            fault = "slow"
        if fault and fault[:120] not in self._reported:
            self._reported.add(fault[:120])
            path = self.keep / f"{self.kind}-{sha256(data).hexdigest()[:12]}.bin"
            path.write_bytes(data)
            print(f"{fault[:500]} ({path})", flush=True)


def main() -> None:
    """Fuzz until the time is over; libFuzzer then ends the process."""
    kind, seconds, seed, longest, corpus = sys.argv[1:6]
    keep = Path(sys.argv[6])
    tokens = keep / f"{kind}.dict"
    tokens.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n' for token in TOKENS))
    options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={longest}", f"-timeout={HANG_SECONDS}",
               "-rss_limit_mb=4096", f"-dict={tokens}", f"-artifact_prefix={keep}/{kind}-", corpus]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], Target(keep, kind))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
