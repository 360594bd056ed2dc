"""Which of our modules import which others, read from their source; imports inside functions and for types count as well."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
LAYERS = ("data", "crawler", "spiders", "scheduler")


@cache
def modules() -> Mapping[str, Path]:
    """Every module of the four layers, by its dotted name; a package is the module of its `__init__`."""
    found = {}
    for layer in LAYERS:
        for path in sorted((ROOT / layer).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def named(path: Path) -> frozenset[str]:
    """The dotted names that a file imports: modules, and what is imported from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """The modules of ours that each module imports; a package is named only where its own `__init__` is asked for."""
    known = modules()
    graph = {}
    for module, path in known.items():
        seen = {name for name in named(path) if name in known and name != module}
        # `from package import module` asks for the module, not for the package
        graph[module] = frozenset(
            name for name in seen if not any(other.startswith(f"{name}.") for other in named(path) & known.keys())
        )
    return graph


def package_of(module: str) -> str:
    """The package that a module belongs to; a package belongs to itself."""
    return module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]


def package_imports() -> Mapping[str, frozenset[str]]:
    """The packages that each package imports."""
    graph: dict[str, set[str]] = {}
    for module, others in imports().items():
        mine = package_of(module)
        graph.setdefault(mine, set()).update({package_of(other) for other in others} - {mine})
    return {package: frozenset(others) for package, others in graph.items()}


def reached_from(module: str) -> frozenset[str]:
    """All modules of ours that are loaded in the end when a module and all its functions are used."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        for other in imports()[waiting.pop()] - seen:
            seen.add(other)
            waiting.append(other)
    return frozenset(seen)


def circles(graph: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """One way around for each circle of a graph that is found by walking it; empty where there is none."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(node: str, way: list[str]) -> None:
        for other in sorted(graph.get(node, ())):
            if other in way:
                found.append([*way[way.index(other) :], other])
            elif other not in done:
                walk(other, [*way, other])
        done.add(node)

    for node in sorted(graph):
        if node not in done:
            walk(node, [node])
    return found


def below(package: str) -> Iterator[str]:
    """The modules of a package and of its sub-packages."""
    return (module for module in modules() if module == package or module.startswith(f"{package}."))
