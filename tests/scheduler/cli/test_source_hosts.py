"""`source hosts`, `source list` and `status` tell to which undeclared hosts posts link; names rest sealed."""

import contextlib
from datetime import UTC, datetime, timedelta

from crawler.pages.post_identity import host_id, seal_host
from data.hashing.case_keys import parse_match_key
from data.store.sources import HostLink
from data.store.store import Store
from tests.inside import fine, run
from tests.leased_crawl import LeasedCrawl

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def linked(home, *hosts, now=NOW):
    """Posts that link to hosts: (name, post, files), names of public services as they are."""
    key = parse_match_key(home.match_key_text()).derive().post
    with contextlib.closing(Store.open(home.db_path)) as store:
        LeasedCrawl(store, "board", now=now)
        for name, post, files in hosts:
            shown = name if name in ("gofile.io", "pixeldrain.com") else ""
            link = HostLink(host_id(key, name), shown, seal_host(key, name), files)
            store.sources.note_hosts("board", post, [link], now)


def test_hosts_are_listed_with_their_counts_and_a_source_that_would_read_them(home):
    path = home.path
    assert "no post links to a host" in fine(path, "source", "hosts").stdout
    linked(
        home, ("gofile.io", "p1", 0), ("files.example", "p1", 2), ("files.example", "p2", 1), ("files.example", "p2", 1),
        ("pixeldrain.com", "p1", 1), ("pixeldrain.com", "p2", 0),
    )  # fmt: skip
    said = fine(path, "source", "hosts").stdout
    assert "2 posts link to pixeldrain.com: declare it?" in said
    assert "platform: pixeldrain" in said, "a service that has a platform is read by it"
    assert "files.example" in said
    listed = run(path, "source", "hosts", "--json").json["undeclared"]
    assert [(each["host"], each["kind"], each["posts"], each["files"]) for each in listed] == [
        ("pixeldrain.com", "files", 2, 1),
        ("gofile.io", "files", 1, 0),
        ("files.example", "", 2, 3),
    ]
    assert run(path, "source", "hosts", "other", "--json").json["undeclared"] == []
    line = "2 posts link to pixeldrain.com: declare it?"
    assert line in run(path, "source", "list").stderr
    said = run(path, "status").stdout
    assert line in said
    assert "1 other host that no source declares" in said
    assert b"files.example" not in b"".join(each.read_bytes() for each in path.glob("tocsin.db*"))

    home.match_key_path.unlink()
    sealed = run(path, "source", "hosts").said
    assert "files.example" not in sealed
    assert "names in brackets are sealed" in sealed


def test_links_that_no_source_of_their_host_takes_are_listed_apart(home):
    path = home.path
    text = "name: pastes\nplatform: linked\nhosts: [paste.example]\n"
    linked(home, ("paste.example", "p0", 0))
    (path / "sources" / "pastes.yaml").write_text(text)
    assert run(path, "source", "hosts", "--json").json == {"undeclared": [], "untaken": []}
    with contextlib.closing(Store.open(home.db_path)) as store:
        store.sources.put("pastes", "digest", True, NOW + timedelta(hours=1))
    linked(home, ("paste.example", "p1", 0), ("files.example", "p1", 0), now=NOW + timedelta(hours=2))
    # what a post linked to before somebody declared the host is not what its source does not take
    listed = run(path, "source", "hosts", "--json").json
    assert [each["host"] for each in listed["undeclared"]] == ["files.example"]
    assert [(each["host"], each["posts"]) for each in listed["untaken"]] == [("paste.example", 1)]
    assert "that take links, but not these" in fine(path, "source", "hosts").stdout
