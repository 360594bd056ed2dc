"""Each platform that is a module reads a saved listing and must give the expected posts; so do pages that are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from crawler.fetching.platform_loader import PlatformLoader
from data.sources.platform_files import platform_file
from data.sources.source_files import build_definition, load_source, parse_source

SAMPLES = Path(__file__).parent.parent / "samples"
CASES = sorted(path.parent.name for path in SAMPLES.glob("*/case.json"))
PLATFORMS = PlatformLoader()


def read(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    if "platform" in given:
        shipped = platform_file(given["platform"])
        assert shipped is not None
        lines = f"name: board\nplatform: {shipped.name}\nurl: {shipped.example}\n"
        source = parse_source(lines, "board.yaml")
    else:
        source = load_source(folder / "source.yaml")
    definition = build_definition(source, PLATFORMS.defaults_for(source))
    (page,) = folder.glob("page.*")
    listing = PLATFORMS.platform(source.platform).read_listing(
        definition,
        page.read_bytes(),
        given["url"],
        given["content_type"],
        given.get("page_no", 1),
        given.get("status", 200),
    )
    return {
        "state": listing.state,
        "rows": listing.rows,
        "dropped": listing.dropped,
        "next_url": listing.next_url,
        "more": list(listing.more),
        "problems": list(listing.problems),
        "posts": [
            {key: value for key, value in post.to_json().items() if value and key != "source"} for post in listing.posts
        ],
    }


@pytest.mark.parametrize("name", CASES)
def test_a_saved_listing_gives_the_expected_posts(name):
    case = json.loads((SAMPLES / name / "case.json").read_text())
    found = json.loads(json.dumps(read(SAMPLES / name, case["given"])))
    assert found == case["expected"]
