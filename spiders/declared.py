"""Platform `declared`: everything about the site stands in the source file; reading it is `crawler.pages.extract`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from crawler.fetching.spider import SourceSpider


class DeclaredSpider(SourceSpider):
    """A site with its own markup: `list.each` and `list.fields` of the file say where its posts are."""

    name = "declared"
    defaults: ClassVar[Mapping[str, Any]] = {}
