"""Which sources take links from others is asked at each crawl, and costs the daemon little however many files there are."""

from __future__ import annotations

from scheduler.crawls import definitions

TAKER = "name: {name}\nplatform: rentry\nurl: https://rentry.co/\n"


def test_files_are_looked_at_for_a_twentieth_of_the_time_and_a_change_is_seen_at_the_next_look(tmp_path, monkeypatch):
    (tmp_path / "one.yaml").write_text(TAKER.format(name="one"))
    monkeypatch.setattr(definitions, "REST", 0)
    assert [each.definition.name for each in definitions.link_takers(tmp_path)] == ["one"]
    (tmp_path / "two.yaml").write_text(TAKER.format(name="two"))
    monkeypatch.setattr(definitions, "REST", 1e9)
    found = definitions.link_takers(tmp_path)
    assert [each.definition.name for each in found] == ["one", "two"]
    (tmp_path / "one.yaml").unlink()
    assert definitions.link_takers(tmp_path) is found, "the next look waits"
    assert definitions.link_takers(tmp_path / "none") == []
