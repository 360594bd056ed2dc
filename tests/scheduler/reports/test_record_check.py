"""The record of a home: whoever may write all files of the home, but does not have the match key, changes nothing unseen."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from data.case import evidence
from data.case.evidence_chain import CHAIN_FILE, digest_of
from data.hashing.case_keys import parse_match_key
from data.hashing.chain_keys import ChainHead, ChainKey, ChainKeys
from data.model import Finding
from data.settings.home import Home
from data.store.posts import PostRow
from data.store.store import PostCommit, Store
from scheduler.crawls.question_handler import keep_evidence
from scheduler.reports.record_check import check_record

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=30)
FORGED = "0123456789abcdef" * 4


def keys_of(home: Home) -> ChainKeys:
    return parse_match_key((home.keys_dir / "match.key").read_text()).chain_keys()


def fill(home: Home, keys: ChainKeys | None, count: int, start: int = 0) -> None:
    """Commit posts with evidence, as a crawl does, and what operators do in between; without keys as once."""
    with contextlib.closing(Store.open(home.db_path, chain_keys=keys)) as store:
        store.sources.put("board", f"v{start}", True, START)
        crawl = store.crawls.queue("board", "test", START)
        fence = store.crawls.lease(crawl, "me", NOW, START)
        for number in range(start, start + count):
            at = START + timedelta(hours=number)
            post = PostRow(f"{number:032x}", "1", "hxxp")
            sealed = f"sealed {number}".encode()
            finding = Finding.from_json({**Finding("", "", 1, "text").to_json(), "sealed": ""})
            finding = with_evidence(finding, sealed)
            kept = keep_evidence(home, store, post, [finding], at)
            store.commit_post(
                PostCommit(crawl, fence, "board", post, [finding], evidence=kept if keys else {}), lambda _: (), at
            )
            store.audit.record("operator", "acknowledged", f"event {number}", at)
        store.finish_crawl(crawl, fence, "done", lambda _: (), NOW)


def with_evidence(finding: Finding, sealed: bytes) -> Finding:
    import base64
    from dataclasses import replace

    return replace(finding, sealed=base64.b64encode(sealed).decode())


@pytest.fixture
def kept(home: Home) -> Home:
    """A home with seven pieces of evidence, two of them expired."""
    keys = keys_of(home)
    fill(home, keys, 7)
    evidence.expire(home.evidence_dir, START + timedelta(hours=2), NOW, keys.evidence)
    return home


class Attacker:
    """Rewrites the chains as anyone can who may write the files of a home: digests always fit, macs cannot."""

    def __init__(self, home: Home, chance: random.Random) -> None:
        self.home, self.chance = home, chance
        self.chain = home.evidence_dir / CHAIN_FILE
        self.database: sqlite3.Connection

    def attack(self, number: int) -> str:
        """Make one attack; returns its name."""
        attacks = self.attacks()
        attack = attacks[number % len(attacks)]
        # nothing of this needs to survive a power cut
        with contextlib.closing(sqlite3.connect(self.home.db_path)) as self.database, self.database:
            self.database.execute("pragma synchronous = off")
            attack()
        return attack.__name__

    # --- the evidence chain --------------------------------------------------------------------------------------

    def lines(self) -> list[bytes]:
        return self.chain.read_bytes().splitlines()

    def write(self, lines: list[bytes], *, rehash: bool) -> None:
        if rehash:
            previous, whole = "0" * 64, []
            for number, line in enumerate(lines):
                value = json.loads(line)
                mac = value.pop("mac", None)
                value |= {"seq": number, "prev": previous} | ({"key": number} if "key" in value else {})
                line = json.dumps(value | ({"mac": mac} if mac else {}), separators=(",", ":")).encode()
                previous = digest_of(line)
                whole.append(line)
            lines = whole
        self.chain.write_bytes(b"".join(line + b"\n" for line in lines))

    def edit_line(self) -> None:
        lines, at = self.lines(), self.chance.randrange(len(self.lines()))
        value = json.loads(lines[at])
        name = self.chance.choice(sorted(value))
        value[name] = {
            "at": "2026-01-01T07:08:09Z",
            "do": "keep" if value["do"] == "expire" else "expire",
            "id": "f" * 32,
        }.get(name, FORGED)
        if name in ("seq", "key", "bytes"):
            value[name] = self.chance.randrange(100, 10**9)
        lines[at] = json.dumps(value, separators=(",", ":")).encode()
        # a new number would be mended by the attacker's own renumbering
        self.write(lines, rehash=name not in ("seq", "key", "prev") and self.chance.random() < 0.7)

    def flip_a_bit(self) -> None:
        raw = bytearray(self.chain.read_bytes())
        raw[self.chance.randrange(len(raw))] ^= 1 << self.chance.randrange(7)
        self.chain.write_bytes(raw)

    def delete_line(self) -> None:
        lines = self.lines()
        gone = json.loads(lines.pop(self.chance.randrange(len(lines))))
        if gone["do"] == "keep" and self.chance.random() < 0.5:
            (self.home.evidence_dir / f"{gone['id']}.age").unlink(missing_ok=True)
        self.write(lines, rehash=self.chance.random() < 0.7)

    def cut_end(self) -> None:
        """Cut lines off the end, with their files and half of the time their findings and audit entries too."""
        lines = self.lines()
        left = self.chance.randrange(len(lines))
        everything = self.chance.random() < 0.5
        for line in lines[left:]:
            value = json.loads(line)
            if value["do"] == "keep":
                (self.home.evidence_dir / f"{value['id']}.age").unlink(missing_ok=True)
                if everything:
                    self.sql("delete from finding where id = ?", value["id"])
                    self.sql("delete from audit where detail like ?", f"{value['id']}%")
        self.write(lines[:left], rehash=False)
        if everything and self.rows():
            self.write_rows(self.rows())

    def swap_lines(self) -> None:
        lines = self.lines()
        one, other = self.chance.sample(range(len(lines)), 2)
        lines[one], lines[other] = lines[other], lines[one]
        self.write(lines, rehash=self.chance.random() < 0.7)

    def replace_file(self) -> None:
        """Put other bytes in place of a sealed file, and their digest in the chain, the finding and the audit."""
        lines = self.lines()
        at = self.chance.choice([n for n, line in enumerate(lines) if json.loads(line)["do"] == "keep"])
        value = json.loads(lines[at])
        (self.home.evidence_dir / f"{value['id']}.age").write_bytes(b"another")
        old, value["sha256"] = value["sha256"], hashlib.sha256(b"another").hexdigest()
        lines[at] = json.dumps(value, separators=(",", ":")).encode()
        self.write(lines, rehash=True)
        if self.chance.random() < 0.5:
            self.sql("update finding set evidence = ? where id = ?", value["sha256"], value["id"])
            self.sql("update audit set detail = replace(detail, ?, ?)", old, value["sha256"])
            self.write_rows(self.rows())

    def forge_line(self) -> None:
        lines = self.lines()
        forged = {**json.loads(lines[-1]), "do": "keep", "id": "e" * 32, "sha256": FORGED, "bytes": 1, "mac": FORGED}
        if self.chance.random() < 0.5:
            del forged["mac"], forged["key"]
        lines.insert(self.chance.randrange(len(lines) + 1), json.dumps(forged, separators=(",", ":")).encode())
        self.write(lines, rehash=True)

    def remove_keys(self) -> None:
        """Make the chain look like one of an older version."""
        lines = []
        for line in self.lines():
            value = json.loads(line)
            if value["do"] != "key":
                lines.append(
                    json.dumps({name: each for name, each in value.items() if name not in ("key", "mac")}).encode()
                )
        self.write(lines, rehash=True)

    def wipe(self) -> None:
        shutil.rmtree(self.home.evidence_dir)
        if self.chance.random() < 0.5:
            self.sql("update finding set evidence = ''")

    # --- the audit chain -----------------------------------------------------------------------------------------

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        return self.database.execute(statement, values).fetchall()

    def rows(self) -> list[dict[str, object]]:
        names = ("seq", "at", "actor", "action", "detail", "key", "mac")
        return [
            dict(zip(names, row, strict=True)) for row in self.sql(f"select {', '.join(names)} from audit order by seq")
        ]

    def write_rows(self, rows: list[dict[str, object]], *, rehash: bool = True, mend_head: bool = True) -> None:
        """Write the audit anew, with digests that fit and the head of its last entry."""
        old = dict(self.sql("select seq, digest from audit"))
        self.sql("delete from audit")
        before = "0" * 64
        for number, row in enumerate(rows, 1):
            digest = old.get(row["seq"])
            if rehash:
                row = {**row, "seq": number, "key": number if row["key"] != -1 else -1}
                parts = [before, str(number), *(str(row[name]) for name in ("at", "actor", "action", "detail"))]
                parts += [f"key {row['key']}"] if row["key"] != -1 else []
                digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
            before = str(digest)
            values = (*row.values(), digest)
            self.sql(
                "insert into audit (seq, at, actor, action, detail, key, mac, digest) values (?,?,?,?,?,?,?,?)", *values
            )
        if mend_head:
            last = next((row for row in reversed(rows) if row["key"] != -1), None)
            self.sql("delete from audit_head")
            if last is not None:
                self.sql(
                    "insert into audit_head select seq, key, digest, mac from audit where key <> -1 order by seq desc limit 1"
                )

    def edit_entry(self) -> None:
        rows = self.rows()
        row = self.chance.choice(rows)
        row[self.chance.choice(("actor", "action", "detail"))] = "another"
        self.write_rows(rows, mend_head=self.chance.random() < 0.5)

    def edit_entry_plainly(self) -> None:
        name = self.chance.choice(("at", "actor", "action", "detail", "digest", "key", "mac"))
        value = 7_000 if name == "key" else "another"
        self.sql(f"update audit set {name} = ? where seq = ?", value, self.chance.choice(self.rows())["seq"])

    def delete_entry(self) -> None:
        rows = self.rows()
        rows.pop(self.chance.randrange(len(rows)))
        self.write_rows(rows, rehash=self.chance.random() < 0.7, mend_head=self.chance.random() < 0.5)

    def cut_audit(self) -> None:
        rows = self.rows()[: self.chance.randrange(len(self.rows()))]
        self.write_rows(rows, mend_head=self.chance.random() < 0.7)

    def swap_entries(self) -> None:
        rows = self.rows()
        one, other = self.chance.sample(range(len(rows)), 2)
        rows[one], rows[other] = rows[other], rows[one]
        self.write_rows(rows, mend_head=self.chance.random() < 0.5)

    def replace_end_without_key(self) -> None:
        """The last entries give way to others, which look as if a command without the key had made them."""
        rows = self.rows()
        for row in rows[-self.chance.randrange(1, 4) :]:
            row.update({"detail": "another", "key": -1, "mac": ""})
        self.write_rows(rows, mend_head=self.chance.random() < 0.5)

    def remove_audit_keys(self) -> None:
        rows = [{**row, "key": -1, "mac": ""} for row in self.rows()]
        self.write_rows(rows)

    def forge_head(self) -> None:
        self.sql("update audit_head set mac = ?", FORGED)

    def attacks(self) -> list[Callable[[], None]]:
        return [
            self.edit_line, self.flip_a_bit, self.delete_line, self.cut_end, self.swap_lines, self.replace_file,
            self.forge_line, self.remove_keys, self.wipe, self.edit_entry, self.edit_entry_plainly, self.delete_entry,
            self.cut_audit, self.swap_entries, self.replace_end_without_key, self.remove_audit_keys, self.forge_head,
        ]  # fmt: skip


@pytest.mark.slow
def test_every_edit_deletion_reordering_truncation_and_forgery_is_found(kept):
    assert check_record(kept, NOW).problems == []
    whole = {path: path.read_bytes() for path in (kept.db_path, *kept.evidence_dir.iterdir())}
    attacker = Attacker(kept, random.Random(20))
    unseen = []
    for turn in range(306):
        name = attacker.attack(turn)
        if not check_record(kept, NOW).problems:
            unseen.append((turn, name))
        for path in (kept.path / "tocsin.db-wal", kept.path / "tocsin.db-shm"):
            path.unlink(missing_ok=True)
        kept.evidence_dir.mkdir(exist_ok=True)
        for path, content in whole.items():
            path.write_bytes(content)
    assert unseen == []
    assert check_record(kept, NOW).problems == []


@pytest.mark.slow
def test_a_head_that_left_the_machine_reveals_what_no_key_can(kept):
    """With the match key in the home an attacker makes both chains anew, with right macs: only the head shows it."""
    with contextlib.closing(Store.open(kept.db_path)) as store:
        noted = store.head()
    assert ChainHead.parse(f" {noted}\n") == ChainHead.parse(str(noted))
    assert check_record(kept, NOW, noted).contains_head
    fill(kept, later_keys(kept), 1, start=7)
    later = check_record(kept, NOW, noted)
    assert (later.problems, later.contains_head, later.keys) == ([], True, "checked")
    for path in (*kept.evidence_dir.iterdir(), *kept.path.glob("tocsin.db*")):
        path.unlink()
    fill(kept, keys_of(kept), 12, start=50)
    assert check_record(kept, NOW).problems == []
    rewritten = check_record(kept, NOW, noted)
    assert not rewritten.contains_head
    assert any("the chain was rewritten" in problem for problem in rewritten.problems)
    # ... and both chains cut to what they held earlier
    for path in (*kept.evidence_dir.iterdir(), *kept.path.glob("tocsin.db*")):
        path.unlink()
    fill(kept, keys_of(kept), 2)
    assert any("entries are gone" in problem for problem in check_record(kept, NOW, noted).problems)


def later_keys(home: Home) -> ChainKeys:
    """The keys that the examiner gives for the next entries."""
    keys = keys_of(home)
    with contextlib.closing(Store.open(home.db_path)) as store:
        keys.audit.advance(store.audit.head()[0] + 1)
    keys.evidence.advance(evidence.head(home.evidence_dir)[0])
    return keys


def test_without_the_match_key_digests_and_heads_are_still_checked(kept, tmp_path):
    (kept.keys_dir / "match.key").rename(tmp_path / "match.key")
    found = check_record(kept, NOW)
    assert (found.problems, found.keys) == ([], "not available")
    assert any("only digests" in note for note in found.notes)
    (kept.evidence_dir / f"{evidence.entries(kept.evidence_dir)[-1].id}.age").write_bytes(b"x")
    assert len(check_record(kept, NOW).problems) == 1


def test_a_home_without_keys_stays_readable_and_the_first_keyed_entries_say_so(home):
    fill(home, None, 3)
    before = check_record(home, NOW)
    assert (before.problems, before.keys) == ([], "none")
    fill(home, later_keys(home), 2, start=3)
    after = check_record(home, NOW, ChainHead.parse(before.head))
    assert (after.problems, after.contains_head, after.keys) == ([], True, "checked")
    assert [json.loads(line)["do"] for line in (home.evidence_dir / CHAIN_FILE).read_bytes().splitlines()] == (
        ["keep"] * 3 + ["key"] + ["keep"] * 2
    )
    with contextlib.closing(sqlite3.connect(home.db_path)) as db:
        (found,) = db.execute("select count(*) from audit where actor = 'audit' and action = 'keyed'").fetchone()
    assert found == 1


def test_entries_removed_while_a_process_holds_its_key_leave_a_gap_for_ever(home):
    keys = keys_of(home)
    fill(home, keys, 3)
    chain = home.evidence_dir / CHAIN_FILE
    last = json.loads(chain.read_bytes().splitlines()[-1])["id"]
    chain.write_bytes(b"".join(line + b"\n" for line in chain.read_bytes().splitlines()[:-1]))
    (home.evidence_dir / f"{last}.age").unlink()
    with contextlib.closing(sqlite3.connect(home.db_path)) as db, db:
        db.execute("delete from finding where id = ?", (last,))
        db.execute("delete from audit where seq > 5")
        db.execute("delete from audit_head")
    fill(home, keys, 2, start=3)
    problems = check_record(home, NOW).problems
    assert any("of the chain was made as line" in problem for problem in problems)
    assert any("audit: entry" in problem and "was made as entry" in problem for problem in problems)


def test_a_key_does_not_give_earlier_ones():
    key = ChainKey(bytes(32)).advance(5)
    with pytest.raises(ValueError, match="cannot be made"):
        key.advance(4)
    assert repr(key) == "<ChainKey from entry 5>"
    assert ChainKey(bytes(32)).advance(2).copy().advance(5).mac(b"x", b"y") == key.mac(b"x", b"y")


def test_an_entry_that_is_rolled_back_uses_no_key(home):
    keys = keys_of(home)
    with contextlib.closing(Store.open(home.db_path, chain_keys=keys)) as store:
        store.audit.record("me", "did", "one", NOW)
        with contextlib.suppress(RuntimeError), store.together():
            store.audit.record("me", "did", "not this", NOW)
            raise RuntimeError
        store.audit.record("me", "did", "two", NOW)
        assert store.audit.verify(keys_of(home).audit) == []


def test_purging_leaves_a_record_that_can_be_checked(kept):
    from tests.inside import fine

    fine(kept.path, "purge", "--before", "2026-01-02")
    fine(kept.path, "evidence", "expire", "--before", "2026-03-01")
    found = json.loads(fine(kept.path, "evidence", "verify", "--json").stdout)
    assert (found["problems"], found["keys"], found["evidence"]) == ([], "checked", 7)
    assert not list(kept.evidence_dir.glob("*.age"))


def test_a_page_whose_crawl_was_killed_before_its_event_is_no_fault_and_any_other_file_is_one(kept):
    with contextlib.closing(Store.open(kept.db_path, chain_keys=keys_of(kept))) as store:
        page = b"sealed page"
        store.audit.record_page_begun("e" * 32, hashlib.sha256(page).hexdigest(), START)
        evidence.keep(kept.evidence_dir, "e" * 32, page, START, store.chain_keys.evidence)
        assert check_record(kept, NOW).problems == []
        store.audit.record_page_begun("f" * 32, hashlib.sha256(page).hexdigest(), START)
        evidence.keep(kept.evidence_dir, "f" * 32, b"another page", START, store.chain_keys.evidence)
    [problem] = check_record(kept, NOW).problems
    assert f"the evidence {'f' * 32} belongs to no finding" in problem
