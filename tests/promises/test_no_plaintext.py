"""P1: no client value and no byte of fetched content is ever at rest in clear."""

from __future__ import annotations

import base64
import csv
import io
import json
import random
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.demo.servers import Chat, FeedEntry, LeakSite
from tests.command import must, tocsin
from tests.synth.people import people

EACH = 500
SEED = 20261124
# Bytes of the shortest needle: nine digits of a telephone number.
SHORTEST = 9

ENCODINGS = {
    "utf-8": lambda text: text.encode(),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "latin-1": lambda text: text.encode("latin-1", "replace"),
    "json escapes": lambda text: "".join(f"\\u{ord(char):04x}" for char in text).encode(),
    "xml entities": lambda text: "".join(f"&#{ord(char)};" for char in text).encode(),
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "hex": lambda text: text.encode().hex().encode(),
    "quoted-printable": lambda text: "".join(f"={byte:02X}" for byte in text.encode()).encode(),
}


def identifiers() -> dict[str, list[str]]:
    """500 values of every kind, distinct enough that none stands anywhere by chance."""
    crowd = people(SEED, EACH)
    dice = random.Random(SEED)
    letters = "bcdfghjklmnpqrstvwxz"
    return {
        "surname": ["".join(dice.choices(letters, k=12)).capitalize() for _ in crowd],
        "first": ["".join(dice.choices(letters, k=11)).capitalize() for _ in crowd],
        "dob": [f"{person.dob:%d/%m/%Y}" for person in crowd],
        "email": [person.email for person in crowd],
        "phone": [person.phone for person in crowd],
        "nir": [person.nir for person in crowd],
        "iban": [person.iban for person in crowd],
        "rpps": [person.rpps for person in crowd],
        "token": [f"Zq{dice.randrange(10**10):010d}Canari" for _ in crowd],
        "note": [f"anamnesis {''.join(dice.choices(letters, k=20))}" for _ in crowd],
    }


