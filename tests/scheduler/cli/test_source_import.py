"""`source import` writes drafts that nothing crawls, and tells what changed since the last time."""

import json

import yaml

from tests.inside import fine, run

ONION = "http://abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwx.onion"


def groups(*sites):
    """A list as ransomware.live keeps it, of (name, address, title, available)."""
    names = dict.fromkeys(name for name, *_ in sites)
    return json.dumps(
        [
            {"name": name, "locations": [
                {"slug": slug, "title": title, "available": up} for each, slug, title, up in sites if each == name
            ]}
            for name in names
        ]
    )  # fmt: skip


def sources(path):
    return {each["name"] for each in run(path, "source", "list", "--json").json["sources"]}


def test_a_list_becomes_drafts_and_each_further_reading_a_difference(home, tmp_path):
    path, list_ = home.path, tmp_path / "groups.json"
    list_.write_text(
        groups(
            ("alpha", ONION, "Blog", True), ("alpha", "http://alpha.example", "Blog", True),
            ("beta", "https://beta.example/forumdisplay.php?fid=2", "Beta", True),
            ("gamma", "https://t.me/+secret", "", True),
        )
    )  # fmt: skip
    first = run(path, "source", "import", list_, "--json").json
    assert (first["sites"], first["drafts"], first["private"]) == (4, 2, 1)
    drafts = path / "sources" / "drafts"
    assert sorted(draft.name for draft in drafts.glob("*.yaml")) == ["alpha.yaml", "beta.yaml"]
    alpha = yaml.safe_load((drafts / "alpha.yaml").read_text())
    assert alpha == {
        "name": "alpha", "platform": "declared", "url": ONION, "hosts": ["http://alpha.example"], "via": "tor",
        "enabled": False,
    }  # fmt: skip
    assert sources(path) == {"example"}, "no draft is a source"
    assert run(path, "source", "import", list_, "--json").json["changes"] == []

    # a draft whose platform is known by its address becomes a source, the other one must be looked at first
    fine(path, "source", "enable", "beta")
    assert sources(path) == {"beta", "example"}
    assert not (drafts / "beta.yaml").exists()
    refused = run(path, "source", "enable", "alpha")
    assert refused.returncode == 2
    assert f"tocsin source new {ONION} --name alpha" in refused.stderr

    (drafts / "alpha.yaml").write_text((drafts / "alpha.yaml").read_text() + "# mine\n")
    list_.write_text(
        groups(
            ("alpha", ONION, "Blog", False), ("alpha", "http://alpha2.example", "Blog", True),
            ("beta", "https://beta2.example/forumdisplay.php?fid=2", "Beta", True),
            ("delta", "https://delta.example", "Delta", True),
        )
    )  # fmt: skip
    dry = run(path, "source", "import", list_, "--dry-run", "--json").json
    text = run(path, "source", "import", list_)
    assert text.returncode == 0
    for sentence in (
        f"alpha moved from {ONION} to http://alpha2.example: same name and title",
        "beta moved from https://beta.example/forumdisplay.php?fid=2 to https://beta2.example/forumdisplay.php?fid=2",
        "delta is new: https://delta.example",
        "alpha is gone: http://alpha.example (no longer listed)",
    ):
        assert sentence in text.stdout
    assert "source beta reads https://beta.example/forumdisplay.php?fid=2, which moved to" in text.stderr
    assert "1 draft that you edited was left as they are" in text.stderr
    assert [each["kind"] for each in dry["changes"]] == ["moved", "moved", "new", "gone", "gone"]
    assert (drafts / "alpha.yaml").read_text().endswith("# mine\n")
    assert not (drafts / "beta.yaml").exists(), "what became a source gets no draft again"
    assert (drafts / "delta.yaml").is_file()
