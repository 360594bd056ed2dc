"""Shipped definitions of site software: one YAML file of `spiders/platforms/` for each, with the keys of a source file.

Beside those keys a platform file may have `base` (the module of `spiders/` that reads its pages), `example` (an address
as an operator writes it) and `address` (expressions for such addresses, without scheme and host, whose named groups
replace placeholders such as {board} in the addresses of the file).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import SourceError
from data.sources.addresses import fill_placeholders
from data.sources.source_files import SourceFile, load_yaml

FOLDER = Path(__file__).resolve().parent.parent.parent / "spiders" / "platforms"
# Keys that only a platform file has.
_OWN = ("base", "example", "address")


@dataclass(frozen=True)
class PlatformFile:
    """One platform file.

    Attributes:
        base: name of the platform whose module reads the pages.
        example: an address of such a site, as an operator writes it.
        address: expressions for the part of an address after the host; () if every address will do.
        keys: what the platform adds to a definition.
    """

    name: str
    base: str
    example: str
    address: tuple[str, ...]
    keys: Mapping[str, Any]

    def defaults_for(self, source: SourceFile) -> Mapping[str, Any]:
        """What the platform adds to the definition of one source.

        Raises:
            SourceError: the address of the source is not one of this software.
        """
        if not self.address:
            return self.keys
        url = str(source.raw.get("url") or source.raw.get("list", {}).get("url") or "")
        if not url:
            raise source.error("url", f"is missing: write it like {self.example}")
        place = re.sub(r"^[a-z]+://[^/?#]*|#.*", "", url) or "/"
        for expression in self.address:
            if match := re.fullmatch(expression, place):
                values = {name: text or "" for name, text in match.groupdict().items()}
                return {key: _filled({key: each}, values)[key] for key, each in self.keys.items()}
        raise source.error("url", f"is not an address of {self.name} that can be read; write it like {self.example}")


def platform_file(name: str) -> PlatformFile | None:
    """The platform file of this name; None if there is none.

    Raises:
        SourceError: the file is not valid YAML or lacks a key.
    """
    path = FOLDER / f"{name}.yaml"
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name) or not path.is_file():
        return None
    raw, _ = load_yaml(path.read_text(encoding="utf-8"), f"spiders/platforms/{path.name}")
    if "example" not in raw:
        raise SourceError(
            "is missing", file=f"spiders/platforms/{path.name}", field="example", hint="give the address of a listing"
        )
    return PlatformFile(
        name,
        base=str(raw.get("base", "declared")),
        example=str(raw["example"]),
        address=tuple(raw.get("address", ())),
        keys={key: value for key, value in raw.items() if key not in _OWN},
    )


def platform_file_names() -> list[str]:
    """The names of all platform files, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    """The value with the placeholders of `values` replaced in all addresses and templates."""
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: fill_placeholders(each, values) if key in ("url", "template") else _filled(each, values)
        for key, each in value.items()
    }
