"""The documentation agrees with the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_generated_pages_are_up_to_date():
    result = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_every_link_between_documents_has_a_target():
    broken = [
        f"{page.name} -> {target}"
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_command_named_in_the_readme_exists():
    from scheduler.cli import COMMANDS

    named = set(re.findall(r"^tocsin (?:--home \S+ )?([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)


@pytest.mark.slow
def test_no_lock_file_names_a_package_index():
    for lock in ROOT.rglob("requirements*.lock"):
        if ".venv" not in lock.parts:
            assert "://" not in lock.read_text(), lock


def test_every_format_is_documented():
    from crawler.readers.core.registry import EMPTY, readers

    text = (ROOT / "docs" / "formats.md").read_text()
    for word in [EMPTY, *(reader.FORMAT for reader in readers())]:
        assert f"`{word}`" in text, word
