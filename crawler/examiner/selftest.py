"""The examiner's own canary: a planted person in a small archive takes the whole road and must be found.

A monitor fails by going quiet: a reader that reads nothing, tags that meet nothing and a watch-list that was damaged
all look like "nothing found". Pure but for the sandbox; when it is asked for is `scheduler.delivery.delivery`.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import numpy as np

from data.arrays.packed import Packed
from data.case.watchlist import ENTRY_DTYPE, Watchlist
from data.hashing.case_keys import Keys
from data.hashing.tags import Kind, confirm_digests, probe_tags, record_inputs
from data.identifiers import normalise
from data.model import Finding
from data.releases.known_releases import KnownReleases

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner

CLIENT = "self-test"
# Entries of the real watch-list that are looked up again in each run.
LOOKED_UP = 1000
_SURNAME, _FIRST, _DOB = "Veilleur-Tocsin", "Épreuve", "1901-02-03"


def selftest(examiner: Examiner) -> list[str]:
    """What is wrong with the road from bytes to a hit, as sentences; empty where all of it works.

    Args:
        examiner: whose keys, sandbox and watch-list are tried. Its own findings and releases are not touched.
    """
    wrong = _watchlist_faults(examiner.watchlist)
    finding = _examine(examiner)
    hits = {hit.client: hit for hit in finding.hits}
    problems = [*finding.problems, *(said for member in finding.members for said in member.problems)]
    if not finding.complete or problems:
        codes = sorted({problem.partition(":")[0] for problem in problems})
        wrong.append(f"the planted sample was not examined whole: {', '.join(codes) or 'no reason was given'}")
    if finding.rows != 2:
        wrong.append(f"the reader gave {finding.rows} rows of 2")
    if CLIENT not in hits:
        wrong.append("the planted canary was not found")
    else:
        missing = {"email", "name+dob"} - set(hits[CLIENT].kinds)
        if missing or hits[CLIENT].canaries != 1:
            wrong.append(f"the planted canary was found without its {', '.join(sorted(missing)) or 'number'}")
    return wrong


def _email(keys: Keys) -> str:
    # of this case alone, under a name that no mail server can have
    return f"self-test-{keys.case}@tocsin.invalid"


def _examine(examiner: Examiner) -> Finding:
    """Both passes over a zip with a table, with the planted person alone on the watch-list."""
    from crawler.examiner.examination import Examiner
    from crawler.examiner.sample_request import Request

    keys = examiner.keys
    table = f"nom;prenom;naissance;courriel\nMartin;Paul;1970-01-02;\n{_SURNAME};{_FIRST};{_DOB};{_email(keys)}\n"
    sample = io.BytesIO()
    with zipfile.ZipFile(sample, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("self-test.csv", table)
    trial = Examiner(keys, _planted(keys), KnownReleases({}), examiner.sandbox)
    return trial.examine(Request("self-test"), [sample.getvalue()], {"complete": True})


def _planted(keys: Keys) -> Watchlist:
    """A watch-list with the planted person alone, tagged as enrolment does it."""
    inputs = [
        (Kind.EMAIL, normalise.email(_email(keys))),
        *record_inputs(
            first=normalise.name(_FIRST), surname=normalise.name(_SURNAME), dob=normalise.dob(_DOB),
        ),
    ]  # fmt: skip
    kinds = np.array([kind for kind, _ in inputs], np.uint8)
    values = Packed.of([value for _, value in inputs])
    records = np.zeros(len(inputs), ENTRY_DTYPE)
    records["tags"], records["kinds"] = probe_tags(keys.probe, kinds, values), kinds
    records["digests"] = confirm_digests(keys.confirm, kinds, values)
    return Watchlist.in_memory(records, CLIENT)


def _watchlist_faults(watchlist: Watchlist) -> list[str]:
    """Whether entries of the real watch-list, drawn evenly, are found in the sets that dumps are looked up in."""
    lost = watchlist.count_unreachable(LOOKED_UP)
    return [f"{lost} of the watch-list's entries are not found by their own tags"] if lost else []
