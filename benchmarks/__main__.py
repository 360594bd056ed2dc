"""Runs all benchmarks, or those named: every module of this folder with a `main()`.

A module with `BY_NAME_ONLY` runs only if it is named: it takes hours, or much space on the disk.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys

import benchmarks


def run(arguments: list[str]) -> int:
    """Names first, then options, which every named benchmark gets; returns the exit status."""
    options = [argument for argument in arguments if argument.startswith("-")]
    wanted = [argument for argument in arguments if not argument.startswith("-")]
    known = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name != "__main__")
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            print(f"no benchmark {name!r}{hint}; there are {', '.join(known)}; options are written --NAME=VALUE")
            return 2
    for name in wanted or known:
        module = importlib.import_module(f"benchmarks.{name}")
        main = getattr(module, "main", None)
        if main is None or (not wanted and getattr(module, "BY_NAME_ONLY", False)):
            continue
        print(f"== {name}", flush=True)
        sys.argv = [f"benchmarks {name}", *options]
        main()
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
