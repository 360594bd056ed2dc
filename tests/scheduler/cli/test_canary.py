"""`tocsin canary`: invents people, tags identifiers at the client, imports bundles completely or not at all."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import re
import struct
import subprocess
from dataclasses import asdict, replace
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest

from data.case.bundle import MAGIC, read_bundle, write_bundle
from data.case.watchlist import Watchlist
from data.errors import BundleError
from data.hashing.case_keys import parse_enrol_key
from data.hashing.tags import Kind, confirm_digest, probe_tag
from data.identifiers import normalise
from scheduler.canaries.invention import INVENTED_COLUMNS
from scheduler.canaries.planning import canaries_needed, detection_probability
from tests.command import TOCSIN, environment
from tests.inside import fine, refused, run, snapshot
from tests.synth.people import people, to_csv

pytestmark = pytest.mark.slow

CROWD = people(11, 30)


@pytest.fixture
def home(tmp_path) -> Path:
    path = tmp_path / "home"
    fine(None, "init", path)
    return path


def keys_of(home: Path):
    return parse_enrol_key((home / "keys" / "enrol.key").read_text())


def enrol(home: Path, table: Path, out: Path, *more: str, client: str = "p1"):
    return run(
        None, "canary", "enrol", "--key", home / "keys" / "enrol.key", "--client", client, *more, table, "--out", out
    )


def bundle_of(home: Path, folder: Path, name: str, crowd=CROWD, **form) -> Path:
    table, out = folder / f"{name}.csv", folder / f"{name}.bundle"
    table.write_bytes(to_csv(crowd, **form))
    done = enrol(home, table, out, "--name", f"Cabinet {name}", client=name)
    assert done.returncode == 0, done.said
    return out


def tags_of(home: Path, bundle: Path) -> set[tuple[int, bytes, int, int]]:
    keys = keys_of(home)
    _, records = read_bundle(bundle, keys.case, keys.bundle)
    return {(int(each["tag"]), each["digest"].tobytes(), int(each["canary"]), int(each["kind"])) for each in records}


# --- generate ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def invented(tmp_path_factory):
    folder = tmp_path_factory.mktemp("invented")
    home, out = folder / "home", folder / "plant.csv"
    fine(None, "init", home)
    arguments = ("--client", "p1", "--name", "Cabinet Un", "--count", "200", "--domain", "traps.example")
    said = fine(home, "canary", "generate", *arguments, "--seed", "4", "--out", out).stdout
    with out.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return home, out, rows, said


def test_invented_people_have_the_requested_number_are_distinct_and_only_the_owner_can_read_them(invented):
    _, out, rows, said = invented
    assert len(rows) == 200
    assert "200 invented people for p1" in said
    assert "delete the table" in said
    assert tuple(rows[0]) == INVENTED_COLUMNS
    assert out.stat().st_mode & 0o777 == 0o600
    for column in ("nir", "email", "telephone"):
        assert len({row[column] for row in rows}) == 200


def test_invented_people_are_plausible_and_consistent_in_themselves(invented):
    for row in invented[2]:
        day, month, year = row["date_naissance"].split("/")
        body, key = int(row["nir"][:13]), int(row["nir"][13:])
        assert len(row["nir"]) == 15
        assert key == 97 - body % 97, "the NIR's check digits"
        assert row["nir"][0] == {"M": "1", "F": "2"}[row["sexe"]]
        assert row["nir"][1:5] == year[2:] + month
        assert 1935 <= int(year) <= 2020
        assert row["email"].endswith(f"{year[2:]}@traps.example")
        assert normalise.name(row["nom"]).decode() in row["email"]
        assert re.fullmatch(r"063998\d{4}", row["telephone"]), "the range that ARCEP keeps for fiction"
        assert re.fullmatch(r"\d{5}", row["code_postal"])
        assert all(row[column].strip() for column in INVENTED_COLUMNS)
    assert {row["sexe"] for row in invented[2]} == {"M", "F"}
    assert int(day)


def test_every_invented_person_is_enrolled_under_a_canary_of_its_own(invented):
    home, _, rows, _ = invented
    keys = keys_of(home)
    watchlist = Watchlist.open(home / "watchlist", case=keys.case)
    found: list[set[int]] = [set() for _ in rows]
    for kind, column, normal in ((Kind.NIR, "nir", normalise.nir), (Kind.EMAIL, "email", normalise.email)):
        values = [normal(row[column]) for row in rows]
        who, codes = watchlist.resolve(
            np.array([probe_tag(keys.probe, kind, value) for value in values], np.uint64),
            np.array([list(confirm_digest(keys.confirm, kind, value)) for value in values], np.uint8),
            np.full(len(values), kind, np.uint8),
        )
        for at, code in zip(who.tolist(), codes.tolist(), strict=True):
            found[at].add(code)
    assert [len(codes) for codes in found] == [1] * 200, "number and address of one person belong to one canary"
    assert len(set.union(*found)) == 200
    [client] = watchlist.clients()
    assert (client.id, client.name, client.active) == ("p1", "Cabinet Un", 200)
    assert watchlist.bundles()[0]["planted"] is True


def test_no_invented_value_is_kept_in_the_home(invented):
    home, _, rows, _ = invented
    kept = b"".join(content for _, content in snapshot(home).values()).lower()
    for row in rows:
        for column in ("nir", "email", "telephone"):
            assert row[column].lower().encode() not in kept


def test_the_same_seed_gives_the_same_people_and_no_seed_gives_others(home, tmp_path):
    made = {}
    for name, more in {"a": ("--seed", "7"), "b": ("--seed", "7"), "c": (), "d": ()}.items():
        out = tmp_path / f"{name}.csv"
        fine(home, "canary", "generate", "--client", "p", "--count", "5", "--out", out, *more)
        made[name] = out.read_text()
    assert made["a"] == made["b"]
    assert len(set(made.values())) == 3


def test_a_table_that_exists_is_not_overwritten_and_nothing_is_enrolled(home, tmp_path):
    out = tmp_path / "plant.csv"
    out.write_text("precious")
    before = snapshot(home)
    refused(run(home, "canary", "generate", "--client", "p1", "--count", "5", "--out", out), "not overwritten", "hint:")
    refused(
        run(home, "canary", "generate", "--client", "p1", "--count", "5", "--out", tmp_path / "no" / "x.csv"),
        "cannot be written",
    )
    assert out.read_text() == "precious"
    assert snapshot(home) == before


@pytest.mark.parametrize("count", [20, 2000], ids=["the watch-list", "the table"])
def test_people_who_are_on_no_watch_list_are_in_no_table(home, tmp_path, count):
    """Whoever planted them would wait for an alarm that never comes. Of 20 the table has room and the bundle has not."""
    out = tmp_path / "plant.csv"
    done = subprocess.run(
        ["/bin/bash", "-c", 'ulimit -f 4; exec "$@"', "bash", TOCSIN, "--home", home, "canary", "generate",
         "--client", "p1", "--count", str(count), "--out", out],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert ("plant.csv cannot be written" in done.stderr) == (count == 2000), done.stderr
    assert not out.exists()
    assert not list((home / "watchlist").iterdir())


@pytest.mark.parametrize("client", ["", "../p1", "a b", "x" * 65, "p1\n"])
def test_an_invalid_client_id_is_refused(home, tmp_path, client):
    refused(
        run(home, "canary", "generate", "--client", client, "--count", "1", "--out", tmp_path / "x.csv"),
        "is not a valid client id",
    )
    assert not (tmp_path / "x.csv").exists()


def test_a_count_of_zero_is_refused(home, tmp_path):
    refused(run(home, "canary", "generate", "--client", "p", "--count", "0", "--out", tmp_path / "x.csv"), "--count")


# --- enrol -----------------------------------------------------------------------------------------------------------


FORMS = {
    "english": {"header": "en"},
    "headerless": {"header": None},
    "semicolons": {"separator": ";"},
    "tabs in UTF-16": {"separator": "\t", "encoding": "utf-16"},
    "Windows": {"encoding": "cp1252"},
    "byte order mark": {"encoding": "utf-8-sig"},
    "ISO dates": {"dates": "%Y-%m-%d"},
}


def test_one_table_in_many_forms_gives_the_same_tags(home, tmp_path):
    expected = tags_of(home, bundle_of(home, tmp_path, "french"))
    assert len(expected) >= 9 * len(CROWD)
    for number, (name, form) in enumerate(FORMS.items()):
        assert tags_of(home, bundle_of(home, tmp_path, f"form{number}", **form)) == expected, name


def test_enrol_prints_which_columns_it_uses_and_which_it_ignores(home, tmp_path):
    table = tmp_path / "patients.csv"
    rows = [f"{each.surname};{each.first};{each.dob:%d/%m/%Y};{each.phone};beige" for each in CROWD]
    table.write_text("\n".join(["Nom;Prénom;Né le;Téléphone;Couleur", *rows]))
    done = enrol(home, table, tmp_path / "out.bundle")
    assert done.returncode == 0
    for line in (
        "patients.csv: utf-8, separated by ';', with a header",
        "column 1 'Nom': surname, by its header",
        "column 2 'Prénom': first, by its header",
        "column 3 'Né le': dob, by its",
        "column 4 'Téléphone': phone, by its header",
        "column 5 'Couleur': ignored",
    ):
        assert line in done.stderr
    assert "30 canaries" in done.stdout
    assert "0 of 30 rows refused" in done.stdout


def test_the_columns_of_a_table_without_header_are_detected_by_their_values(home, tmp_path):
    table = tmp_path / "bare.csv"
    table.write_bytes(to_csv(CROWD, header=None))
    done = enrol(home, table, tmp_path / "out.bundle")
    assert "without a header" in done.stderr
    for role in ("surname", "first", "dob", "nir", "email", "phone"):
        assert f": {role}, by its values" in done.stderr
    assert f"0 of {len(CROWD)} rows refused" in done.stdout


def test_lines_above_the_header_are_no_rows(home, tmp_path):
    table = tmp_path / "export.csv"
    rows = [f"{each.surname};{each.first};{each.dob:%d/%m/%Y};{each.phone}" for each in CROWD]
    table.write_text("\n".join(["Export of 12 March 2026", "", "Nom;Prénom;Né le;Téléphone", *rows]))
    done = enrol(home, table, tmp_path / "out.bundle")
    assert "with a header" in done.stderr
    assert f"0 of {len(CROWD)} rows refused" in done.stdout


def test_columns_named_by_the_user_override_the_detected_ones(home, tmp_path):
    plain, odd = tmp_path / "plain.csv", tmp_path / "odd.csv"
    pairs = [(each.surname, each.first, f"{each.dob:%d/%m/%Y}") for each in CROWD]
    plain.write_text("nom,prenom,ddn\n" + "".join(",".join(each) + "\n" for each in pairs))
    odd.write_text("alpha,beta,gamma,delta\n" + "".join(f"{d},{a},{b},x\n" for a, b, d in pairs))
    assert enrol(home, plain, tmp_path / "plain.bundle").returncode == 0
    done = enrol(home, odd, tmp_path / "odd.bundle", "--columns", "alpha=dob,beta=surname,3=first,delta=ignore")
    assert done.returncode == 0, done.said
    assert "column 3 'gamma': first" in done.stderr
    assert tags_of(home, tmp_path / "odd.bundle") == tags_of(home, tmp_path / "plain.bundle")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("non=surname", ("no column 'non'", "did you mean 'nom'")),
        ("nom=surnam", ("there is no role 'surnam'", "did you mean 'surname'")),
        ("nom", ("'nom' is not of the form name=role",)),
        ("9=surname", ("no column '9'",)),
        ("0=surname", ("no column '0'",)),
        ("nom=ignore,prenom=ignore,email=ignore,ddn=ignore", ("no column that can be tagged",)),
    ],
)
def test_wrong_columns_are_refused_with_the_nearest_name(home, tmp_path, columns, words):
    table, out = tmp_path / "in.csv", tmp_path / "out.bundle"
    table.write_text("nom,prenom,email,ddn\nDUPONT,Jean,j@example.org,12/03/1975\n")
    refused(enrol(home, table, out, "--columns", columns), *words, "hint:")
    assert not out.exists()


def test_refused_rows_are_counted_and_explained_without_their_values(home, tmp_path):
    table = tmp_path / "in.csv"
    lines = ["nom,prenom,ddn,couleur", *(f"{p.surname},{p.first},{p.dob:%d/%m/%Y},rouge" for p in CROWD)]
    lines += [",,,vert", "SECRETNAME,Jean,32/13/1999,bleu", *("OTHER,,," for _ in range(30))]
    table.write_text("\n".join(lines))
    done = enrol(home, table, tmp_path / "out.bundle")
    assert done.returncode == 0
    assert "row 31 refused: all cells that identify a person are empty" in done.stderr
    assert "row 32 refused: no usable value: the cells of nom, prenom, ddn give neither a value" in done.stderr
    assert "empty: prenom, ddn" in done.stderr
    assert "32 rows refused in total" in done.stderr
    assert "32 of 62 rows refused" in done.stdout
    assert "30 canaries" in done.stdout
    for secret in ("SECRETNAME", "OTHER", "1999"):
        assert secret not in done.said


def test_a_table_without_a_row_that_can_be_tagged_is_refused(home, tmp_path):
    table, out = tmp_path / "in.csv", tmp_path / "out.bundle"
    table.write_text("nom,prenom,ddn\n,,\nX,,\n,Jean,\n")
    refused(enrol(home, table, out), "no row of in.csv could be tagged", "hint:")
    assert not out.exists()


def test_only_the_owner_can_read_a_bundle_and_it_holds_no_value(home, tmp_path):
    bundle = bundle_of(home, tmp_path, "p1")
    assert bundle.stat().st_mode & 0o777 == 0o600
    content = bundle.read_bytes().lower()
    for each in CROWD:
        for value in (each.nir, each.email, each.phone, each.surname):
            assert value.lower().encode() not in content
    assert not list(tmp_path.glob(".*")), "no temporary file is left"


def test_a_bundle_that_exists_is_not_overwritten(home, tmp_path):
    bundle = bundle_of(home, tmp_path, "p1")
    before = bundle.read_bytes()
    refused(enrol(home, tmp_path / "p1.csv", bundle), "not overwritten")
    assert bundle.read_bytes() == before


def test_the_match_key_in_place_of_the_enrolment_key_is_refused_with_a_warning(home, tmp_path):
    table = tmp_path / "in.csv"
    table.write_bytes(to_csv(CROWD))
    done = run(
        None, "canary", "enrol", "--key", home / "keys" / "match.key", "--client", "p", table, "--out", tmp_path / "b"
    )
    refused(done, "must never leave the monitor")


# --- import ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """A home and a small bundle of its case, with the offsets at which its parts begin."""
    folder = tmp_path_factory.mktemp("delivered")
    home = folder / "home"
    fine(None, "init", home)
    whole = bundle_of(home, folder, "p1", CROWD[:3]).read_bytes()
    (length,) = struct.unpack_from("<I", whole, len(MAGIC))
    return home, folder, whole, len(MAGIC) + 4, len(MAGIC) + 4 + length


def forged(home: Path, whole: bytes, **changed) -> bytes:
    """The same bundle with a changed header, authenticated with the right key."""
    (length,) = struct.unpack_from("<I", whole, 8)
    header = {**json.loads(whole[12 : 12 + length]), **changed}
    text = json.dumps(header).encode()
    body = MAGIC + struct.pack("<I", len(text)) + text + whole[12 + length : -32]
    return body + hmac.new(keys_of(home).bundle, body, hashlib.sha256).digest()


def unusable(home: Path, path: Path, content: bytes) -> str:
    keys = keys_of(home)
    path.write_bytes(content)
    with pytest.raises(BundleError) as caught:
        read_bundle(path, keys.case, keys.bundle)
    assert caught.value.hint
    return str(caught.value)


def test_a_bundle_cut_at_any_byte_is_refused(delivered):
    home, folder, whole, _, _ = delivered
    for end in range(len(whole)):
        assert unusable(home, folder / "cut.bundle", whole[:end])


def test_a_bundle_with_any_byte_altered_is_refused(delivered):
    home, folder, whole, _, _ = delivered
    for at in range(len(whole)):
        for flip in (1, 0x80):
            altered = bytearray(whole)
            altered[at] ^= flip
            assert unusable(home, folder / "altered.bundle", bytes(altered)), at


def test_a_bundle_with_bytes_added_or_moved_is_refused(delivered):
    home, folder, whole, start, body = delivered
    record = whole[body : body + 29]
    for content in (
        whole + b"\0",
        whole[:body] + record + whole[body:],
        whole[:body] + whole[body + 29 :],
        whole[:body] + whole[body + 29 : body + 58] + record + whole[body + 58 :],
        whole[:start] + b" " + whole[start:],
        whole * 2,
    ):
        assert unusable(home, folder / "moved.bundle", content)


@pytest.mark.parametrize(
    "header",
    [b"[" * 60_000, b'{"a":' * 12_000, b"null", b"[]", b"{}", b'{"bundle": 1}', b"\xff" * 100, b"1" * 5000],
    ids=["deep list", "deep mapping", "null", "list", "empty", "too little", "no text", "long number"],
)
def test_a_hostile_header_gives_one_sentence(delivered, header):
    home, folder, _, _, _ = delivered
    content = MAGIC + struct.pack("<I", len(header)) + header + bytes(64)
    assert unusable(home, folder / "hostile.bundle", content)


def test_a_bundle_of_another_normaliser_or_format_version_says_what_to_do(delivered):
    home, folder, whole, _, _ = delivered
    path = folder / "version.bundle"
    assert f"version {normalise.VERSION + 1}" in unusable(
        home, path, forged(home, whole, normaliser=normalise.VERSION + 1)
    )
    path.write_bytes(forged(home, whole, normaliser=normalise.VERSION + 1))
    refused(run(home, "canary", "import", path), "normaliser version", "same Tocsin version at the client")
    unusable(home, path, forged(home, whole, format=2))
    unusable(home, path, forged(home, whole, tags=1))
    # `forged` works: without changes its bundle is accepted
    path.write_bytes(forged(home, whole))
    keys = keys_of(home)
    assert read_bundle(path, keys.case, keys.bundle)[0].client == "p1"


def test_a_bundle_of_another_key_is_refused_even_when_it_claims_this_case(delivered, tmp_path):
    home = delivered[0]
    other = tmp_path / "other"
    fine(None, "init", other)
    stranger = bundle_of(other, tmp_path, "p9", CROWD[:2])
    before = snapshot(home)
    refused(run(home, "canary", "import", stranger), "made with the key of case", "enrol again")
    keys = replace(keys_of(other), case=keys_of(home).case)
    _, records = read_bundle(stranger, keys_of(other).case, keys.bundle)
    claimed = tmp_path / "claimed.bundle"
    header = write_bundle(claimed, keys, records, client="p9", name="", canaries=2)
    assert asdict(header)["case"] == keys_of(home).case
    refused(run(home, "canary", "import", claimed), "altered")
    assert snapshot(home) == before


def test_one_bad_bundle_among_good_ones_imports_nothing(delivered, home, tmp_path):
    good, bad = bundle_of(home, tmp_path, "p1"), tmp_path / "bad.bundle"
    for content in (good.read_bytes()[:-1], b"", delivered[2]):
        bad.write_bytes(content)
        before = snapshot(home)
        refused(run(home, "canary", "import", good, bad), "bad.bundle", "hint:")
        assert snapshot(home) == before
    refused(run(home, "canary", "import", good, tmp_path / "nowhere.bundle"), "nowhere.bundle", "cannot be read")
    assert snapshot(home) == before


def test_a_bundle_is_imported_once(home, tmp_path):
    bundle = bundle_of(home, tmp_path, "p1")
    assert "30 canaries of p1" in fine(home, "canary", "import", bundle).stdout
    before = snapshot(home)
    said = fine(home, "canary", "import", bundle, bundle).stdout
    assert said.count("was imported before; nothing changed") == 2
    assert snapshot(home) == before


def test_values_that_recognise_nobody_are_told(home, tmp_path):
    # the telephone of a home for old people, in the rows of all its patients
    bundle = bundle_of(home, tmp_path, "p1", [replace(person, phone="0298765432") for person in people(12, 65)])
    imported, listed = fine(home, "canary", "import", bundle).stdout, fine(home, "canary", "list").stdout
    for said in (imported, listed):
        assert "1 value or record key of the watch-list is shared by more than 64 entries and recognises nobody" in (
            " ".join(said.split())
        )
    assert fine(home, "canary", "list", "--json").json["shared"] == 1


# --- list and retire -------------------------------------------------------------------------------------------------


def test_clients_are_listed_with_their_canaries(home, tmp_path):
    assert fine(home, "canary", "list", "--json").json == {"clients": [], "bundles": [], "tags": 0, "shared": 0}
    one, two = bundle_of(home, tmp_path, "p1", CROWD[:10]), bundle_of(home, tmp_path, "p2", CROWD[10:])
    fine(home, "canary", "import", one, two)
    listed = fine(home, "canary", "list", "--json").json
    assert listed["clients"] == [
        {"id": "p1", "name": "Cabinet p1", "active": 10, "retired": 0},
        {"id": "p2", "name": "Cabinet p2", "active": 20, "retired": 0},
    ]
    assert [(each["client"], each["canaries"], each["planted"]) for each in listed["bundles"]] == [
        ("p1", 10, False),
        ("p2", 20, False),
    ]
    assert listed["tags"] == sum(each["tags"] for each in listed["bundles"])
    table = fine(home, "canary", "list").stdout
    assert "Cabinet p2" in table
    assert listed["bundles"][1]["id"][:8] in table


def test_retiring_a_client_stops_its_hits_and_no_other_s(home, tmp_path):
    fine(
        home,
        "canary",
        "import",
        bundle_of(home, tmp_path, "p1", CROWD[:10]),
        bundle_of(home, tmp_path, "p2", CROWD[10:]),
    )
    dump = tmp_path / "dump.csv"
    dump.write_bytes(to_csv(CROWD[:12]))

    def hits() -> dict[str, int]:
        done = run(home, "scan", "--json", dump)
        return {hit["client"]: hit["canaries"] for hit in done.json["inputs"][0]["hits"]}

    assert hits() == {"p1": 10, "p2": 2}
    assert "retired: 10 canaries of p1" in fine(home, "canary", "retire", "p1").stdout
    assert hits() == {"p2": 2}
    retired = fine(home, "canary", "list", "--json").json["clients"][0]
    assert (retired["id"], retired["active"], retired["retired"]) == ("p1", 0, 10)
    refused(run(home, "canary", "retire", "p1"), "no active canaries of 'p1'", "hint:")


def test_one_bundle_of_a_client_is_retired_by_the_beginning_of_its_id(home, tmp_path):
    for seed in ("1", "2"):
        out = tmp_path / f"{seed}.csv"
        fine(home, "canary", "generate", "--client", "p1", "--count", seed, "--seed", seed, "--out", out)
    bundles = fine(home, "canary", "list", "--json").json["bundles"]
    second = next(each for each in bundles if each["canaries"] == 2)
    refused(run(home, "canary", "retire", "p1", "--bundle", "zz"), "no active canaries")
    assert "2 canaries" in fine(home, "canary", "retire", "p1", "--bundle", second["id"][:8]).stdout
    assert fine(home, "canary", "list", "--json").json["clients"][0]["active"] == 1


# --- plan ------------------------------------------------------------------------------------------------------------


def exactly(total: int, release: int, tagged: int) -> Decimal:
    """1 - C(total - tagged, release) / C(total, release), by the product over the tagged, in 60 digits."""
    with localcontext() as context:
        context.prec = 60
        none = Decimal(1)
        for drawn in range(tagged):
            none *= Decimal(max(0, total - release - drawn)) / Decimal(total - drawn)
        return 1 - none


def test_the_plan_for_the_story_is_265_canaries():
    answer = fine(
        None, "canary", "plan", "--total", "15000000", "--release", "169000", "--confidence", "0.95",
        "--tagged", "400", "--json",
    ).json  # fmt: skip
    assert answer["needed"] == 265
    assert exactly(15_000_000, 169_000, 265) >= Decimal("0.95") > exactly(15_000_000, 169_000, 264)
    assert answer["chance"] == pytest.approx(float(exactly(15_000_000, 169_000, 400)), abs=1e-6)
    assert set(answer) == {"total", "release", "confidence", "needed", "share", "tagged", "chance"}


@pytest.mark.parametrize(
    ("total", "release", "confidence"),
    [
        (10, 1, 0.5), (10, 10, 0.99), (50, 7, 0.9), (1000, 20, 0.95), (1001, 20, 0.95), (5000, 3, 0.5),
        (100_000, 500, 0.999), (15_000_000, 169_000, 0.5), (15_000_000, 50_000, 0.99), (2_000_000_000, 10_000_000, 0.95),
    ],
)  # fmt: skip
def test_the_number_needed_is_the_smallest_that_is_enough(total, release, confidence):
    count = canaries_needed(total, release, confidence)
    assert exactly(total, release, count) >= Decimal(str(confidence)) > exactly(total, release, count - 1)


@pytest.mark.parametrize(
    ("total", "release", "tagged"),
    [
        (10, 3, 2),
        (10, 3, 0),
        (10, 8, 5),
        (1000, 100, 30),
        (1001, 100, 30),
        (15_000_000, 100, 400),
        (15_000_000, 169_000, 265),
    ],
)
def test_the_chance_is_that_of_the_hypergeometric_law(total, release, tagged):
    assert detection_probability(total, release, tagged) == pytest.approx(
        float(exactly(total, release, tagged)), abs=1e-6
    )


def test_the_plan_is_printed_in_sentences():
    said = fine(None, "canary", "plan", "--total", "15000000", "--release", "100", "--tagged", "400").stdout
    assert re.search(
        r"^\d[\d,]+ tagged records of 15,000,000 detect a random release of 100 records with 95\.0% probability\.$",
        said,
        re.MULTILINE,
    )
    assert "400 tagged records detect it with 0.27% probability." in said
    assert "cannot be planted" in said
    assert "does not draw at random" in said
    assert "cannot be planted" not in fine(None, "canary", "plan", "--total", "15000000", "--release", "169000").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--total", "10", "--release", "11"),
        ("--total", "10", "--release", "1", "--tagged", "11"),
        ("--total", "10", "--release", "0"),
        ("--total", "10", "--release", "1", "--confidence", "1"),
        ("--total", "10", "--release", "1", "--confidence", "nan"),
        ("--total", "10"),
    ],
)
def test_a_plan_with_impossible_numbers_is_refused(arguments):
    refused(run(None, "canary", "plan", *arguments))
