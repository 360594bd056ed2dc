"""Compiled loops that work on addresses: their callers must keep the arrays alive while the loops run."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

import pytest

from data.arrays import kernel_sources


def functions(decorator: str) -> dict[str, tuple[ast.FunctionDef, str]]:
    return {
        f"{path.stem}.{node.name}": (node, path.stem)
        for path in kernel_sources.kernel_modules()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(each) == decorator for each in node.decorator_list)
    }


def parameters(function: ast.FunctionDef) -> list[str]:
    return [each.arg for each in function.args.args]


def calls(function: ast.FunctionDef) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, [ast.unparse(each) for each in node.args]


def returned(function: ast.FunctionDef) -> set[str]:
    values = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
    return {ast.unparse(each) for value in values for each in (value.elts if isinstance(value, ast.Tuple) else [value])}


def test_kernels_take_addresses_only_of_arrays_that_their_caller_holds_or_gets_back():
    # numba frees a local array after the last line that names it, and an address does not keep it alive: writing there
    # would then overwrite memory of another thread.
    inlined = functions("inlined")
    taken = {name: {0: "array"} if name.endswith("address") else {} for name in inlined}
    grown = True
    while grown:
        grown = False
        for name, (function, _) in inlined.items():
            for called, given in calls(function):
                for each, places in list(taken.items()):
                    if each.split(".")[1] != called:
                        continue
                    for place in places:
                        if given[place] in parameters(function):
                            at = parameters(function).index(given[place])
                            grown |= at not in taken[name]
                            taken[name][at] = given[place]
    seen = 0
    wrong = set()
    for name, (function, _) in (functions("kernel") | inlined).items():
        held = set(parameters(function)) | returned(function)
        for called, given in calls(function):
            places = {place for each, at in taken.items() if each.split(".")[1] == called for place in at}
            for place in places:
                seen += 1
                if given[place] not in held:
                    wrong.add(f"{name} takes the address of {given[place]}")
    assert wrong == set()
    assert seen > 20


def test_kernels_are_found_in_every_package_that_has_some():
    # The machine code of a package that is left out would stay cached when its source changes; outdated code matches
    # nothing.
    found = {str(path.parent.relative_to(kernel_sources.ROOT)) for path in kernel_sources.kernel_modules()}
    assert found == {
        "crawler/lineage", "crawler/matching", "crawler/records",
        "data/arrays", "data/hashing", "data/identifiers", "data/releases", "data/tagsets", "data/watchlist",
    }  # fmt: skip


@pytest.mark.slow
def test_no_module_with_kernels_is_overlooked():
    # This test parses the modules, `kernel_sources.kernel_modules` searches for a pattern: both must find the same ones.
    parsed = set()
    for layer in ("crawler", "data", "scheduler", "spiders"):
        for path in (kernel_sources.ROOT / layer).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef) and {"kernel", "inlined"} & {
                    ast.unparse(each).rpartition(".")[2].partition("(")[0] for each in node.decorator_list
                }:
                    parsed.add(path)
    assert parsed <= set(kernel_sources.kernel_modules())


@pytest.fixture
def copied(tmp_path):
    root = tmp_path / "copy"
    for path in kernel_sources.kernel_modules():
        copy = root / path.relative_to(kernel_sources.ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return root


def test_the_cache_folder_changes_when_any_kernel_module_changes(copied, tmp_path):
    names = {kernel_sources.sources_digest(copied)}
    assert kernel_sources.remembered_sources(tmp_path, copied)[0] in names
    for path in kernel_sources.kernel_modules(copied):
        path.write_bytes(path.read_bytes() + b"\n# changed\n")
        digest, modules = kernel_sources.remembered_sources(tmp_path, copied)
        assert digest == kernel_sources.sources_digest(copied)
        assert modules == kernel_sources.kernel_modules(copied)
        names.add(digest)
    assert len(names) == len(kernel_sources.kernel_modules(copied)) + 1


def test_a_digest_is_remembered_only_as_long_as_no_source_file_is_changed_replaced_or_added(copied, tmp_path):
    first = kernel_sources.remembered_sources(tmp_path, copied)
    (remembered,) = tmp_path.glob("sources-*.json")
    # what is remembered is what is answered
    remembered.write_text(remembered.read_text().replace(first[0], "0" * 16))
    assert kernel_sources.remembered_sources(tmp_path, copied)[0] == "0" * 16
    path = first[1][0]
    source, before = path.read_bytes(), path.stat()
    # another source of the same size, with the old time of modification
    path.write_bytes(source.replace(b"@kernel", b"@kernal"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    kernel_sources._kernel_modules.cache_clear()
    changed = kernel_sources.remembered_sources(tmp_path, copied)
    assert changed[0] not in ("0" * 16, first[0])
    path.write_bytes(source)
    kernel_sources._kernel_modules.cache_clear()
    assert kernel_sources.remembered_sources(tmp_path, copied) == first
    (path.parent / "added.py").write_text("@kernel\ndef added(): ...\n")
    kernel_sources._kernel_modules.cache_clear()
    digest, modules = kernel_sources.remembered_sources(tmp_path, copied)
    assert digest not in ("0" * 16, first[0])
    assert path.parent / "added.py" in modules
    # of a damaged one, and of many others, nothing depends
    for damaged in tmp_path.glob("sources-*.json"):
        damaged.write_text("[1")
    assert kernel_sources.remembered_sources(tmp_path, copied) == (digest, modules)
    assert len(list(tmp_path.glob("sources-*"))) <= kernel_sources.MAX_REMEMBERED
