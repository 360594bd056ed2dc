"""The command line of bubblewrap: which files a reader can see, and which namespaces it is confined to."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from crawler.process.examiner_client import ONE_THREAD
from crawler.readers.pictures.language_data import DATA_FOLDERS
from data.errors import ReaderFailed

# our own packages; each is mounted by itself, because a checkout holds more than code
_PACKAGES = ("crawler", "data")


# packages outside the standard library that readers import, and those that these import
_IMPORTED = (
    "orjson",
    "numpy",
    "isal",
    "libarchive",
    "zstandard",
    "brotli",
    "_brotli",
    "typing_extensions",
    "pyarrow",
    "pypdf",
    "cryptography",
    "fastavro",
    "pyreadstat",
    "narwhals",
    "pypff",
)


# folders of installed packages: they hold only code, and some packages need files that are beside them
_INSTALLED = ("site-packages", "dist-packages")


# data of tesseract's languages, where it is installed, and of time zones, which the library of ORC reads from files
_DATA = (*DATA_FOLDERS, "/usr/share/zoneinfo")


_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib")


def interpreter() -> str:
    """The path of the Python interpreter with links resolved, as a virtual environment may be invisible inside."""
    return os.path.realpath(sys.executable)


def _package(name: str) -> Path:
    """The folder of a package, or the file of a module."""
    found = importlib.util.find_spec(name)
    place = found and (next(iter(found.submodule_search_locations or ()), None) or found.origin)
    if not place:
        raise ReaderFailed(f"the package {name} is not installed", hint="install the project again: make setup")
    return Path(place).resolve()


def import_paths() -> list[str]:
    """Folders from which readers import packages, in order."""
    return list(dict.fromkeys(str(_package(name).parent) for name in (*_PACKAGES, *_IMPORTED)))


def _visible_packages() -> list[Path]:
    """Folders and files of the packages that readers may see."""
    places = map(_package, _IMPORTED)
    return [
        *map(_package, _PACKAGES),
        *(place.parent if place.parent.name in _INSTALLED else place for place in places),
    ]


def bubblewrap_arguments() -> list[str]:
    """Arguments of bubblewrap, without the program that it starts."""
    visible = [*_visible_packages(), Path(interpreter()), Path(os.path.realpath(os.__file__)).parent]
    if sys.base_prefix not in ("/", "/usr", "/usr/local"):
        # an interpreter outside the system folders keeps its libraries beside it
        visible.append(Path(sys.base_prefix).resolve())
    arguments = ["--unshare-all", "--cap-drop", "ALL", "--new-session", "--hostname", "reader", "--clearenv"]
    for name, value in ONE_THREAD.items():
        arguments += ["--setenv", name, value]
    for path in _LIBRARIES:
        arguments += ["--ro-bind-try", path, path]
    for path in _DATA:
        arguments += ["--ro-bind-try", path, path]
    for path in dict.fromkeys(map(str, visible)):
        arguments += ["--ro-bind", path, path]
    return [*arguments, "--remount-ro", "/"]
