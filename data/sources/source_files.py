"""Reads source files: turns YAML into definitions, and reports every mistake with file, line and field.

The definition itself is `data.sources.definition`. Platforms, in `spiders`, give the keys that a file leaves out.
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
from data.settings.permissions import repair_command, writable_by_others
from data.sources.definition import Definition
from data.sources.selector_rules import FieldError, did_you_mean

HINT = "docs/sources.md lists every key; `tocsin source schema` prints a schema for your editor"
MAX_FILE = 1024 * 1024
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class SourceFile:
    """One source file without mistakes of its own; together with its platform it may still be invalid.

    Attributes:
        file: name of the file, for messages. raw: its content as dicts, lists and scalars. text: its unchanged text.
        lines: the line, counted from 1, of each key and list entry by its path.
    """

    file: str
    raw: Mapping[str, Any]
    text: str = field(repr=False)
    lines: Mapping[KeyPath, int] = field(repr=False)

    @property
    def name(self) -> str:
        """Name of the source."""
        return str(self.raw["name"])

    @property
    def platform(self) -> str:
        """Name of the platform."""
        return str(self.raw["platform"])

    @property
    def enabled(self) -> bool:
        """Whether the daemon crawls the source."""
        return bool(self.raw.get("enabled", True))

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of the innermost key around it that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def error(self, path: str, message: str, hint: str = HINT) -> SourceError:
        """An error about a key of this file, given by its dotted path."""
        steps: KeyPath = tuple(int(step) if step.isdigit() else step for step in path.split(".") if step)
        return SourceError(message, file=self.file, line=self.line(steps), field=path, hint=hint)


def parse_source(text: str, file: str) -> SourceFile:
    """Read the text of one source file.

    Raises:
        SourceError: the text is not YAML, a key is unknown or a value is invalid; it reports the first mistake by line.
    """
    raw, lines = load_yaml(text, file)
    source = SourceFile(file, raw, text, lines)
    for key in ("name", "platform"):
        if key not in raw:
            raise source.error(key, "is missing")
    # a platform without listings needs no address; whether this is one is known when the definition is built
    whole = {"url": front_page(raw), **raw} if front_page(raw) else raw
    _validate(source, whole, part=raw["platform"] != "declared")
    return source


def front_page(raw: Mapping[str, Any]) -> str:
    """The front page of the first host of a file that has no address, only hosts; '' for any other file."""
    hosts = raw.get("hosts")
    first = hosts if isinstance(hosts, str) else hosts[0] if isinstance(hosts, list) and hosts else None
    if "url" in raw or "list" in raw or not isinstance(first, str):
        return ""
    scheme = "http" if ".onion" in first else "https"
    return (first if "://" in first else f"{scheme}://{first}").rstrip("/") + "/"


def load_source(path: Path) -> SourceFile:
    """Read one source file from disk; raises SourceError."""
    try:
        if not path.is_file():
            message = "is not a file" if path.exists() else "does not exist"
            raise SourceError(message, file=path.name, hint="check the path")
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise SourceError(
            f"cannot be read: {error.strerror}", file=path.name, hint="check its owner and permissions"
        ) from error
    if len(content) > MAX_FILE:
        raise SourceError(
            f"is larger than {MAX_FILE} bytes, too large for a source file", file=path.name, hint="check the path"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError("is not UTF-8 text", file=path.name, line=line, hint="save the file as UTF-8") from error
    return parse_source(text, path.name)


def load_sources(folder: Path) -> tuple[list[SourceFile], list[SourceError]]:
    """The valid source files of a folder, in the order of their names, and one error for each of the others.

    Files that other users may write are not used, and neither is a folder to which they may add some.
    """
    valid: list[SourceFile] = []
    errors: list[SourceError] = []
    try:
        _require_private(folder)
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except SourceError as error:
        return [], [error]
    except OSError as error:
        return [], [SourceError(f"cannot be read: {error.strerror}", file=folder.name, hint="run  tocsin doctor")]
    for path in paths:
        try:
            if path.suffix in (".yaml", ".yml"):
                _require_private(path)
            if path.suffix == ".yml":
                raise SourceError(
                    "is ignored, because its name does not end in .yaml",
                    file=path.name,
                    hint=f"rename it to {path.stem}.yaml",
                )
            if path.suffix != ".yaml":
                continue
            source = load_source(path)
            if source.name != path.stem:
                raise source.error(
                    "name",
                    f"differs from the file name {path.name}",
                    f"rename the file to {source.name}.yaml, or change the name",
                )
            valid.append(source)
        except SourceError as error:
            errors.append(error)
    return valid, errors


def _require_private(path: Path) -> None:
    """Raise SourceError if other users may write a source file, or the folder of source files."""
    if path.exists() and writable_by_others(path):
        raise SourceError(
            "can be written by other users, who could so decide what is contacted; it is not used",
            file=path.name,
            hint=repair_command(path),
        )


def build_definition(source: SourceFile, defaults: Mapping[str, Any]) -> Definition:
    """The complete definition: the keys of the file, and those of `defaults` (the platform's) for all others.

    Raises:
        SourceError: both together are not a valid definition.
    """
    definition = _validate(source, merge(defaults, source.raw))
    if source.platform == "declared" and not definition.parser:
        rules = definition.list
        if not rules.each and rules.kind in ("html", "xml") and rules.js is None:
            raise source.error("list.each", "is missing: without it no rows can be found")
        if not rules.fields.id and not rules.fields.link:
            raise source.error("list.fields", "give `id` or `link`: without either, posts cannot be distinguished")
    return definition


def set_enabled(source: SourceFile, *, enabled: bool) -> SourceFile:
    """The same file with `enabled` changed; comments and the order of keys are kept.

    Raises:
        SourceError: the file is written in a way that cannot be changed automatically.
    """
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
        # a file in one line, {name: …}, has no place for a further line
        changed = source
    if changed is source or changed.enabled is not enabled:
        raise source.error(
            "enabled", "cannot be changed automatically in this file", f"edit the file and write  enabled: {word}"
        )
    return changed


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `base` with the values of `over`: mappings are merged key by key, other values are replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    return merged


def json_schema() -> dict[str, Any]:
    """The JSON schema of a source file, for editors."""
    from data.settings.attribute_docs import describe_schema

    schema = Definition.model_json_schema(by_alias=True)
    describe_schema(schema, Definition)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Tocsin source file"}


# --- YAML with lines -------------------------------------------------------------------------------------------------


def load_yaml(text: str, file: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """The content as dicts, lists and scalars, and the line of every key; raises SourceError."""
    lines: dict[KeyPath, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if not isinstance(node, yaml.MappingNode):
                line = node.start_mark.line + 1 if node is not None else 1
                raise SourceError(
                    "a source file must be a mapping of keys to values",
                    file=file,
                    line=line,
                    hint="begin with  name: …",
                )
            raw = _to_containers(loader, node, (), lines, set(), file)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise SourceError(f"invalid YAML: {reason}", file=file, line=line, hint="correct this line") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise SourceError(f"invalid YAML: {reason}", file=file, line=1, hint="correct the file") from error
    return raw, lines


def _to_containers(
    loader: yaml.SafeLoader, node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], seen: set[int], file: str
) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    where = ".".join(str(step) for step in path)
    # an alias is the same node a second time; aliases are refused because a few lines of them can expand to gigabytes
    if id(node) in seen:
        raise SourceError(
            "YAML aliases (*name) are not allowed in source files",
            file=file,
            line=line,
            field=where,
            hint="repeat the value in full",
        )
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            place = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise SourceError("a key must be a plain word", file=file, line=place, field=where, hint=HINT)
            # the text of the key is used as it is, because YAML would read `on` and `no` as booleans
            name = str(key.value)
            if name in found:
                field = ".".join([*map(str, path), name])
                raise SourceError("is given twice", file=file, line=place, field=field, hint="remove one of the two")
            lines[*path, name] = place
            found[name] = _to_containers(loader, value, (*path, name), lines, seen, file)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_to_containers(loader, item, (*path, at), lines, seen, file) for at, item in enumerate(node.value)]
    if node.tag == "tag:yaml.org,2002:timestamp":
        return node.value
    value = loader.construct_object(node, deep=True)
    if value is not None and not isinstance(value, str | int | float | bool):
        raise SourceError("must be a text, a number, true or false", file=file, line=line, field=where, hint=HINT)
    return value


# --- messages for errors of pydantic ---------------------------------------------------------------------------------

# the beginning of an error type, and the message for it
_MESSAGES = {
    "missing": "is missing",
    "time_delta": "write a time span such as 90s, 15m, 24h or 7d",
    "string_type": "write a text; put it in quotes if YAML would read it as a number, date, true or false",
    "int_": "write a whole number, or a size such as 8MB",
    "float_": "write a number, or a rate such as 0.2/s",
    "bool_": "write true or false",
    "model_type": "write a mapping of keys to values",
    "dict_type": "write a mapping of keys to values",
    "tuple_type": "write a list",
}


def _validate(source: SourceFile, raw: Mapping[str, Any], *, part: bool = False) -> Definition:
    """The definition, or the first mistake in it; a `part` is completed by its platform."""
    try:
        return Definition.model_validate(raw, context={"part": part})
    except ValidationError as error:
        mistakes = [_describe_error(issue) for issue in error.errors(include_url=False)]
        mistakes.sort(key=lambda mistake: source.line(mistake[0]))
        path, message = mistakes[0]
        if len(mistakes) > 1:
            message += f" (and {len(mistakes) - 1} more mistakes)"
        raise SourceError(
            message, file=source.file, line=source.line(path), field=".".join(map(str, path)), hint=HINT
        ) from None


def _describe_error(issue: Any) -> tuple[KeyPath, str]:
    """The path and the message for one error that pydantic found."""
    path: KeyPath = tuple(issue["loc"])
    kind: str = issue["type"]
    cause = issue.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        return tuple(int(step) if step.isdigit() else step for step in cause.field.split(".")), cause.message
    if kind == "extra_forbidden":
        known = _keys_at(path[:-1])
        message = f"no such key{did_you_mean(str(path[-1]), known)}"
        return path, message if "did you mean" in message else f"{message}; the keys here are: {', '.join(known)}"
    for start, message in _MESSAGES.items():
        if kind.startswith(start):
            return path, message
    return path, str(issue["msg"]).removeprefix("Value error, ")


def _keys_at(path: KeyPath) -> list[str]:
    """The keys that are allowed at a path of the definition."""
    model: Any = Definition
    for step in path:
        if isinstance(step, int):
            continue
        for name, info in model.model_fields.items():
            if step in (name, info.alias):
                found = _model_in(info.annotation)
                model = found if found is not None else model
                break
    return [info.alias or name for name, info in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model that a type annotation contains, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if (found := _model_in(argument)) is not None:
            return found
    return None
