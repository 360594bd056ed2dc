"""What processes give back, and what they never load: memory is held by what is in them, not by a measurement."""

from __future__ import annotations

import subprocess
import sys

import pytest

# all that a process may be found to hold and not need
HEAVY = {"aiohttp", "httpcore2", "httpx", "httpx2", "lxml", "numba", "pyarrow", "requests", "scrapy", "tldextract"}

FOREGROUND = """
import scheduler.cli, scheduler.cli.crawl, scheduler.crawls.run_crawl, scheduler.delivery.delivery, scheduler.crawls.tor_road, scheduler.crawls.lease_owner
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

# ... and what it does need. The crawl process parses pages; numba stays with the examiner, which alone matches.
CASES = {
    "the command that crawls": (FOREGROUND, set()),
    "a crawl process": (CRAWL, {"lxml", "scrapy"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("process", CASES)
def test_a_process_loads_nothing_heavy_that_it_does_not_need(process):
    code, needed = CASES[process]
    told = f"import sys\n{code}\nprint(*sorted({HEAVY!r} & {{name.partition('.')[0] for name in sys.modules}}))"
    said = subprocess.run([sys.executable, "-P", "-c", told], capture_output=True, text=True, check=True).stdout
    assert set(said.split()) == needed


PAGES = """
import re, sys
import llvmlite.binding as llvm
from crawler.process import startup_memory

def clean():
    "KiB of code and constants of LLVM that are in memory."
    found, of = 0, False
    for line in open("/proc/self/smaps"):
        if re.match("[0-9a-f]+-", line):
            of = "libllvmlite" in line and line.split()[1].startswith("r-")
        elif of and line.startswith(("Rss:", "Private_Dirty:", "Shared_Dirty:")):
            found += int(line.split()[1]) * (1 if line.startswith("Rss:") else -1)
    return found

def compiled():
    return str(llvm.parse_assembly("define i32 @f() {\\n ret i32 1\\n}"))

said, before = compiled(), clean()
startup_memory.settle()
after = clean()
assert compiled() == said, "what was given back is there again when it is used"
print(before, after)
"""


@pytest.mark.slow
def test_code_and_constants_that_starting_used_are_given_back_and_come_again():
    said = subprocess.run([sys.executable, "-P", "-c", PAGES], capture_output=True, text=True, check=True).stdout
    before, after = map(int, said.split())
    assert before > 4000
    assert after < before / 20