def table(values: dict[str, list[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(values)
    writer.writerows(zip(*values.values(), strict=True))
    return out.getvalue().encode()


# A slug, an undeclared host, numbers divided over a path, a size that is a telephone number, a mail address in a query.
SLUG, HOST, DIVIDED, PHONE, MAIL = (
    "li-wu-750311", "jean-dupont-19750311", "06/99/88/77/66", "0699887766", "zwiebel.turm@",
)  # fmt: skip
CARDS = f"""
<div class="card" id="{SLUG}"><h3>{SLUG}</h3><span class="size">{PHONE}</span>
<a class="get" href="/files/{SLUG}/{DIVIDED}?mail={MAIL}example.fr#{SLUG}">download</a></div>
<div class="card" id="{PHONE}"><h3>{HOST}</h3><span class="size">{PHONE[1:]} KB</span>
<a class="get" href="http://{HOST}.example/{SLUG}/{DIVIDED}">download</a></div>
"""


class NamingSite(LeakSite):
    """A leak site whose addresses and sizes are data about people."""

    def listing(self) -> bytes:
        return super().listing() + CARDS.encode()


def files(*folders: Path, since: float) -> Iterator[Path]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_mtime >= since:
                yield path


def needles(values: dict[str, list[str]]) -> dict[bytes, str]:
    found = {}
    for kind, texts in values.items():
        for text in texts:
            for name, encode in ENCODINGS.items():
                for form in {text, text.lower(), text.replace(" ", "")}:
                    found[encode(form)] = f"{kind} in {name}"
    return found


def leaks(blob: bytes, wanted: dict[bytes, str]) -> set[str]:
    # look the first bytes of each needle up in a table of all places, then compare it whole
    heads: dict[bytes, list[bytes]] = {}
    for needle in wanted:
        heads.setdefault(needle[:SHORTEST], []).append(needle)
    return {
        wanted[needle]
        for at in range(len(blob) - SHORTEST + 1)
        for needle in heads.get(blob[at : at + SHORTEST], ())
        if blob.startswith(needle, at)
    }


def test_the_search_finds_what_it_looks_for():
    wanted = needles({"email": ["änna.müster@example.org"]})
    for name, encode in ENCODINGS.items():
        assert leaks(b"\x00noise" + encode("änna.müster@example.org") + b"noise", wanted) == {f"email in {name}"}
    assert leaks(b"nothing of it is here, only words", wanted) == set()


@pytest.mark.slow
@pytest.mark.servers
def test_a_run_full_of_identifiers_leaves_none_of_them_anywhere(tmp_path):
    # so long that no Unix socket fits behind it
    home, scratch, cache = tmp_path / "home", tmp_path / ("tmp-" * 20), tmp_path / "cache"
    scratch.mkdir()
    began = time.time() - 1
    values = identifiers()
    client = tmp_path / "client"
    client.mkdir()
    (client / "patients.csv").write_bytes(table(values))
    surroundings = {"TMPDIR": str(scratch), "XDG_CACHE_HOME": str(cache)}
    said = must(None, "init", home, **surroundings)
    said += must(
        None, "canary", "enrol", "--key", home / "keys" / "enrol.key", "--client", "practice-1",
        client / "patients.csv", "--out", tmp_path / "practice-1.bundle", **surroundings,
    )  # fmt: skip
    said += must(home, "canary", "import", tmp_path / "practice-1.bundle", **surroundings)
    with NamingSite() as site, Chat() as chat:
        (home / "tocsin.toml").write_text(f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/hook"\n')
        site.publish(FeedEntry("plain", values["surname"][0], values["email"][0], "all.csv", table(values), "text/csv"))
        for number, (name, encode) in enumerate(ENCODINGS.items()):
            body = b"\n".join(encode(text) for texts in values.values() for text in texts)
            title = f"{values['surname'][number]} {values['nir'][number]} {values['phone'][number]}"
            file = f"{urllib.parse.quote(values['surname'][number])}_{values['nir'][number].replace(' ', '')}.txt"
            site.publish(FeedEntry(f"p{number}", title, values["email"][number], file, body, "text/plain"))
            assert name
        site.publish(
            FeedEntry("broken", values["note"][0], "", "broken.zip", b"PK\x03\x04" + table(values), "application/zip")
        )
        source = tmp_path / "site.yaml"
        source.write_text(SOURCE.format(url=site.url))
        said += must(home, "source", "add", source, **surroundings)
        done = tocsin(home, "crawl", "site", "--json", **surroundings)
        assert done.stdout, done.stderr
        result = json.loads(done.stdout)["crawls"][0]
        assert result["examined"] + result["unexamined"] == len(ENCODINGS) + 4, (done.stdout, done.stderr)
        assert chat.messages, "the run rang nobody, so it shows nothing about messages"
        said += done.stdout + done.stderr
        for command in (["status"], ["alert", "list", "--json"], ["crawl", "site"], ["canary", "list"]):
            again = tocsin(home, *command, **surroundings)
            said += again.stdout + again.stderr
        payloads = json.dumps(chat.messages)
    wanted = needles(values)
    for text in (SLUG, HOST, DIVIDED, PHONE, PHONE[1:], MAIL):
        wanted |= {encode(text): text for encode in ENCODINGS.values()}
    wanted = {needle: kind for needle, kind in wanted.items() if len(needle) >= SHORTEST}
    found = {"the terminal": leaks(said.encode(), wanted), "the chat": leaks(payloads.encode(), wanted)}
    bundle = (tmp_path / "practice-1.bundle").read_bytes()
    found["the bundle"] = leaks(bundle, wanted)
    searched = 0
    for path in files(home, scratch, cache, Path("/dev/shm"), Path("/var/tmp"), since=began):
        found[str(path)] = leaks(path.read_bytes(), wanted)
        searched += 1
    assert searched > 10
    assert {place: kinds for place, kinds in found.items() if kinds} == {}


SOURCE = """\
name: site
platform: declared
url: {url}/
every: 15m
list:
  as: html
  each: ["css:div.card"]
  fields:
    id: "xpath:./@id"
    title: "css:h3::text"
    raw: "css:a.get::attr(href)"
    link: "css:a.get::attr(href)"
    size: "css:.size::text"
"""
