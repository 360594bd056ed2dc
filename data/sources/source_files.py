"""Source files: YAML becomes definitions, and every mistake is said with file, line and field.

The definition itself is `data.sources.definition`; platforms, which bring what a file leaves out, are `spiders`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from data.errors import SourceError
from data.sources.definition import Definition
from data.sources.selector_rules import FieldError, nearest

HINT = "docs/sources.md lists every key; `tocsin source schema` gives a schema for your editor"
MAX_FILE = 1024 * 1024
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class SourceFile:
    """One source file that holds no mistake by itself; its platform may still bring some.

    Attributes:
        file: name of the file, for messages. raw: its content as plain containers. text: the file as it is.
        lines: where each key and list entry stands: path -> 1-based line.
    """

    file: str
    raw: Mapping[str, Any]
    text: str = field(repr=False)
    lines: Mapping[Path_, int] = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the source."""
        return str(self.raw["name"])

    @property
    def platform(self) -> str:
        """Name of its platform."""
        return str(self.raw["platform"])

    @property
    def enabled(self) -> bool:
        """Whether the daemon looks at it."""
        return bool(self.raw.get("enabled", True))

    def line(self, path: Path_) -> int:
        """Line of the key, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def error(self, path: str, message: str, hint: str = HINT) -> SourceError:
        """The error for a dotted path of this file."""
        steps: Path_ = tuple(int(step) if step.isdigit() else step for step in path.split(".") if step)
        return SourceError(message, file=self.file, line=self.line(steps), field=path, hint=hint)


def parse_source(text: str, file: str) -> SourceFile:
    """Read one source file.

    Raises:
        SourceError: the text is no YAML, a key is unknown or a value wrong; names the first mistake by line.
    """
    raw, lines = _tree(text, file)
    source = SourceFile(file, raw, text, lines)
    for key in ("name", "platform"):
        if key not in raw:
            raise source.error(key, "is missing")
    _validate(source, raw)
    return source


def load_source(path: Path) -> SourceFile:
    """Read one source file from disk; raises SourceError."""
    try:
        if not path.is_file():
            said = "is not a file" if path.exists() else "there is no such file"
            raise SourceError(said, file=path.name, hint="check the path")
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise SourceError(
            f"cannot be read: {error.strerror}", file=path.name, hint="check its owner and permissions"
        ) from error
    if len(content) > MAX_FILE:
        raise SourceError(
            f"is larger than {MAX_FILE} bytes, which no source file is", file=path.name, hint="check the path"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError("is not UTF-8 text", file=path.name, line=line, hint="save the file as UTF-8") from error
    return parse_source(text, path.name)


def load_sources(folder: Path) -> tuple[list[SourceFile], list[SourceError]]:
    """All source files of a folder in order of name: the good ones, and what is wrong with the others."""
    good: list[SourceFile] = []
    bad: list[SourceError] = []
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        return [], [SourceError(f"cannot be read: {error.strerror}", file=folder.name, hint="run  tocsin doctor")]
    for path in paths:
        try:
            if path.suffix == ".yml":
                raise SourceError("is not read", file=path.name, hint=f"rename it to {path.stem}.yaml")
            if path.suffix != ".yaml":
                continue
            source = load_source(path)
            if source.name != path.stem:
                raise source.error(
                    "name", f"the file is {path.name}", f"rename the file to {source.name}.yaml, or change the name"
                )
            good.append(source)
        except SourceError as error:
            bad.append(error)
    return good, bad


def complete(source: SourceFile, defaults: Mapping[str, Any]) -> Definition:
    """The whole definition: what the file says over what the platform brings, key by key.

    Raises:
        SourceError: both together make no definition.
    """
    definition = _validate(source, merge(defaults, source.raw))
    if source.platform == "declared" and not definition.parser:
        rules = definition.list
        if not rules.each and rules.kind in ("html", "xml") and rules.js is None:
            raise source.error("list.each", "is missing: without it no rows are found")
        if not rules.fields.id and not rules.fields.link:
            raise source.error("list.fields", "neither `id` nor `link` is given, so that posts cannot be told apart")
    return definition


def set_enabled(source: SourceFile, *, enabled: bool) -> SourceFile:
    """The same file with `enabled` set; comments and order stay."""
    word = str(enabled).lower()
    lines = source.text.splitlines(keepends=True)
    if "enabled" in source.raw:
        at = source.lines["enabled",] - 1
        lines[at] = re.sub(r"(enabled[\"']?\s*:\s*)[^\s,}#]+", rf"\g<1>{word}", lines[at], count=1)
    else:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines.append(f"enabled: {word}\n")
    try:
        changed = parse_source("".join(lines), source.file)
    except SourceError:
        # a file in one line, {name: …}, has no place for another one
        changed = source
    if changed is source or changed.enabled is not enabled:
        raise source.error("enabled", "is written in a way that cannot be changed here", f"write  enabled: {word}")
    return changed


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what `over` says; mappings key by key, everything else whole."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return merged


def json_schema() -> dict[str, Any]:
    """The JSON schema of a source file, for editors."""
    schema = Definition.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Tocsin source file"}


# --- YAML with lines -------------------------------------------------------------------------------------------------


def _tree(text: str, file: str) -> tuple[dict[str, Any], dict[Path_, int]]:
    """Plain containers and the line of every key; raises SourceError."""
    lines: dict[Path_, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                line = node.start_mark.line + 1 if node is not None else 1
                raise SourceError(
                    "a source file is a mapping of keys to values", file=file, line=line, hint="begin with  name: …"
                )
            raw = _plain(loader, node, (), lines, set(), file)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise SourceError(f"not YAML in this line: {said}", file=file, line=line, hint="correct the file") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = "nested too deep" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise SourceError(f"not YAML: {said}", file=file, line=1, hint="correct the file") from error
    return raw, lines


def _plain(
    loader: yaml.SafeLoader, node: yaml.Node, path: Path_, lines: dict[Path_, int], seen: set[int], file: str
) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    where = ".".join(str(step) for step in path)
    # an alias is the same node again: refused, as a few lines of them can stand for gigabytes
    if id(node) in seen:
        raise SourceError(
            "YAML aliases (*name) are not used in source files", file=file, line=line, field=where, hint="write it out"
        )
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            place = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise SourceError("a key is a plain word", file=file, line=place, field=where, hint=HINT)
            # the text of the key, for YAML would read `on` and `no` as booleans
            name = str(key.value)
            if name in found:
                field = ".".join([*map(str, path), name])
                raise SourceError("stands twice", file=file, line=place, field=field, hint="keep one of the two")
            lines[*path, name] = place
            found[name] = _plain(loader, value, (*path, name), lines, seen, file)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(loader, item, (*path, at), lines, seen, file) for at, item in enumerate(node.value)]
    if node.tag == "tag:yaml.org,2002:timestamp":
        return node.value
    value = loader.construct_object(node, deep=True)
    if value is not None and not isinstance(value, str | int | float | bool):
        raise SourceError("is not a text, number or truth value", file=file, line=line, field=where, hint=HINT)
    return value


# --- pydantic's errors as ours ---------------------------------------------------------------------------------------

_SAID = {
    "missing": "is missing",
    "time_delta": "write a span such as 90s, 15m, 24h or 7d",
    "string_type": "write a text; put it in quotes where YAML reads it as something else",
    "int_": "write a whole number, or a size such as 8MB",
    "float_": "write a number, or a rate such as 0.2/s",
    "bool_": "write true or false",
    "model_type": "write a mapping of keys to values",
    "dict_type": "write a mapping of keys to values",
    "tuple_type": "write a list",
}


def _validate(source: SourceFile, raw: Mapping[str, Any]) -> Definition:
    try:
        return Definition.model_validate(raw)
    except ValidationError as error:
        mistakes = [_mistake(issue) for issue in error.errors(include_url=False)]
        mistakes.sort(key=lambda mistake: source.line(mistake[0]))
        path, message = mistakes[0]
        if len(mistakes) > 1:
            message += f" (and {len(mistakes) - 1} more mistakes)"
        raise SourceError(
            message, file=source.file, line=source.line(path), field=".".join(map(str, path)), hint=HINT
        ) from None


def _mistake(issue: Any) -> tuple[Path_, str]:
    """Path and sentence of one issue that pydantic found."""
    path: Path_ = tuple(issue["loc"])
    kind: str = issue["type"]
    cause = issue.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        return tuple(int(step) if step.isdigit() else step for step in cause.field.split(".")), cause.message
    if kind == "extra_forbidden":
        known = _keys_at(path[:-1])
        message = f"no such key{nearest(str(path[-1]), known)}"
        return path, message if "did you mean" in message else f"{message}; known: {', '.join(known)}"
    for start, said in _SAID.items():
        if kind.startswith(start):
            return path, said
    return path, str(issue["msg"]).removeprefix("Value error, ")


def _keys_at(path: Path_) -> list[str]:
    """The keys that are known at a place of the definition."""
    model: Any = Definition
    for step in path:
        if isinstance(step, int):
            continue
        for name, info in model.model_fields.items():
            if step in (name, info.alias):
                found = _part_in(info.annotation)
                model = found if found is not None else model
                break
    return [info.alias or name for name, info in model.model_fields.items()]


def _part_in(annotation: Any) -> type[BaseModel] | None:
    """The first model that an annotation holds, however wrapped."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if (found := _part_in(argument)) is not None:
            return found
    return None
