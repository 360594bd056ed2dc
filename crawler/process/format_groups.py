"""Groups of formats that the examiner treats alike."""

from __future__ import annotations

# Formats that are read without a library that decompresses or decodes: their reader may be reused for the next sample.
PLAIN_FORMATS = frozenset({"text", "html", "delimited", "json_lines", "json", "empty"})
# Archives whose members have paths that people chose.
LISTING_FORMATS = frozenset({"7z", "ar", "cab", "cpio", "iso9660", "lha", "rar", "tar", "xar", "zip"})
# Formats whose own bytes hold nothing for the byte pass: once the reader has ended, there is nothing more to find.
COMPRESSED_FORMATS = frozenset(
    """7z brotli bzip2 cab compress gzip lha lz4 lzip lzma rar xar xz zip zstd""".split()  # noqa: SIM905 - a list of words
)
