"""Memory that processes return to the system, and modules that they never import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.command import environment, must

# Large modules that a process might import without needing them.
HEAVY = {"aiohttp", "httpcore2", "httpx", "httpx2", "lxml", "numba", "pyarrow", "requests", "scrapy", "tldextract"}

FOREGROUND = """
import scheduler.cli, scheduler.cli.crawl, scheduler.crawls.run_crawl, scheduler.delivery.delivery, scheduler.crawls.tor_connection, scheduler.crawls.lease_owner
import crawler.process.examiner_client, data.logs, data.sources.source_files, data.store.store
"""
CRAWL = """
import crawler.fetching.crawl_process
from crawler.fetching.scrapy_settings import crawl_settings
from data.settings.settings import CrawlSettings
from data.sources.definition import Definition
from scrapy.settings import Settings
from scrapy.utils.conf import build_component_list
from scrapy.utils.misc import load_object
place = {"each": ["css:li"], "fields": {"id": "css:a"}}
given = {"name": "site", "platform": "declared", "url": "http://site.example/", "list": place}
settings = Settings(crawl_settings(Definition.model_validate(given), CrawlSettings()))
before = set(sys.modules)
for kind in ("DOWNLOADER_MIDDLEWARES", "SPIDER_MIDDLEWARES", "EXTENSIONS", "ITEM_PIPELINES"):
    for component in build_component_list(settings.get_component_priority_dict_with_base(kind)):
        load_object(component)
assert set(sys.modules) == before, "forked crawls would each import " + repr(set(sys.modules) - before)
"""

# Each process with the heavy modules that it needs. A crawl process parses pages; only the examiner, which matches,
# needs numba.
CASES = {
    "the command that crawls": (FOREGROUND, set()),
    "a crawl process": (CRAWL, {"lxml", "scrapy"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("process", CASES)
def test_a_process_imports_no_heavy_module_that_it_does_not_need(process):
    code, needed = CASES[process]
    script = f"import sys\n{code}\nprint(*sorted({HEAVY!r} & {{name.partition('.')[0] for name in sys.modules}}))"
    output = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout
    assert set(output.split()) == needed


@pytest.mark.slow
def test_status_loads_nothing_that_only_crawls_and_scans_use(tmp_path):
    must(None, "init", tmp_path / "home")
    # the first command of a new home makes the database
    must(tmp_path / "home", "status")
    command = [sys.executable, "-P", "-X", "importtime", "-m", "scheduler", "--home", str(tmp_path / "home"), "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "scheduler.daemon.watch_state" in loaded
    assert not loaded & {*HEAVY, "numpy", "sqlite_utils", "crawler.process.job_frame", "crawler.process.control_frames"}


PAGES = """
import re, sys
import llvmlite.binding as llvm
from crawler.process import startup_memory

def clean():
    "KiB of clean pages with code and constants of LLVM that are in memory."
    found, inside = 0, False
    for line in open("/proc/self/smaps"):
        if re.match("[0-9a-f]+-", line):
            inside = "libllvmlite" in line and line.split()[1].startswith("r-")
        elif inside and line.startswith(("Rss:", "Private_Dirty:", "Shared_Dirty:")):
            found += int(line.split()[1]) * (1 if line.startswith("Rss:") else -1)
    return found

def compiled():
    return str(llvm.parse_assembly("define i32 @f() {\\n ret i32 1\\n}"))

text, before = compiled(), clean()
startup_memory.release_startup_memory()
after = clean()
assert compiled() == text, "pages that were dropped are loaded again when they are used"
print(before, after)
"""


@pytest.mark.slow
def test_pages_that_only_starting_used_are_dropped_and_loaded_again_on_use():
    output = subprocess.run([sys.executable, "-P", "-c", PAGES], capture_output=True, text=True, check=True).stdout
    before, after = map(int, output.split())
    assert before > 4000
    assert after < before / 20
