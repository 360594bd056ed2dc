"""A platform whose module is broken is reported by name, and all others can be used."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

import spiders
from crawler.fetching.platform_loader import PlatformLoader, Platforms
from data.errors import ConfigError
from data.sources.platform_files import platform_file_names
from tests.command import must, tocsin_json

GOOD = """
from crawler.fetching.spider import SourceSpider

class GoodSpider(SourceSpider):
    name = "good"
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "sitekinds"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "good.py").write_text(GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "sitekinds"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("class (", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit('x')", "SystemExit"),
        ("raise ValueError('a text that must not be reported')", "ValueError"),
    ],
)
def test_a_broken_module_is_named_and_the_others_load(package, text, kind):
    (package / "bad.py").write_text(text)
    loader = PlatformLoader(["sitekinds"])
    assert loader.broken == {"bad": kind}
    assert loader.list() == sorted(["good", *platform_file_names()])
    with pytest.raises(ConfigError) as caught:
        loader.platform("bad")
    assert kind in str(caught.value)
    assert "must not be reported" not in str(caught.value)
    with pytest.raises(ConfigError, match="no platform 'other'"):
        loader.platform("other")


@pytest.mark.slow
@pytest.mark.servers
def test_a_crawl_of_another_platform_succeeds_and_reports_the_broken_one(tmp_path):
    from scheduler.demo.servers import FeedEntry, LeakSite
    from tests.whole.test_kill import SOURCE

    # the copy of the package, which has one more module that is broken, comes before the real one on the path
    shutil.copytree(Path(spiders.__file__).parent, tmp_path / "front" / "spiders")
    (tmp_path / "front" / "spiders" / "broken.py").write_text("1 / 0")
    home = tmp_path / "home"
    must(None, "init", home)
    with LeakSite() as site:
        site.publish(FeedEntry("one", "one", "", "one.txt", b"harmless"))
        file = tmp_path / "site.yaml"
        file.write_text(SOURCE.format(url=site.url))
        must(home, "source", "add", file)
        result = tocsin_json(home, "crawl", "site", PYTHONPATH=str(tmp_path / "front"))["crawls"][0]
    assert (result["state"], result["examined"], result["events"]) == ("done", 1, 1)
    last = tocsin_json(home, "status")["last_event"]
    assert last["kind"] == "selftest_failed"


@pytest.mark.slow
def test_platforms_are_remembered_until_one_changes_and_broken_ones_are_not(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    assert Platforms.remembered(cache).defaults["feed"]
    [file] = cache.iterdir()
    file.write_text(json.dumps({"defaults": {"known": {}}, "broken": {}}))
    assert list(Platforms.remembered(cache).defaults) == ["known"]
    file.write_text("damaged")
    assert "feed" in Platforms.remembered(cache).defaults
    shutil.copytree(Path(spiders.__file__).parent, tmp_path / "front" / "spiders")
    (tmp_path / "front" / "spiders" / "broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path / "front"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "front"))
    assert Platforms.remembered(cache).broken == {"broken": "ZeroDivisionError"}
    assert list(cache.iterdir()) == [file]


@pytest.mark.slow
def test_the_command_line_of_scrapy_lists_the_platforms():
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-m", "scrapy", "list"], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == PlatformLoader().list(), done.stderr
