"""The house: imports go downwards only, and the four names are ours."""

import ast
import importlib.metadata
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("data", "crawler", "spiders", "scheduler")


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_downwards_only(layer):
    above = LAYERS[LAYERS.index(layer) + 1 :]
    upward = {
        f"{file.relative_to(ROOT)} imports {name}"
        for file in (ROOT / layer).rglob("*.py")
        for name in imported(file)
        if name.split(".")[0] in above
    }
    assert upward == set()


def test_data_knows_no_network_and_no_scrapy():
    networked = {
        f"{file.relative_to(ROOT)} imports {name}"
        for file in (ROOT / "data").rglob("*.py")
        for name in imported(file)
        if name.split(".")[0] in {"scrapy", "httpx", "httpx2", "twisted", "socket", "requests", "stem"}
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


def test_every_module_begins_with_a_sentence():
    silent = [
        str(file.relative_to(ROOT))
        for layer in LAYERS
        for file in (ROOT / layer).rglob("*.py")
        if not ast.get_docstring(ast.parse(file.read_text()))
    ]
    assert silent == []
