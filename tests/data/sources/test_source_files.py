"""Source files: which YAML is accepted, how mistakes are reported, and that the schema for editors agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from data.errors import SourceError
from data.sources.definition import Definition, with_pages
from data.sources.expression_checks import check_expression
from data.sources.platform_files import FOLDER, platform_file, platform_file_names
from data.sources.selector_rules import Rule
from data.sources.source_files import (
    build_definition,
    json_schema,
    load_source,
    load_sources,
    merge,
    parse_source,
    set_enabled,
)
from scheduler.crawls.definitions import complete_definition

ROOT = Path(__file__).parents[3]
SMALL = "name: a\nplatform: feed\nurl: http://h.example/\n"


def wrong(text: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        parse_source(text, "f.yaml")
    return caught.value


# --- the schema that editors get -------------------------------------------------------------------------------------


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str = "") -> list[str]:
    """The violations of a JSON schema, for the part of JSON Schema that ours uses; `[]` if the value is valid."""
    known = {"title", "description", "default", "format", "ge", "gt", "$schema", "$defs"}
    known |= {"$ref", "anyOf", "const", "enum", "type", "properties", "required", "additionalProperties", "items",
              "minimum", "maximum", "exclusiveMinimum", "prefixItems", "minItems", "maxItems"}  # fmt: skip
    assert set(schema) <= known, f"{where}: this small check does not know {set(schema) - known}"
    if "$ref" in schema:
        return problems(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, where)
    if "anyOf" in schema:
        tried = [problems(value, each, root, where) for each in schema["anyOf"]]
        return [] if any(not each for each in tried) else [f"{where}: none of {len(tried)}", *min(tried, key=len)]
    if "const" in schema and value != schema["const"]:
        return [f"{where}: is not {schema['const']!r}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value!r} is not in {schema['enum']}"]
    types = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
             "null": type(None)}  # fmt: skip
    if "type" in schema:
        fits = isinstance(value, types[schema["type"]])
        if not fits or (isinstance(value, bool) and schema["type"] in ("integer", "number")):
            return [f"{where}: {value!r} is no {schema['type']}"]
    found: list[str] = []
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [f"{where}.{key}: is missing" for key in schema.get("required", ()) if key not in value]
        for key, item in value.items():
            if key in properties:
                found += problems(item, properties[key], root, f"{where}.{key}")
            elif schema.get("additionalProperties") is False:
                found += [f"{where}.{key}: unknown key"]
            elif isinstance(schema.get("additionalProperties"), dict):
                found += problems(item, schema["additionalProperties"], root, f"{where}.{key}")
    if isinstance(value, list) and "items" in schema:
        for at, item in enumerate(value):
            found += problems(item, schema["items"], root, f"{where}[{at}]")
    if isinstance(value, int | float):
        if value < schema.get("minimum", value) or value > schema.get("maximum", value):
            found += [f"{where}: {value} is out of range"]
        if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
            found += [f"{where}: {value} is out of range"]
    return found


def valid(text: str) -> list[str]:
    schema = json_schema()
    return problems(yaml.safe_load(text), schema, schema)


@pytest.mark.parametrize("name", platform_file_names())
def test_every_platform_file_says_what_it_reads_and_six_lines_of_its_example_are_a_source(name):
    text = (FOLDER / f"{name}.yaml").read_text()
    assert text.startswith("#"), "it must begin with a comment that describes it"
    assert "Facts:" in text, "the comment must name where the facts come from"
    shipped = platform_file(name)
    via = "via: tor\n" if ".onion" in shipped.example else ""
    lines = f"name: board\nplatform: {name}\nurl: {shipped.example}\nevery: 15m\n{via}"
    assert valid(lines) == []
    definition = complete_definition(parse_source(lines, "board.yaml"))
    changed = {key: value for key, value in definition.model_dump(mode="json").items() if key in shipped.keys}
    assert valid(lines + yaml.safe_dump(changed)) == [], "an operator must be able to override each key"


@pytest.mark.slow
def test_the_example_of_every_document_is_valid():
    import re

    found = 0
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
            assert valid(block) == [], page.name
            complete_definition(parse_source(block, page.name))
            found += 1
    assert found >= 3


@pytest.mark.parametrize(
    "more",
    ["every: 15m", "every: 900", "max_bytes: 8MB", "max_bytes: 1000000", "rate: 0.2/s", "rate: 3", "timeout: 90s",
     "robots: obey", "robots: {ignore: reason}", "hosts: b.example", "hosts: [b.example]", "health: {max_age: 7d}",
     "list: {since: 2h, fields: {title: 'css:h3', id: [{x: 'css:a', re: '(.)'}, 'css:b']}}", "item: {as: json}",
     "absent: {status: [404]}", "via: tor", "depth: 0"],
)  # fmt: skip
@pytest.mark.slow
def test_the_schema_accepts_valid_files(more):
    text = SMALL + more + "\n"
    parse_source(text, "f.yaml")
    assert valid(text) == []


@pytest.mark.parametrize(
    "more",
    ["evry: 15m", "every: [1]", "via: wire", "depth: many", "health: {min_rows: -1}", "list: {as: csv}", "hosts: 5",
     "concurrency: 0", "follow: [{source: b}]", "list: {fields: {titel: 'css:a'}}", "enabled: [true]", "raw: yes please"],
)  # fmt: skip
@pytest.mark.slow
def test_the_schema_rejects_invalid_files(more):
    text = SMALL + more + "\n"
    wrong(text)
    assert valid(text) != []


def test_the_schema_describes_every_key_of_the_definition():
    schema = json_schema()
    models = {model.__name__: model for model in parts_of(Definition)}
    assert {"ListSection", "ListFields", "Rule", "Follow", "HealthSection", "Robots"} <= set(models)
    for name, model in models.items():
        described = schema if name == "Definition" else schema["$defs"][name]
        keys = {info.alias or field for field, info in model.model_fields.items()}
        assert set(described["properties"]) == keys, name
        for key, entry in described["properties"].items():
            # the description of a section also describes its key
            part = schema["$defs"].get(entry.get("$ref", "").rpartition("/")[2], {})
            assert entry.get("description") or part.get("description"), f"{name}.{key}"
    assert schema["required"] == ["name", "platform"]


def parts_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and all models that it contains."""
    from typing import get_args

    found: list[type[BaseModel]] = []

    def walk(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in found:
            found.append(annotation)
            for info in annotation.model_fields.values():
                walk(info.annotation)
        for argument in get_args(annotation):
            walk(argument)

    walk(model)
    assert Rule in found
    return found


# --- reading -----------------------------------------------------------------------------------------------------


def test_a_mistake_is_reported_with_file_line_and_field():
    error = wrong(SMALL + "list:\n  fields:\n    id: css:a\n    titel: css:b\n")
    assert (error.file, error.line, error.field) == ("f.yaml", 7, "list.fields.titel")
    assert str(error).startswith("f.yaml:7: list.fields.titel: no such key; did you mean 'title'?")
    assert "docs/sources.md" in error.hint


def test_the_first_of_several_mistakes_is_reported_and_the_others_are_counted():
    error = wrong("name: a\nevry: 5m\nplatform: feed\nurl: http://h.example/\nvia: wire\ndepth: x\n")
    assert error.line == 2
    assert "(and 2 more mistakes)" in str(error)


@pytest.mark.slow
def test_aliases_tags_and_deep_nesting_are_refused():
    bomb = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    assert "aliases" in str(wrong(bomb))
    assert wrong("name: !!python/object/apply:os.system [id]\nplatform: feed\n").line == 1
    assert "YAML" in str(wrong("[" * 5000))
    assert "a plain word" in str(wrong("? [a, b]\n: c\n"))
    assert wrong("name: a\nname: a\nplatform: feed\n").line == 2
    assert "YAML" in str(wrong("name: a\0b\n"))
    assert "YAML" in str(wrong("name: a\n---\nname: b\n"))


def test_words_that_yaml_would_read_as_booleans_stay_texts():
    text = SMALL + "list:\n  drop: {title: 'x'}\n  fields: {title: 'css:a', extra: {on: 'css:b', no: 'css:c'}}\n"
    source = parse_source(text, "f.yaml")
    assert set(source.raw["list"]["fields"]["extra"]) == {"on", "no"}
    assert wrong("name: 5\nplatform: feed\nurl: http://h.example/\n").field == "name"
    assert wrong("name: yes\nplatform: feed\nurl: http://h.example/\n").field == "name"


def test_files_may_begin_with_a_byte_order_mark_and_are_refused_when_too_large(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert load_source(file).name == "a"
    file.write_bytes(SMALL.encode() + b"#" * 2**20)
    with pytest.raises(SourceError, match="larger than"):
        load_source(file)


def test_a_folder_gives_valid_files_and_errors_in_order(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.yaml").write_text(SMALL.replace("name: a", f"name: {name}"))
    (tmp_path / "c.yaml").write_text("name: d\nplatform: feed\nurl: http://h.example/\n")
    (tmp_path / "note.txt").write_text("not a source")
    (tmp_path / ".a.yaml.new").write_text("half")
    (tmp_path / "folder.yaml").mkdir()
    good, bad = load_sources(tmp_path)
    assert [each.name for each in good] == ["a", "b"]
    assert [(each.file, each.field) for each in bad] == [("c.yaml", "name"), ("folder.yaml", "")]
    assert load_sources(tmp_path / "gone")[1][0].hint == "run  tocsin doctor"


# --- platform and file -----------------------------------------------------------------------------------------------


def test_keys_of_the_file_override_those_of_the_platform():
    source = parse_source(SMALL + "every: 5m\nlist: {fields: {title: 'css:h1'}}\n", "f.yaml")
    defaults = {
        "every": "1h",
        "charset": "utf-8",
        "list": {"each": ["css:li"], "fields": {"title": "css:b", "id": "css:i"}},
    }
    definition = build_definition(source, defaults)
    assert definition.every.total_seconds() == 300
    assert definition.charset == "utf-8"
    assert definition.list.fields.title[0].x == "css:h1"
    assert definition.list.fields.id[0].x == "css:i"


def test_merging_modifies_neither_input():
    base, over = {"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}, "d": 3}
    assert merge(base, over) == {"a": {"b": 1, "c": [2]}, "d": 3}
    assert (base, over) == ({"a": {"b": 1, "c": [1]}}, {"a": {"c": [2]}, "d": 3})


# --- switching -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "enabled: false\n"),
        ("enabled: true\n", "enabled: false\n"),
        ("enabled:   true   # for now\n", "enabled:   false   # for now\n"),
        ('"enabled": yes\n', '"enabled": false\n'),
        ("enabled: 'true'\n", "enabled: false\n"),
        ("enabled: false\n", "enabled: false\n"),
    ],
)
def test_a_source_is_disabled_in_place(before, after):
    changed = set_enabled(parse_source(SMALL + before + "# end\n", "f.yaml"), enabled=False)
    assert not build_definition(changed, {}).enabled
    assert changed.text in (SMALL + after + "# end\n", SMALL + before + "# end\n" + after)


def test_disabling_and_enabling_again_gives_the_same_file():
    text = SMALL + "enabled: true  # comment\nevery: 5m\n"
    source = parse_source(text, "f.yaml")
    assert set_enabled(set_enabled(source, enabled=False), enabled=True).text == text


def test_a_file_without_a_last_line_end_can_be_disabled():
    assert set_enabled(parse_source(SMALL.rstrip("\n"), "f.yaml"), enabled=False).text == SMALL + "enabled: false\n"


@pytest.mark.parametrize("text", ['{name: a, platform: feed, url: "http://h.example/"}', SMALL + "...\n"])
def test_a_file_that_cannot_be_changed_says_what_to_write(text):
    with pytest.raises(SourceError, match="cannot be changed automatically") as caught:
        set_enabled(parse_source(text, "f.yaml"), enabled=False)
    assert caught.value.hint == "edit the file and write  enabled: false"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_files_that_other_users_may_write_are_not_used_and_the_others_are(tmp_path, mode):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(SMALL.replace("name: a", f"name: {name}"))
    (tmp_path / "b.yaml").chmod(mode)
    good, bad = load_sources(tmp_path)
    assert [source.name for source in good] == ["a"]
    assert [(error.file, "can be written by other users" in str(error)) for error in bad] == [("b.yaml", True)]
    assert f"chmod go-w {tmp_path / 'b.yaml'}" in bad[0].hint


def test_nothing_is_used_of_a_folder_to_which_other_users_may_add_sources(tmp_path):
    (tmp_path / "a.yaml").write_text(SMALL)
    tmp_path.chmod(0o777)
    good, bad = load_sources(tmp_path)
    assert good == []
    assert "can be written by other users" in str(bad[0])


@pytest.mark.parametrize(
    "expression",
    [
        r"(a|aa)+$",
        r"^(?:a|a)*$",
        r"(?:ab|a|ba)+x",
        r"(aa?)*b",
        r"x(?:(a|b)?|ab)+?$",
        r"(?=(?:a|aa)+$)a",
        "(?:ab|abb|b)+",
    ],
)
def test_alternatives_that_match_the_same_text_in_two_ways_are_refused(expression):
    with pytest.raises(ValueError, match="in several ways"):
        check_expression(expression)


@pytest.mark.parametrize(
    "expression",
    [
        r"(?:foo|bar)+",
        r"(?:a|b|c)*$",
        r"(?:a|ab)+",
        r"(?:a|aa)++$",
        r"(?:ab|abb|bb)+",
        r"(?:a|aa){1,3}",
        r"(?:\w|ab)+",
        r"(a|)+b",
    ],
)
def test_alternatives_that_match_each_text_in_one_way_are_allowed(expression):
    check_expression(expression)


@pytest.mark.parametrize("name", ["feed", "mybb", "open_directory"])
def test_a_definition_with_more_pages_is_a_valid_definition(name):
    """A crawl process gets the definition as JSON and checks it again; a feed may name its next page itself."""
    address = "https://board.example/forumdisplay.php?fid=2" if name == "mybb" else "https://board.example/"
    definition = complete_definition(parse_source(f"name: a\nplatform: {name}\nurl: {address}\n", "a.yaml"))
    more = with_pages(definition, 1000, stop="empty")
    assert Definition.model_validate_json(more.model_dump_json(by_alias=True)) == more
    assert more.list.max_pages == (1 if name == "open_directory" else 1000)


def test_a_file_overrides_single_keys_of_its_platform_and_is_checked_together_with_it():
    lines = "name: a\nplatform: mybb\nurl: https://board.example/forumdisplay.php?fid=2\n"
    more = complete_definition(parse_source(f"{lines}list: {{pages: {{max: 20}}}}\n", "a.yaml"))
    assert (more.list.max_pages, more.list.each) == (20, complete_definition(parse_source(lines, "a.yaml")).list.each)
    with pytest.raises(SourceError, match="no such field"):
        complete_definition(parse_source(f"{lines}list: {{drop: {{autor: x}}}}\n", "a.yaml"))
    with pytest.raises(SourceError, match="further pages cannot be found"):
        parse_source("name: a\nplatform: declared\nurl: https://board.example/\nlist: {pages: {max: 20}}\n", "a.yaml")
