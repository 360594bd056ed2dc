"""The house: imports go downwards only, packages form no circle, the three privileges stay apart, and the names are ours."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.import_graph import (
    LAYERS,
    ROOT,
    below,
    circles,
    imports,
    modules,
    named,
    package_imports,
    package_of,
    reached_from,
)

# What may not meet in one process (docs/architecture.md).
CRAWL = tuple(f"crawler.{name}" for name in ("fetching", "pages", "preview", "transport", "tor"))
EXAMINER = tuple(f"crawler.{name}" for name in ("examiner", "matching", "records", "lineage", "sandbox"))
READERS = "crawler.readers"
SHARED = ("crawler.process", "crawler.alerts")
NETWORKED = {
    "scrapy",
    "httpx",
    "httpx2",
    "twisted",
    "socket",
    "ssl",
    "requests",
    "stem",
    "urllib.request",
    "http.client",
}
# `__init__` files that hold more than a sentence, each with its reason
FILLED = {
    "scheduler/cli/__init__.py": "the `tocsin` command, which finds the modules beside it only when they are asked for"
}
# "at most about 20 modules" in a folder
MAX_MODULES = 20


# first names behind `data.` and `crawler.` that are fields of JSON or attributes of variables, not modules
NO_MODULES = {"total", "stats"}


def exists(name: str) -> bool:
    """Whether a dotted name is a module of ours, or begins with one that defines what follows."""
    if name in modules():
        return True
    module, _, rest = name.partition(".")
    while rest and f"{module}.{rest.partition('.')[0]}" in modules():
        first, _, rest = rest.partition(".")
        module = f"{module}.{first}"
    if modules()[module].name == "__init__.py":
        return False
    word = rest.partition(".")[0]
    return (
        re.search(rf"\b(?:class|def) {word}\b|\bimport\b.*\b{word}\b|\b{word}\b ?[:=]", modules()[module].read_text())
        is not None
    )


def inside(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def crossing(wing: tuple[str, ...], other: tuple[str, ...]) -> set[str]:
    """Modules of one wing that load a module of the other, however many modules lie between them."""
    return {
        f"{module} loads {reached}"
        for package in wing
        for module in below(package)
        for reached in reached_from(module)
        if inside(reached, *other)
    }


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.slow
def test_imports_go_downwards_only(layer):
    above = LAYERS[LAYERS.index(layer) + 1 :]
    upward = {
        f"{module} imports {name}"
        for module in below(layer)
        for name in named(modules()[module])
        if name.split(".")[0] in above
    }
    assert upward == set()


def test_packages_form_no_circle():
    assert circles(package_imports()) == []


def test_modules_form_no_circle():
    assert circles(imports()) == []


def test_a_circle_would_be_found():
    assert circles({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b")}) == [["b", "c", "b"]]


def test_folders_stay_small():
    sizes = Counter(package_of(module) for module, path in modules().items() if path.name != "__init__.py")
    assert {package: size for package, size in sizes.items() if size > MAX_MODULES} == {}


def test_every_module_of_the_crawler_is_in_one_wing():
    wings = (*CRAWL, *EXAMINER, READERS, *SHARED)
    assert {module for module in below("crawler") if module != "crawler" and not inside(module, *wings)} == set()


def test_what_holds_the_network_and_what_holds_the_key_never_load_each_other():
    assert crossing(CRAWL, (*EXAMINER, READERS)) == set()
    assert crossing((*EXAMINER, READERS), CRAWL) == set()


def test_readers_load_no_key_no_store_and_nothing_of_the_examiner():
    keys_and_stores = ("data.hashing.case_keys", "data.store", "data.case", "data.watchlist", "data.releases")
    keys_and_stores += ("data.settings",)
    assert crossing((READERS,), keys_and_stores) == set()
    assert crossing((READERS,), EXAMINER) == set()


def test_readers_import_no_network():
    networked = {
        f"{module} imports {name}" for module in below(READERS) for name in named(modules()[module]) & NETWORKED
    }
    assert networked == set()


def test_only_the_scheduler_and_the_alerts_reach_the_store():
    allowed = ("scheduler", "crawler.alerts", "data.store")
    reaching = {
        f"{module} imports {name}"
        for module, others in imports().items()
        for name in others
        if inside(name, "data.store") and not inside(module, *allowed)
    }
    assert reaching == set()


def test_packages_hold_a_sentence_and_nothing_that_imports():
    for module, path in modules().items():
        file = str(path.relative_to(ROOT))
        if path.name != "__init__.py" or file in FILLED:
            continue
        statements = ast.parse(path.read_text()).body
        assert [type(each) for each in statements] == [ast.Expr], f"{module} holds more than its docstring"


def test_data_knows_no_network_and_no_scrapy():
    networked = {
        f"{module} imports {name}" for module in below("data") for name in named(modules()[module]) & NETWORKED
    }
    assert networked == set()


def test_no_other_distribution_claims_our_names():
    claims = importlib.metadata.packages_distributions()
    for name in LAYERS:
        assert set(claims.get(name, ["tocsin"])) == {"tocsin"}, f"{name} is claimed by {claims[name]}"


@pytest.mark.parametrize("layer", LAYERS)
def test_names_resolve_to_this_checkout(layer):
    spec = importlib.util.find_spec(layer)
    assert spec is not None
    assert Path(spec.origin or "").parent == ROOT / layer


@pytest.mark.parametrize("layer", LAYERS)
def test_names_resolve_to_this_checkout_from_anywhere(layer, tmp_path):
    code = f"import {layer}; print({layer}.__file__)"
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert Path(said.strip()).parent == ROOT / layer


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from scheduler.cli import tocsin;"
        "assert CliRunner().invoke(tocsin, ['--help']).exit_code == 0;"
        "heavy = {'numpy', 'numba', 'scrapy', 'pydantic', 'httpx', 'rich', 'sqlite_utils', 'pyarrow'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.mark.parametrize(
    ("loaded", "left_out"),
    [
        # what a scan loads before it starts the examiner; and what the examiner loads before the kernels
        (
            "scheduler.cli.scan, scheduler.local_files.scanning, data.watchlist.manifest",
            ("numpy", "pydantic", "data.model", "crawler.process.finding_checks"),
        ),
        ("crawler.examiner.main, crawler.sandbox.sandbox", ("numpy", "pydantic", "crawler.readers.core.members")),
    ],
)
def test_what_everybody_waits_for_at_the_start_of_a_scan_is_light(loaded, left_out):
    code = f"import {loaded}, sys; print([name for name in {left_out} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


@pytest.mark.slow
def test_every_module_begins_with_a_sentence():
    silent = [module for module, path in modules().items() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []


def texts(path: Path) -> str:
    """The strings of a Python file, docstrings included; any other file whole."""
    if path.suffix != ".py":
        return path.read_text()
    nodes = ast.walk(ast.parse(path.read_text()))
    return "\n".join(each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str))


@pytest.mark.slow
def test_module_paths_written_in_strings_exist():
    # settings of Scrapy, `python -m` lines, lazy imports: a move that forgets one fails only when it is used
    pattern = re.compile(r"(?<![\w./-])(?:crawler|data|spiders|scheduler)(?:\.[a-z_0-9]+)+(?:\.[A-Z]\w+)?(?![\w/])")
    files = [
        path for layer in (*LAYERS, "scripts", "docs", "benchmarks", "tests") for path in (ROOT / layer).rglob("*.py")
    ]
    files += [*(ROOT / "docs").glob("*.md"), *(ROOT / "scripts").glob("*.sh"), ROOT / "scrapy.cfg"]
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in pattern.findall(texts(path))
        if not exists(name) and name.split(".")[1] not in NO_MODULES
    }
    assert missing == set()


def test_file_paths_of_modules_exist():
    pattern = re.compile(r"(?<![\w./-])(?:crawler|data|spiders|scheduler|tests|benchmarks)/[\w/]+\.(?:py|yaml)\b")
    files = [
        *(
            path
            for layer in (*LAYERS, "scripts", "docs", "benchmarks", "tests")
            for path in (ROOT / layer).rglob("*.py")
        )
    ]
    files += [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "scripts").glob("*.sh"), ROOT / "Makefile"]
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in pattern.findall(path.read_text())
        if not (ROOT / name).exists()
    }
    assert missing == set()


@pytest.mark.slow
def test_a_public_class_name_means_one_thing():
    places: dict[str, list[str]] = {}
    for module, path in modules().items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
