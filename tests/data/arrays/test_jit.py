"""Compiled loops that work on addresses: whoever hands them an array keeps it alive for as long as they run."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from data.arrays import jit


def functions(decorator: str) -> dict[str, tuple[ast.FunctionDef, str]]:
    return {
        f"{path.stem}.{node.name}": (node, path.stem)
        for path in jit.files()
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


def test_the_address_of_an_array_is_taken_only_where_somebody_else_holds_the_array():
    # numba frees an array behind the last line that names it, and an address does not count: what is written there
    # then lands in memory of another thread
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
