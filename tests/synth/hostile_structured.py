"""Hostile JSON documents, XML, FHIR, HL7 and vCards, each with the canary outside of what is damaged; made as in `hostile`."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable

from crawler.readers.core.limits import Limits
from tests.synth.hostile import CANARY, Hostile

MAKERS: dict[str, Callable[[random.Random], Hostile]] = {}


def hostile_structured(name: str, seed: int = 0) -> Hostile:
    """The sample of this name; the seed moves the noise inside."""
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

# --- JSON ------------------------------------------------------------------------------------------------------------

for _name, _data, _problems in (
    ("json_deep", f"[{_ROWS}," + '{"a":' * 30_000 + "1" + "}" * 30_000 + f",{_ROW}]", ("json",)),
    ("json_deep_and_open", f"[{_ROWS},{_ROW}," + "[" * 100_000, ("json", "cut")),
    ("json_objects_in_lists_without_end", f"[{_ROWS},{_ROW}," + '{"":[' * 20_000, ("json", "cut")),
    ("json_people_in_people", f"[{_ROWS},{_ROW}," + '{"nom":"x","prenom":"y","a":[' * 5000, ("json", "cut")),
    ("json_brackets_of_the_wrong_kind", f"[{_ROWS},{{]}},[}},{_ROW}]", ("json",)),
    ("json_closing_brackets", f"[{_ROWS}" + "]}" * 50_000 + f"[{_ROW}]", ("json",)),
    ("json_a_quote_never_closed", f'[{_ROWS},{{"a":"b}},{_ROW},{_ROWS}]', ("json",)),
    ("json_quotes_in_values", f'[{_ROWS},{{"a":"say "hi" {{[ to"}},{_ROW},{_ROWS}]', ("json",)),
    ("json_an_endless_string", f'[{_ROWS},{{"a":"{"wort " * 600_000}"}},{_ROW}]', ("line",)),
    ("json_a_string_without_end", f'[{_ROWS},{_ROW},{{"a":"{"x" * 3_000_000}', ("line", "json", "cut")),
    ("json_an_endless_string_of_quotes", f'[{_ROWS},{_ROW},{{"a":"' + '"' * 2_000_000, ("line", "cut", "json")),
    ("json_an_endless_string_of_escapes", f'[{_ROWS},{_ROW},{{"a":"' + "\\u00e9" * 400_000 + '"}]', ("line",)),
    ("json_an_endless_number", f"[{_ROWS},{_ROW}," + "9" * 3_000_000 + "]", ("line",)),
    ("json_an_endless_blank", f"[{_ROWS}," + " " * 3_000_000 + f"{_ROW}]", ()),
    ("json_an_endless_key", f'[{_ROWS},{{"{"k" * 2_000_000}":1}},{_ROW}]', ("line", "json")),
    ("json_cut", f"[{_ROW},{_ROWS}"[:-20], ("cut",)),
    ("json_trailing_commas", f"[{_ROWS},,,{{\"a\":1,}},{_ROW},]", ("json",)),
    ("json_comments", f"[{_ROWS},/* }} ] \" */ {_ROW} // end\n]", ("json",)),
    ("json_single_quotes", f"[{{'nom':'O\"Neil','a':['}}']}},{_ROW.replace(chr(34), chr(39))}]", ("json",)),
    ("json_keys_that_come_twice", f'[{_ROWS},{{"a":"x","a":"{CANARY}","a":"y"}}]', ()),
    ("json_lone_surrogates", f'[{_ROWS},{{"\\udfff":"\\ud800x"}},{{"n":NaN,"i":-Infinity}},{_ROW}]', ()),
    ("json_an_object_of_many_keys", f"[{_ROWS},{json.dumps({f'k{i}': i for i in range(50_000)})},{_ROW}]", ("columns",)),
    ("json_an_object_under_many_ids", "{" + ",".join(f'"{i}":{{"a":{i}}}' for i in range(60_000)) + f',"x":{_ROW}}}', ()),
    ("json_arrays_of_all_widths", f"[{','.join(json.dumps(list(range(i % 90))) for i in range(3000))},[\"{CANARY}\"]]", ()),
    ("json_a_matrix", f"[[{'[[1,2],[3,4]],' * 20_000}[[5]]],{_ROW}]", ()),
    ("json_numbers_that_are_none", f'[{_ROWS},{{"a":01,"b":1e999,"c":--1,"d":{"9" * 5000}}},{_ROW}]', ("json",)),
    ("json_names_of_columns_that_lie", f'{{"columns":["a","b"],"rows":[[1],[1,2,3],["{CANARY}"]]}}', ()),
    ("json_many_documents", "{}[]" * 20_000 + _ROW, ()),
    ("json_dates_beyond_time", f'[{{"d":{{"$date":{{"$numberLong":"9{"9" * 18}"}}}}}},{{"d":{{"$date":"x"}}}},{_ROW}]', ()),
):  # fmt: skip
    _simple(_name, _data, *_problems)
_simple(
    "json_in_three_encodings", f'[{{"nom":"Léa"}},{{"nom":"Zoé"}},{_ROW}]'.encode().replace(b"\xc3\xa9", b"\xe9", 1)
)
_simple("json_with_nul_bytes", f'[{_ROWS},{{"a":"x\0y"}},{_ROW}]', "json")

# --- XML -------------------------------------------------------------------------------------------------------------

_P = f"<p><nom>Dupont</nom><mail>{CANARY}</mail></p>"
_PS = "".join(f"<p><nom>Martin{number}</nom><ville>Lyon</ville></p>" for number in range(30))
_LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 20))

for _name, _data, _problems in (
    ("xml_billion_laughs", f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY l0 "lol">{_LAUGHS}]><w>{_PS}<a>&l19;</a>{_P}</w>', ("entities",)),
    ("xml_quadratic", f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY x "{"x" * 50_000}">]><w>{"<a>&x;&x;</a>" * 5000}{_P}</w>', ("entities",)),
    ("xml_of_a_file", f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/passwd">]><w><a>&x;</a>{_P}</w>', ("entities",)),
    ("xml_of_the_network", f'<?xml version="1.0"?><!DOCTYPE w SYSTEM "http://127.0.0.1/x.dtd" [<!ENTITY % p SYSTEM "http://127.0.0.1/">%p;]><w>{_P}</w>', ("entities",)),
    ("xml_deep", f"<w>{_P}{'<a>' * 100_000}x{'</a>' * 100_000}{_P}</w>", ("xml",)),
    ("xml_deep_and_open", f"<w>{_P}{'<a>' * 300_000}", ("xml", "cut")),
    ("xml_deep_running_text", f"<w>{_P}{'<a>x ' * 30_000}{'</a>' * 30_000}</w>", ("xml",)),
    ("xml_closing_tags", f"<w>{_PS}{'</a>' * 100_000}{_P}</w>", ("xml",)),
    ("xml_attributes_without_end", f"<w>{_PS}<a {'x=1 ' * 300_000}>{_P}</w>", ()),
    ("xml_a_quote_never_closed", f"<w>{_PS}<a x=\"{_P}</w>", ()),
    ("xml_comment_never_closed", f"<w>{_PS}<!-- {_P}</w>", ()),
    ("xml_cdata_never_closed", f"<w>{_PS}<![CDATA[ {_P}</w>", ()),
    ("xml_an_endless_text", f"<w>{_PS}<a>{'wort ' * 600_000}</a>{_P}</w>", ()),
    ("xml_an_endless_name", f"<w>{_PS}<{'a' * 2_000_000}>{_P}</w>", ()),
    ("xml_names_never_the_same", "<w>" + "".join(f"<p><n{i}>x</n{i}></p>" for i in range(5000)) + f"{_P}</w>", ()),
    ("xml_of_many_children", f"<w><p>{''.join(f'<k{i}>{i}</k{i}>' for i in range(50_000))}</p>{_P}</w>", ("columns",)),
    ("xml_cut", f"<w>{_P}{_PS}"[:-9], ("cut",)),
    ("xml_after_its_end", f"<w>{_PS}</w><w>{_P}</w> tail", ()),
    ("xml_with_wild_signs", f"<w>{_PS}<a>1 < 2 & 3 > 2 &#0; &#xD800; &#99999999; &nix;</a>{_P}</w>", ()),
):  # fmt: skip
    _simple(_name, _data, *_problems)
_simple(
    "xml_that_lies_of_its_encoding",
    f'<?xml version="1.0" encoding="utf-16"?><w><nom>Zoé</nom>{_P}</w>'.encode("cp1252"),
)
_simple("xml_of_an_encoding_nobody_knows", f'<?xml version="1.0" encoding="utf-7"?><w><nom>Zo+AOk-</nom>{_P}</w>')
_simple("xml_of_half_characters", f'<?xml version="1.0"?><w><nom>Zoé</nom>{_P}</w>'.encode("utf-16") + b"\x00\xd8\x41")

# --- FHIR, HL7, vCards -------------------------------------------------------------------------------------------------

_PATIENT = {
    "resourceType": "Patient",
    "name": [{"family": "Dupont"}],
    "telecom": [{"system": "email", "value": CANARY}],
}
_INSIDE: dict[str, object] = _PATIENT
for _ in range(200):
    _INSIDE = {"resourceType": "Bundle", "entry": [{"resource": _INSIDE}]}
_MSH = "MSH|^~\\&|A|B|C|D|20200101||ADT^A01|1|P|2.5\r"
_PID = f"PID|1||123||Dupont^Jeanne||19800203|F|||||^NET^Internet^{CANARY}\r"

for _name, _data, _problems in (
    ("fhir_bundles_in_bundles", json.dumps(_INSIDE), ()),
    ("fhir_of_other_types", json.dumps({"resourceType": "Bundle", "entry": [1, "x", {"resource": [_PATIENT]}, {"resource": None}, {"resource": _PATIENT}]}), ()),
    ("fhir_cut", json.dumps({"resourceType": "Bundle", "entry": [{"resource": _PATIENT}] * 3})[:-30], ("cut",)),
    ("hl7_separators_that_are_one", f"MSH|||||A\r{_MSH}{_PID}", ()),
    ("hl7_separators_of_letters", f"{_MSH}MSHPPPPPP\r{_MSH}{_PID}", ()),
    ("hl7_of_many_fields", f"{_MSH}OBX{'|' * 300_000}x\r{_PID}", ("columns",)),
    ("hl7_of_many_repetitions", f"{_MSH}PID|1||{'1~' * 100_000}||{'A^B~' * 50_000}\r{_PID}", ()),
    ("hl7_escapes_without_end", f"{_MSH}NTE|1||{chr(92) * 100_000}X{'41' * 50_000}\r{_PID}", ()),
    ("hl7_without_ends", f"{_MSH}NTE|1||{'wort ' * 500_000}\r{_PID}", ("line",)),
    ("vcard_folds_without_end", f"BEGIN:VCARD\nNOTE:x\n{' y' * 10}\n" + " z\n" * 200_000 + f"EMAIL:{CANARY}\nEND:VCARD\n", ()),
    ("vcard_of_many_numbers", f"BEGIN:VCARD\n{'TEL:1' + chr(10)}" + "TEL:2\n" * 50_000 + f"EMAIL:{CANARY}\nEND:VCARD\n", ()),
    ("vcard_of_many_properties", "BEGIN:VCARD\n" + "".join(f"X-{i}:1\n" for i in range(50_000)) + f"END:VCARD\nBEGIN:VCARD\nEMAIL:{CANARY}\nEND:VCARD\n", ("columns",)),
    ("vcard_never_ended", "BEGIN:VCARD\n" * 2000 + f"EMAIL:{CANARY}\n", ("cut",)),
    ("vcard_of_broken_quoted_printable", f"BEGIN:VCARD\nVERSION:2.1\nNOTE;ENCODING=QUOTED-PRINTABLE:=C3=ZZ=\n=\n=E9=\nEND:VCARD\nBEGIN:VCARD\nEMAIL:{CANARY}\nEND:VCARD\n", ()),
):  # fmt: skip
    _simple(_name, _data, *_problems)
del _INSIDE


def _cut_file(random_: random.Random) -> Hostile:
    file = base64.b64encode(b"harmless text, " * 10).decode()[:-3]
    data = f"BEGIN:VCARD\nPHOTO;ENCODING=b:{file}\nEMAIL:{CANARY}\nEND:VCARD\n".encode()
    return Hostile("a cut picture in a card", data, frozenset({"base64"}))


MAKERS["vcard_with_a_cut_picture"] = _cut_file


def _cut_binary(random_: random.Random) -> Hostile:
    data = json.dumps([{"resourceType": "Binary", "data": "QUJD" * 20 + "A"}, _PATIENT]).encode()
    return Hostile("a cut file in a resource", data, frozenset({"base64"}))


MAKERS["fhir_with_a_cut_file"] = _cut_binary
