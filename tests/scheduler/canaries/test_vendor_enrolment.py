"""Enrolment at a vendor: one column names the client, in any format, and the tags are those of single enrolments."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time

import numpy as np
import pytest

from crawler.records.column_roles import plan_columns_of_rows
from data.arrays.packed import Packed
from data.case.bundle import MANY_MAGIC, RECORD_DTYPE, read_bundle, read_bundles, write_bundle
from data.errors import BundleError
from data.hashing.case_keys import parse_enrol_key
from data.hashing.tags import Kind
from scheduler.canaries.enrolment import tag_columns
from scheduler.canaries.grouped_records import GroupedRecords
from tests.inside import fine, refused, run
from tests.synth import population
from tests.synth.office import workbook
from tests.synth.people import people

pytestmark = pytest.mark.slow

CROWD = people(11, 60)
COLUMNS = ["nom", "prenom", "naissance", "nir", "mail", "tel"]
ROWS = [
    [each.surname, each.first, f"{each.dob:%d/%m/%Y}", each.nir, each.email, each.phone, f"cab.{number % 7}"]
    for number, each in enumerate(CROWD)
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("vendor") / "home"
    fine(None, "init", path)
    return path


def keys_of(home):
    return parse_enrol_key((home / "keys" / "enrol.key").read_text())


def enrol(home, out, *arguments):
    return run(None, "canary", "enrol", "--key", home / "keys" / "enrol.key", "--out", out, *arguments)


def tags(home, path) -> dict[str, set[tuple[int, bytes, int, int]]]:
    keys = keys_of(home)
    return {
        header.client: {
            (int(each["tag"]), each["digest"].tobytes(), int(each["canary"]), int(each["kind"])) for each in records
        }
        for header, records in read_bundles(path, keys.case, keys.bundle)
    }


def csv_of(rows, header=(*COLUMNS, "cabinet")) -> bytes:
    return "\n".join(";".join(row) for row in [header, *rows]).encode()


def test_every_format_gives_the_tags_of_single_enrolments(home, tmp_path):
    table = tmp_path / "all.csv"
    table.write_bytes(csv_of(ROWS))
    done = enrol(home, tmp_path / "all.bundle", "--client-column", "cabinet", table)
    assert done.returncode == 0, done.said
    assert "60 canaries of 7 clients" in done.stdout
    assert "column 7 'cabinet': the client" in done.stderr
    assert (tmp_path / "all.bundle").read_bytes().startswith(MANY_MAGIC)
    expected = {}
    for number in range(7):
        client = f"cab.{number}"
        one = tmp_path / f"{client}.csv"
        one.write_bytes(csv_of([row[:6] for row in ROWS if row[6] == client], COLUMNS))
        assert enrol(home, tmp_path / f"{client}.bundle", "--client", client, one).returncode == 0
        expected |= tags(home, tmp_path / f"{client}.bundle")
    assert tags(home, tmp_path / "all.bundle") == expected

    # a workbook, a database with a table of something else, and SQL, each with a part of the rows
    (tmp_path / "a.xlsx").write_bytes(workbook([[*COLUMNS, "cabinet"], *ROWS[:20]]))
    database = sqlite3.connect(tmp_path / "b.sqlite")
    database.execute("create table visite (quand text, motif text)")
    database.execute("insert into visite values ('2020-01-01', 'x'), ('2020-01-02', 'y')")
    database.execute(f"create table patient ({', '.join(COLUMNS)}, cabinet)")
    database.executemany(f"insert into patient values ({', '.join('?' * 7)})", ROWS[20:40])
    database.commit()
    database.close()
    values = ",\n".join("(" + ", ".join(f"'{cell}'" for cell in row) + ")" for row in ROWS[40:])
    (tmp_path / "c.sql").write_text(f"INSERT INTO patient ({', '.join(COLUMNS)}, cabinet) VALUES\n{values};\n")
    files = [tmp_path / name for name in ("a.xlsx", "b.sqlite", "c.sql")]
    done = enrol(home, tmp_path / "mixed.bundle", "--client-column", "cabinet", *files)
    assert done.returncode == 0, done.said
    assert "2 rows are left out, because the table has no column 'cabinet'" in done.stderr
    assert tags(home, tmp_path / "mixed.bundle") == expected

    # a folder with a bundle of each client, with names; imported at once with the file of all, which brings the same
    names = tmp_path / "names.csv"
    names.write_text("cabinet;nom\n" + "".join(f"cab.{number};Cabinet n° {number}\n" for number in range(6)))
    done = enrol(home, tmp_path / "split", "--client-column", "7", "--names", names, "--split", table)
    assert done.returncode == 0, done.said
    assert "without a name in" in done.stderr
    assert len(list((tmp_path / "split").iterdir())) == 7
    found = {}
    for path in (tmp_path / "split").iterdir():
        found |= tags(home, path)
    assert found == expected
    said = fine(home, "canary", "import", tmp_path / "split", tmp_path / "all.bundle").stdout
    assert "14 of 14 bundles added: 120 canaries of 7 clients" in said
    listed = fine(home, "canary", "list", "--top", "2")
    assert "120 active canaries of 7 clients" in listed.stdout
    assert "and 5 further clients" in listed.stdout
    assert "Cabinet n° 3" in fine(home, "canary", "list", "--client", "cab.3").stdout
    keys = keys_of(home)
    with pytest.raises(BundleError, match="holds bundles of many clients"):
        read_bundle(tmp_path / "all.bundle", keys.case, keys.bundle)


def test_bad_input_is_one_clear_sentence_and_nothing_is_written(home, tmp_path):
    table, out = tmp_path / "t.csv", tmp_path / "out.bundle"

    def fails(*words, rows=ROWS, more=("--client-column", "cabinet"), files=(table,)):
        table.write_bytes(csv_of(rows))
        refused(enrol(home, out, *more, *files), *words, "hint:")
        assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == []

    fails("has no column 'cabine'; did you mean 'cabinet'?", more=("--client-column", "cabine"))
    fails("either the client of all rows or the column", more=())
    fails("--names and --split need --client-column", more=("--client", "c", "--split"))
    fails("row 2: the column 'cabinet' does not hold a client id", rows=[ROWS[0], [*ROWS[1][:6], "Dr Élan / Paris"]])
    many = [[*ROWS[0][:6], f"cab-{number}"] for number in range(100_001)]
    fails("the column 'cabinet' has more than 100,000 values: it does not tell clients apart", rows=many)
    names = tmp_path / "names.csv"
    names.write_text("id;nom\ncab.0;Un\ncab.99;Deux\n")
    fails("names 1 clients that no row has: 'cab.99'", more=("--client-column", "cabinet", "--names", names))
    names.write_text("".join(f"cab.{number};Cabinet {number}\n" for number in range(1500)))
    unknown = ", ".join(f"'cab.{number}'" for number in range(7, 12))
    fails(f"names 1,493 clients that no row has: {unknown} …", more=("--client-column", "cabinet", "--names", names))
    names.write_text("cab.0;Un\ncab.0;Deux\n")
    fails("row 2 names the client 'cab.0' again", more=("--client-column", "cabinet", "--names", names))
    broken = tmp_path / "cut.xlsx"
    broken.write_bytes(workbook([[*COLUMNS, "cabinet"], *ROWS])[:-400])
    fails("cut.xlsx was not read completely", files=(table, broken))
    fails("No such file", files=(tmp_path / "none.csv",))
    fails("no row could be tagged", rows=[["", "", "", "", "", "", "cab.1"], ["x", "", "", "", "", "", "cab.2"]])
    # rows without a client are reported, and the others enrolled
    table.write_bytes(
        csv_of([*ROWS[:10], [*ROWS[10][:6], ""], [*ROWS[11][:6], "  "], ["", "", "", "", "", "", "cab.1"]])
    )
    done = enrol(home, out, "--client-column", "cabinet", table)
    assert done.returncode == 0
    assert "2 of 13 rows name no client and were left out" in done.stderr
    assert "t.csv, row 11 left out: it names no client" in done.stderr
    assert "row 13 left out: all cells that identify a person are empty" in done.stderr
    assert "10 canaries of 7 clients" in done.stdout
    refused(enrol(home, out, "--client-column", "cabinet", table), "exists and is not overwritten")

    # a file of many clients is imported as a whole or not at all
    whole = out.read_bytes()
    before = {path: path.read_bytes() for path in (home / "watchlist").rglob("*") if path.is_file()}
    for at in range(0, len(whole), len(whole) // 40):
        out.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        refused(run(home, "canary", "import", out))
    for end in (4, 8, 20, len(whole) // 2, len(whole) - 32, len(whole) - 1):
        out.write_bytes(whole[:end])
        refused(run(home, "canary", "import", out))
    out.write_bytes(whole)
    other = tmp_path / "other"
    fine(None, "init", other)
    refused(enrol(other, tmp_path / "z.bundle", "--client-column", "nope", table), "has no column 'nope'")
    assert enrol(other, tmp_path / "z.bundle", "--client-column", "cabinet", table).returncode == 0
    refused(run(home, "canary", "import", out, tmp_path / "z.bundle"), "z.bundle", "was made with the key of case")
    assert {path: path.read_bytes() for path in (home / "watchlist").rglob("*") if path.is_file()} == before


def made_up(count: int) -> np.ndarray:
    """Records of random tags, three for each canary."""
    records = np.frombuffer(bytearray(np.random.default_rng(count).bytes(count * RECORD_DTYPE.itemsize)), RECORD_DTYPE)
    records["canary"], records["kind"] = np.arange(count) // 3, Kind.NAME_DOB
    return records


def files_of(folder) -> dict:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_of_another_case_among_1500_is_named_and_none_is_imported(home, tmp_path, monkeypatch):
    other, folder = tmp_path / "other", tmp_path / "bundles"
    fine(None, "init", other)
    folder.mkdir()
    ours, foreign = keys_of(home), keys_of(other)
    with monkeypatch.context() as patch:
        # fifteen hundred waits for the disk would be the time of this test
        patch.setattr("os.fsync", lambda _: None)
        for number in range(1500):
            path, keys = folder / f"cab-{number:04}.bundle", foreign if number == 1234 else ours
            write_bundle(path, keys, made_up(6), client=f"cab-{number}", name="", canaries=2)
    before = files_of(home / "watchlist")
    refused(run(home, "canary", "import", folder), "cab-1234.bundle was made with the key of case", "not of this case")
    assert files_of(home / "watchlist") == before
    (folder / "cab-1234.bundle").unlink()
    assert "1,499 of 1,499 bundles added" in fine(home, "canary", "import", folder).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="full file systems are mounted, which only root may do")
def test_a_full_disk_leaves_the_old_list_and_no_bundle_or_says_that_the_list_is_new(tmp_path):
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    elsewhere.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=0700", "disk", disk], check=True)
    try:
        home, ballast, bundle = disk / "home", disk / "ballast", elsewhere / "two.bundle"
        fine(None, "init", home)
        keys = keys_of(home)
        write_bundle(elsewhere / "one.bundle", keys, made_up(300), client="one", name="", canaries=100)
        write_bundle(bundle, keys, made_up(30_000), client="two", name="", canaries=10_000)
        fine(home, "canary", "import", elsewhere / "one.bundle")
        shutil.copytree(home, elsewhere / "home")
        before = files_of(home / "watchlist")

        def with_room(kept: int, *command):
            """What a command does on a disk with so many bytes left."""
            with ballast.open("wb") as stream:
                free = os.statvfs(disk)
                os.posix_fallocate(stream.fileno(), 0, free.f_bavail * free.f_bsize - kept)
            done = run(*command)
            ballast.unlink()
            return done

        def imported(kept: int) -> str:
            """'old' or 'new': the list after an import, which says so."""
            shutil.rmtree(home)
            shutil.copytree(elsewhere / "home", home)
            done = with_room(kept, home, "canary", "import", bundle)
            if files_of(home / "watchlist") == before:
                refused(done, "the disk", "hint: free some space")
                assert "was changed" not in done.said
                return "old"
            assert "10,100 active canaries of 2 clients" in fine(home, "canary", "list").stdout
            if done.returncode:
                refused(done, "the watch-list was changed, but the database was not: the disk is full", "once more")
                fine(home, "canary", "import", bundle)
                return "told"
            return "new"

        few, many = 200_000, 4 << 20
        assert [imported(0), imported(few), imported(many)] == ["old", "old", "new"]
        while many - few > 8192:
            middle = (few + many) // 2 & ~4095
            few, many = (middle, many) if imported(middle) != "new" else (few, middle)
        assert imported(few) == "told"

        table = elsewhere / "t.csv"
        table.write_bytes(csv_of(ROWS * 40))
        for kept in (0, 100_000, 700_000):
            for out, more in ((disk / "all.bundle", ()), (disk / "each", ("--split",))):
                command = ("canary", "enrol", "--key", elsewhere / "home" / "keys" / "enrol.key", "--out", out)
                done = with_room(kept, None, *command, "--client-column", "cabinet", *more, table)
                refused(done, str(out), "cannot be written: No space left", "hint: free some space and try again")
                assert "/." not in done.said
                assert sorted(path.name for path in disk.iterdir()) == ["home"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_grouping_numbers_the_canaries_of_each_client_in_the_order_of_rows(tmp_path):
    dice = np.random.default_rng(4)
    expected: dict[int, list[tuple[int, int]]] = {}
    counts: dict[int, int] = {}
    grouped = GroupedRecords(tmp_path)
    for batch in range(4):
        rows = 200
        clients = dice.integers(-1, 9 * (batch + 1), rows)
        of_row = np.sort(dice.integers(0, rows, 700))
        records = np.zeros(len(of_row), RECORD_DTYPE)
        records["tag"], records["canary"] = dice.integers(1, 2**63, len(of_row)), of_row
        tagged = grouped.add(records[dice.permutation(len(records))], clients)
        assert set(np.flatnonzero(tagged)) == set(of_row)
        for row in sorted(set(of_row.tolist())):
            client = int(clients[row])
            if client < 0:
                continue
            number = counts.get(client, 0)
            counts[client] = number + 1
            expected.setdefault(client, []).extend((int(tag), number) for tag in records["tag"][of_row == row])
    assert grouped.canaries.tolist() == [counts.get(client, 0) for client in range(len(grouped.canaries))]
    for client, records in grouped.by_client(sorted(expected, reverse=True)):
        assert sorted(zip(records["tag"].tolist(), records["canary"].tolist(), strict=True)) == sorted(expected[client])
    assert list(tmp_path.iterdir()) == []
    grouped.close()


def test_dates_with_the_month_first_and_in_three_columns_give_the_tags_of_dates_with_the_day_first(home, tmp_path):
    """Enrolment and crawl understand the same forms, for one client's text table and for the tables of a vendor."""
    usual, month_first, divided = (tmp_path / f"{name}.csv" for name in ("usual", "month_first", "divided"))
    usual.write_bytes(csv_of(ROWS))
    turned = [[*row[:2], f"{each.dob:%m/%d/%Y}", *row[3:]] for row, each in zip(ROWS, CROWD, strict=True)]
    assert max(int(row[2].split("/")[1]) for row in turned) > 12
    month_first.write_bytes(csv_of(turned))
    parts = [[*row[:2], *f"{each.dob:%d/%m/%Y}".split("/"), *row[3:]] for row, each in zip(ROWS, CROWD, strict=True)]
    header = [*COLUMNS[:2], "jour_naissance", "mois_naissance", "annee_naissance", *COLUMNS[3:], "cabinet"]
    divided.write_bytes(csv_of(parts, header))
    for option, value in (("--client-column", "cabinet"), ("--client", "cab.0")):
        found = {}
        for table in (usual, month_first, divided):
            out = tmp_path / f"{table.stem}{option}.bundle"
            done = enrol(home, out, option, value, table)
            assert done.returncode == 0, done.said
            found[table] = tags(home, out)
            assert ("written with the month first" in done.stderr) == (table == month_first)
        assert found[month_first] == found[usual]
        assert found[divided] == found[usual]


@pytest.mark.slow
def test_a_core_enrols_a_hundred_thousand_rows_in_a_second_with_a_wide_margin(home):
    table = population.dump(population.crowd(5, 40_000))
    rows = list(zip(*(column.slice(0, 200).to_pylist() for column in table.values()), strict=True))
    plan = plan_columns_of_rows(list(table), rows)
    columns = {at: Packed.of_texts(column.to_pylist()) for at, column in enumerate(table.values())}
    first = {at: column.part(0, 200) for at, column in columns.items()}
    tag_columns(first, 200, plan, keys_of(home))  # loads the kernels
    began = time.process_time()
    records = tag_columns(columns, 40_000, plan, keys_of(home))
    spent = time.process_time() - began
    assert len(np.unique(records["canary"])) == 40_000
    # on a busy machine 0.25 s; 1.6 s would be 25,000 rows a second
    assert spent < 1.6
