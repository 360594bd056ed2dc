"""Hostile JSON, XML, FHIR, HL7 and vCards; each has the canary outside of the damaged part. Made as in `hostile`."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable

from crawler.readers.core.limits import Limits
from tests.synth.hostile import CANARY, Hostile

MAKERS: dict[str, Callable[[random.Random], Hostile]] = {}


def hostile_structured(name: str, seed: int = 0) -> Hostile:
    """The sample of this name; the seed determines the random bytes inside."""
    return MAKERS[name](random.Random(f"{seed}-{name}"))


def _simple(name: str, data: str | bytes, *problems: str, limits: Limits | None = None, visible: bool = True) -> None:
    def maker(random_: random.Random) -> Hostile:
        whole = data.encode() if isinstance(data, str) else data
        return Hostile(
            name.replace("_", " "),
            whole,
            frozenset(problems),
            complete=True,
            visible=visible,
            limits=limits or Limits(),
        )

    MAKERS[name] = maker


_ROW = json.dumps({"nom": "Dupont", "mail": CANARY})
_ROWS = ",".join(json.dumps({"nom": f"Martin{number}", "ville": "Lyon"}) for number in range(30))
_MANY_KEYS = {f"k{number}": number for number in range(50_000)}
_MANY_IDS = [f'"{number}":{{"a":{number}}}' for number in range(60_000)]
_ARRAYS = [list(range(number % 90)) for number in range(3000)]

# --- JSON ------------------------------------------------------------------------------------------------------------

for _name, _data, _problems in (
    ("json_deep", f"[{_ROWS}," + '{"a":' * 30_000 + "1" + "}" * 30_000 + f",{_ROW}]", ("json",)),
    ("json_deep_and_open", f"[{_ROWS},{_ROW}," + "[" * 100_000, ("json", "cut")),
    ("json_endlessly_nested_objects_in_lists", f"[{_ROWS},{_ROW}," + '{"":[' * 20_000, ("json", "cut")),
    ("json_people_inside_people", f"[{_ROWS},{_ROW}," + '{"nom":"x","prenom":"y","a":[' * 5000, ("json", "cut")),
    ("json_brackets_of_the_wrong_kind", f"[{_ROWS},{{]}},[}},{_ROW}]", ("json",)),
    ("json_closing_brackets", f"[{_ROWS}" + "]}" * 50_000 + f"[{_ROW}]", ("json",)),
    ("json_a_quote_never_closed", f'[{_ROWS},{{"a":"b}},{_ROW},{_ROWS}]', ("json",)),
    ("json_quotes_in_values", f'[{_ROWS},{{"a":"say "hi" {{[ to"}},{_ROW},{_ROWS}]', ("json",)),
    ("json_an_endless_string", f'[{_ROWS},{{"a":"{"wort " * 600_000}"}},{_ROW}]', ("line",)),
    ("json_an_unclosed_string", f'[{_ROWS},{_ROW},{{"a":"{"x" * 3_000_000}', ("line", "json", "cut")),
    ("json_an_endless_string_of_quotes", f'[{_ROWS},{_ROW},{{"a":"' + '"' * 2_000_000, ("line", "cut", "json")),
    ("json_an_endless_string_of_escapes", f'[{_ROWS},{_ROW},{{"a":"' + "\\u00e9" * 400_000 + '"}]', ("line",)),
    ("json_an_endless_number", f"[{_ROWS},{_ROW}," + "9" * 3_000_000 + "]", ("line",)),
    ("json_endless_blanks", f"[{_ROWS}," + " " * 3_000_000 + f"{_ROW}]", ()),
    ("json_an_endless_key", f'[{_ROWS},{{"{"k" * 2_000_000}":1}},{_ROW}]', ("line", "json")),
    ("json_cut", f"[{_ROW},{_ROWS}"[:-20], ("cut",)),
    ("json_trailing_commas", f"[{_ROWS},,,{{\"a\":1,}},{_ROW},]", ("json",)),
    ("json_comments", f"[{_ROWS},/* }} ] \" */ {_ROW} // end\n]", ("json",)),
    ("json_single_quotes", f"[{{'nom':'O\"Neil','a':['}}']}},{_ROW.replace(chr(34), chr(39))}]", ("json",)),
    ("json_duplicate_keys", f'[{_ROWS},{{"a":"x","a":"{CANARY}","a":"y"}}]', ()),
    ("json_lone_surrogates", f'[{_ROWS},{{"\\udfff":"\\ud800x"}},{{"n":NaN,"i":-Infinity}},{_ROW}]', ()),
    ("json_an_object_of_many_keys", f"[{_ROWS},{json.dumps(_MANY_KEYS)},{_ROW}]", ("columns",)),
    ("json_an_object_under_many_ids", f'{{{",".join(_MANY_IDS)},"x":{_ROW}}}', ()),
    ("json_arrays_of_all_widths", f'[{",".join(map(json.dumps, _ARRAYS))},["{CANARY}"]]', ()),
    ("json_a_matrix", f"[[{'[[1,2],[3,4]],' * 20_000}[[5]]],{_ROW}]", ()),
    ("json_invalid_numbers", f'[{_ROWS},{{"a":01,"b":1e999,"c":--1,"d":{"9" * 5000}}},{_ROW}]', ("json",)),
    ("json_wrong_column_names", f'{{"columns":["a","b"],"rows":[[1],[1,2,3],["{CANARY}"]]}}', ()),
    ("json_many_documents", "{}[]" * 20_000 + _ROW, ()),
    ("json_impossible_dates", f'[{{"d":{{"$date":{{"$numberLong":"{"9" * 19}"}}}},"e":{{"$date":"x"}}}},{_ROW}]', ()),
):  # fmt: skip
    _simple(_name, _data, *_problems)
_simple(
    "json_in_three_encodings", f'[{{"nom":"Léa"}},{{"nom":"Zoé"}},{_ROW}]'.encode().replace(b"\xc3\xa9", b"\xe9", 1)
)
_simple("json_with_nul_bytes", f'[{_ROWS},{{"a":"x\0y"}},{_ROW}]', "json")

# --- XML -------------------------------------------------------------------------------------------------------------

_PERSON = f"<p><nom>Dupont</nom><mail>{CANARY}</mail></p>"
_PEOPLE = "".join(f"<p><nom>Martin{number}</nom><ville>Lyon</ville></p>" for number in range(30))
_LAUGHS = '<!ENTITY l0 "lol">' + "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 20))
_LONG_ENTITY = f'<!ENTITY x "{"x" * 50_000}">'
_FILE_ENTITY = '<!ENTITY x SYSTEM "file:///etc/passwd">'
_CHILDREN = [f"<k{number}>{number}</k{number}>" for number in range(50_000)]
_REFERENCES = "&#0; &#xD800; &#99999999; &nix;"
_DOCTYPE = '<?xml version="1.0"?><!DOCTYPE w '
_OUTSIDE = 'SYSTEM "http://127.0.0.1/x.dtd" [<!ENTITY % p SYSTEM "http://127.0.0.1/">%p;]'

for _name, _data, _problems in (
    ("xml_billion_laughs", f"{_DOCTYPE}[{_LAUGHS}]><w>{_PEOPLE}<a>&l19;</a>{_PERSON}</w>", ("entities",)),
    ("xml_quadratic", f"{_DOCTYPE}[{_LONG_ENTITY}]><w>{'<a>&x;&x;</a>' * 5000}{_PERSON}</w>", ("entities",)),
    ("xml_that_names_a_file", f"{_DOCTYPE}[{_FILE_ENTITY}]><w><a>&x;</a>{_PERSON}</w>", ("entities",)),
    ("xml_that_names_a_host", f"{_DOCTYPE}{_OUTSIDE}><w>{_PERSON}</w>", ("entities",)),
    ("xml_deep", f"<w>{_PERSON}{'<a>' * 100_000}x{'</a>' * 100_000}{_PERSON}</w>", ("xml",)),
    ("xml_deep_and_open", f"<w>{_PERSON}{'<a>' * 300_000}", ("xml", "cut")),
    ("xml_deep_running_text", f"<w>{_PERSON}{'<a>x ' * 30_000}{'</a>' * 30_000}</w>", ("xml",)),
    ("xml_closing_tags", f"<w>{_PEOPLE}{'</a>' * 100_000}{_PERSON}</w>", ("xml",)),
    ("xml_endless_attributes", f"<w>{_PEOPLE}<a {'x=1 ' * 300_000}>{_PERSON}</w>", ()),
    ("xml_a_quote_never_closed", f"<w>{_PEOPLE}<a x=\"{_PERSON}</w>", ()),
    ("xml_comment_never_closed", f"<w>{_PEOPLE}<!-- {_PERSON}</w>", ()),
    ("xml_cdata_never_closed", f"<w>{_PEOPLE}<![CDATA[ {_PERSON}</w>", ()),
    ("xml_an_endless_text", f"<w>{_PEOPLE}<a>{'wort ' * 600_000}</a>{_PERSON}</w>", ()),
    ("xml_an_endless_name", f"<w>{_PEOPLE}<{'a' * 2_000_000}>{_PERSON}</w>", ()),
    ("xml_all_names_different", "<w>" + "".join(f"<p><n{i}>x</n{i}></p>" for i in range(5000)) + f"{_PERSON}</w>", ()),
    ("xml_of_many_children", f"<w><p>{''.join(_CHILDREN)}</p>{_PERSON}</w>", ("columns",)),
    ("xml_cut", f"<w>{_PERSON}{_PEOPLE}"[:-9], ("cut",)),
    ("xml_after_its_end", f"<w>{_PEOPLE}</w><w>{_PERSON}</w> tail", ()),
    ("xml_with_invalid_references", f"<w>{_PEOPLE}<a>1 < 2 & 3 > 2 {_REFERENCES}</a>{_PERSON}</w>", ()),
):  # fmt: skip
    _simple(_name, _data, *_problems)
_simple(
    "xml_with_a_wrong_encoding",
    f'<?xml version="1.0" encoding="utf-16"?><w><nom>Zoé</nom>{_PERSON}</w>'.encode("cp1252"),
)
_simple("xml_in_utf7", f'<?xml version="1.0" encoding="utf-7"?><w><nom>Zo+AOk-</nom>{_PERSON}</w>')
_simple(
    "xml_cut_inside_a_character",
    f'<?xml version="1.0"?><w><nom>Zoé</nom>{_PERSON}</w>'.encode("utf-16") + b"\x00\xd8\x41",
)

# --- FHIR, HL7, vCards -----------------------------------------------------------------------------------------------

_PATIENT = {
    "resourceType": "Patient",
    "name": [{"family": "Dupont"}],
    "telecom": [{"system": "email", "value": CANARY}],
}
_INSIDE: dict[str, object] = _PATIENT
for _ in range(200):
    _INSIDE = {"resourceType": "Bundle", "entry": [{"resource": _INSIDE}]}
_ODD_ENTRIES = [1, "x", {"resource": [_PATIENT]}, {"resource": None}, {"resource": _PATIENT}]
_MSH = "MSH|^~\\&|A|B|C|D|20200101||ADT^A01|1|P|2.5\r"
_PID = f"PID|1||123||Dupont^Jeanne||19800203|F|||||^NET^Internet^{CANARY}\r"
_CARD_END = f"EMAIL:{CANARY}\nEND:VCARD\n"
_PROPERTIES = "".join(f"X-{number}:1\n" for number in range(50_000))
_BROKEN_NOTE = "NOTE;ENCODING=QUOTED-PRINTABLE:=C3=ZZ=\n=\n=E9=\nEND:VCARD\n"

for _name, _data, _problems in (
    ("fhir_nested_bundles", json.dumps(_INSIDE), ()),
    ("fhir_entries_of_wrong_types", json.dumps({"resourceType": "Bundle", "entry": _ODD_ENTRIES}), ()),
    ("fhir_cut", json.dumps({"resourceType": "Bundle", "entry": [{"resource": _PATIENT}] * 3})[:-30], ("cut",)),
    ("hl7_all_separators_equal", f"MSH|||||A\r{_MSH}{_PID}", ()),
    ("hl7_separators_of_letters", f"{_MSH}MSHPPPPPP\r{_MSH}{_PID}", ()),
    ("hl7_of_many_fields", f"{_MSH}OBX{'|' * 300_000}x\r{_PID}", ("columns",)),
    ("hl7_of_many_repetitions", f"{_MSH}PID|1||{'1~' * 100_000}||{'A^B~' * 50_000}\r{_PID}", ()),
    ("hl7_endless_escapes", f"{_MSH}NTE|1||{chr(92) * 100_000}X{'41' * 50_000}\r{_PID}", ()),
    ("hl7_without_ends", f"{_MSH}NTE|1||{'wort ' * 500_000}\r{_PID}", ("line",)),
    ("vcard_endless_folds", f"BEGIN:VCARD\nNOTE:x\n{' y' * 10}\n" + " z\n" * 200_000 + _CARD_END, ()),
    ("vcard_of_many_numbers", "BEGIN:VCARD\nTEL:1\n" + "TEL:2\n" * 50_000 + _CARD_END, ()),
    ("vcard_of_many_properties", f"BEGIN:VCARD\n{_PROPERTIES}END:VCARD\nBEGIN:VCARD\n{_CARD_END}", ("columns",)),
    ("vcard_never_ended", "BEGIN:VCARD\n" * 2000 + f"EMAIL:{CANARY}\n", ("cut",)),
    ("vcard_of_broken_quoted_printable", f"BEGIN:VCARD\nVERSION:2.1\n{_BROKEN_NOTE}BEGIN:VCARD\n{_CARD_END}", ()),
):  # fmt: skip
    _simple(_name, _data, *_problems)
del _INSIDE


def _truncated_picture(random_: random.Random) -> Hostile:
    file = base64.b64encode(b"harmless text, " * 10).decode()[:-3]
    data = f"BEGIN:VCARD\nPHOTO;ENCODING=b:{file}\nEMAIL:{CANARY}\nEND:VCARD\n".encode()
    return Hostile("a truncated picture in a card", data, frozenset({"base64"}))


MAKERS["vcard_with_a_truncated_picture"] = _truncated_picture


def _truncated_file(random_: random.Random) -> Hostile:
    data = json.dumps([{"resourceType": "Binary", "data": "QUJD" * 20 + "A"}, _PATIENT]).encode()
    return Hostile("a truncated file in a resource", data, frozenset({"base64"}))


MAKERS["fhir_with_a_truncated_file"] = _truncated_file
