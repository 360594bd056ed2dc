"""Writes reports to files that only their owner may read, as HTML and as PDF."""

from __future__ import annotations

import importlib.util
import logging
import os
from pathlib import Path

from data.errors import InputError, TocsinError


def check_new(*paths: Path) -> None:
    """Refuse files that exist, or whose folder does not, before anything is written.

    Raises:
        InputError: a file exists, or its folder does not.
    """
    for path in paths:
        if path.exists():
            raise InputError(f"{path} exists and is not overwritten", hint="name another file with --out or --pdf")
        if not path.parent.is_dir():
            raise InputError(f"{path} cannot be created: there is no folder {path.parent}", hint="create the folder")
    if len(set(paths)) < len(paths):
        raise InputError("the page, the table and the PDF need three names", hint="name other files")


def check_pdf() -> None:
    """Refuse to begin if no PDF can be made here.

    Raises:
        InputError: the library is not installed, or the libraries of the system that it needs are not.
    """
    try:
        if importlib.util.find_spec("weasyprint") is None:
            raise InputError("a PDF needs the extra `pdf`", hint="install it: pip install 'tocsin[pdf]'")
        import weasyprint as _  # noqa: F401 - it loads Pango, which may be absent
    except OSError as error:
        raise InputError(
            "a PDF needs Pango, which is not installed", hint="install it: apt install libpango-1.0-0 libpangoft2-1.0-0"
        ) from error


def write_page(path: Path, text: str) -> None:
    """Write a page in UTF-8 to a new file.

    Raises:
        InputError: it cannot be written.
    """
    _write(path, text.encode())


def write_pdf(path: Path, text: str) -> None:
    """Write a page as PDF to a new file; nothing is fetched for it.

    Raises:
        InputError: it cannot be written.
    """
    import weasyprint

    for name in ("weasyprint", "fontTools"):
        logging.getLogger(name).setLevel(logging.ERROR)
    made = weasyprint.HTML(string=text, url_fetcher=_refuse).write_pdf()
    _write(path, made)


def _refuse(url: str) -> dict[str, object]:
    raise TocsinError(f"the report refers to something outside of it ({url[:40]})", hint="report this as a bug")


def _write(path: Path, content: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as stream:  # noqa: PTH123 - os.open sets the mode
            stream.write(content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", hint="name another file") from error
