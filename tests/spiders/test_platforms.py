"""Each platform and each shipped source file reads a saved listing and must give the expected posts."""

import json
from pathlib import Path
from typing import Any

import pytest

from crawler.fetching.platform_loader import PlatformLoader
from data.sources.source_files import build_definition, load_source

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "tests" / "samples"
CASES = sorted(path.parent.name for path in SAMPLES.glob("*/case.json"))
PLATFORMS = PlatformLoader()


def read(folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    file = ROOT / "data" / "catalogue" / f"{given['source']}.yaml" if "source" in given else folder / "source.yaml"
    source = load_source(file)
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
