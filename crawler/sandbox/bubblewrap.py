"""The command line of bubblewrap: which files a reader can see, and what it is cut off from."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from data.errors import ReaderFailed

# ours, each bound by itself: a checkout holds more than code
_PACKAGES = ("crawler", "data")


# what readers import beside the standard library, with what these need
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
)


# folders of installed packages hold code alone, and some of it stands beside the package that needs it
_INSTALLED = ("site-packages", "dist-packages")


_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib")


def _interpreter() -> str:
    # a virtual environment's link leads to a place that need not be seen inside
    return os.path.realpath(sys.executable)


def _package(name: str) -> Path:
    """The folder of a package, the file of a module."""
    found = importlib.util.find_spec(name)
    place = found and (next(iter(found.submodule_search_locations or ()), None) or found.origin)
    if not place:
        raise ReaderFailed(f"the package {name} is not installed", hint="install the project again: make setup")
    return Path(place).resolve()


def _roots() -> list[str]:
    """Folders that packages are imported from, in order."""
    return list(dict.fromkeys(str(_package(name).parent) for name in (*_PACKAGES, *_IMPORTED)))


def _seen() -> list[Path]:
    """Folders and files of packages that readers may see."""
    places = map(_package, _IMPORTED)
    return [
        *map(_package, _PACKAGES),
        *(place.parent if place.parent.name in _INSTALLED else place for place in places),
    ]


def walls() -> list[str]:
    """Arguments of bubblewrap, without the program that it starts."""
    seen = [*_seen(), Path(_interpreter()), Path(os.path.realpath(os.__file__)).parent]
    if sys.base_prefix not in ("/", "/usr", "/usr/local"):
        # an interpreter that lives by itself keeps its libraries beside it
        seen.append(Path(sys.base_prefix).resolve())
    arguments = ["--unshare-all", "--cap-drop", "ALL", "--new-session", "--hostname", "reader", "--clearenv"]
    for path in _LIBRARIES:
        arguments += ["--ro-bind-try", path, path]
    for path in dict.fromkeys(map(str, seen)):
        arguments += ["--ro-bind", path, path]
    return [*arguments, "--remount-ro", "/"]
