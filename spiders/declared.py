"""Platform `declared`: the source file itself describes the site, and `crawler.pages.extract` reads it accordingly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from crawler.fetching.spider import SourceSpider


class DeclaredSpider(SourceSpider):
    """A site with its own markup: `list.each` and `list.fields` of the source file say where its posts are."""

    name = "declared"
    defaults: ClassVar[Mapping[str, Any]] = {}
